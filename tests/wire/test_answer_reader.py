from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.wire.answer_reader import (
    HEAD_LIMIT,
    AnswerBroken,
    AnswerEnd,
    AnswerHead,
    AnswerReader,
)


def read(*pieces, ends=True):
    """The events of an answer that came in these pieces, its body joined."""
    reader, events = AnswerReader(), []
    for piece in pieces:
        reader.receive_data(piece)
        events += reader.events_received()
    if ends:
        reader.receive_eof()
    events += reader.events_received()
    body = b"".join(event for event in events if isinstance(event, bytes))
    rest = [event for event in events if not isinstance(event, bytes)]
    return rest[:-1], body, rest[-1] if rest else None


def cut(data, positions):
    """The data in pieces that begin at these positions."""
    edges = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def head(*lines, status=200, version="1.1"):
    return "".join(f"{line}\r\n" for line in (f"HTTP/{version} {status} X", *lines, "")).encode()


CHUNKED = head("Transfer-Encoding: chunked")
BODY = st.binary(max_size=60)
PIECES = st.lists(st.binary(min_size=1, max_size=30), max_size=4)
INTERIM = st.lists(st.sampled_from([head(status=100), head("Link: </a>", status=103)]), max_size=3)


@st.composite
def answers(draw):
    """An answer, and the body that it has."""
    kind = draw(st.sampled_from(["length", "chunked", "close", "none"]))
    before = b"".join(draw(INTERIM))
    if kind == "chunked":
        pieces = draw(PIECES)
        trailer = draw(st.sampled_from([b"", b"Authorization: x\r\n", b"A: b\r\nC: d\r\n"]))
        chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        return before + CHUNKED + chunks + b"0\r\n" + trailer + b"\r\n", b"".join(pieces)
    if kind == "none":
        return before + head("Content-Length: 7", status=draw(st.sampled_from([204, 304]))), b""
    body = draw(BODY)
    length = [f"Content-Length: {len(body)}"] if kind == "length" else []
    return before + head("X-Other: \u00e9", *length) + body, body


@given(answers(), st.lists(st.integers(0, 1000), max_size=8))
def test_any_cut_of_an_answer_gives_the_same(answer, positions):
    data, body = answer
    heads, came, last = read(*cut(data, positions))
    assert (heads, came, last) == read(data)
    assert [type(event) for event in heads] == [AnswerHead]
    assert (came, type(last)) == (body, AnswerEnd)
    assert "authorization" not in heads[0].headers


@settings(max_examples=300)
@given(answers(), st.binary(max_size=3), st.integers(0, 300), st.lists(st.integers(0, 1000)))
def test_any_cut_of_any_bytes_gives_the_same_and_raises_nothing(answer, noise, where, positions):
    data, _ = answer
    where %= len(data) + 1
    data = data[:where] + noise + data[where + len(noise) :]
    heads, body, last = read(*cut(data, positions))
    whole = read(data)
    assert (heads, body, type(last)) == (whole[0], whole[1], type(whole[2]))
    assert isinstance(last, AnswerEnd | AnswerBroken)


@given(answers(), st.integers(0, 1000))
def test_an_answer_that_is_cut_short_never_looks_whole(answer, where):
    data, body = answer
    data = data[: where % len(data)]
    heads, came, last = read(data)
    until_close = heads and not heads[0].headers.keys() & {"content-length", "transfer-encoding"}
    assert isinstance(last, AnswerEnd if until_close else AnswerBroken)
    assert body.startswith(came)


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (head("Content-Length: 2") + b"{}", True),
        (head("Content-Length: 0"), True),
        (head(status=204), True),
        (CHUNKED + b"0\r\n\r\n", True),
        (head("Content-Length: 2", "Connection: close") + b"{}", False),
        (head("Content-Length: 2", version="1.0") + b"{}", False),
        (head("Content-Length: 2", "Connection: keep-alive", version="1.0") + b"{}", True),
        (head("Content-Length: 2") + b"{}HTTP/1.1 200 OK", False),
        (head("Content-Length: 0") + b"x", False),
        (head(status=204) + b"x", False),
        (CHUNKED + b"0\r\n\r\nHTTP", False),
        (head() + b"{}", False),
    ],
)
def test_a_connection_is_reusable_after_a_whole_answer_with_a_length(answer, reusable):
    assert read(answer)[2] == AnswerEnd(reusable)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "ended before an answer"),
        (b"HTTP/1.1 200", "in the middle of the answer"),
        (head("Content-Length: 3") + b"{}", "in the middle of the answer"),
        (CHUNKED + b"2\r\n{}\r\n", "in the middle of the answer"),
        (CHUNKED + b"x\r\n", "malformed answer"),
        (b"HTTP/2 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "names no status"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "names no status"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "bare line feed"),
        (head("A: \0"), "NUL"),
        (head("Content-Length: 2", "Content-Length: 3"), "malformed answer"),
        (head("Content-Length: -2"), "malformed answer"),
        (head("Content-Length: 2", "Transfer-Encoding: chunked"), "malformed answer"),
        (head("Transfer-Encoding: gzip, chunked"), "transfer-encoding other than chunked"),
        (head("Transfer-Encoding: chunked", version="1.0"), "transfer-encoding in HTTP/1.0"),
        (head("Content-Encoding: br", "Content-Length: 2"), "content-encoding other than"),
        (head("Upgrade: x", "Connection: upgrade", status=101), "switches protocols"),
        (head(status=101), "switches protocols"),
        (head(status=100) * 17 + head(status=204), "interim answers"),
        (head(*(f"A{number}: b" for number in range(101))), "101 header lines exceed 100"),
        (head("A: " + "b" * HEAD_LIMIT), f"head exceeds {HEAD_LIMIT}"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * HEAD_LIMIT, f"head exceeds {HEAD_LIMIT}"),
    ],
)
def test_what_is_no_whole_answer_is_broken_with_its_reason(answer, reason):
    for pieces in ([answer], cut(answer, range(0, len(answer), 1 + len(answer) // 50))):
        _, _, last = read(*pieces)
        assert isinstance(last, AnswerBroken)
        assert reason in last.reason


def test_the_longest_head_is_read():
    line = "A: " + "b" * (HEAD_LIMIT - len(head("Content-Length: 0", "A: ")))
    data = head("Content-Length: 0", line)
    assert len(data) == HEAD_LIMIT
    assert read(data)[2] == AnswerEnd(reusable=True)


def test_chunk_framing_and_trailers_have_an_end():
    for endless in (b"1;" + b"x" * 1000, b"0\r\nA: " + b"b" * 1000):
        _, _, last = read(CHUNKED, endless, *[b"c" * 1000] * 20, ends=False)
        assert last == AnswerBroken(f"chunk framing or trailers exceed {HEAD_LIMIT} bytes")


def test_a_response_with_an_upgrade_offer_keeps_its_body():
    answer = head("Upgrade: h2c", "Connection: upgrade", "Content-Length: 2") + b"{}"
    heads, body, last = read(answer)
    assert (heads[0].status, body, type(last)) == (200, b"{}", AnswerEnd)


def test_after_its_end_nothing_more_is_read():
    reader = AnswerReader()
    reader.receive_data(head(status=204))
    assert len(reader.events_received()) == 2
    reader.receive_data(head(status=200))
    reader.receive_eof()
    assert reader.events_received() == []
