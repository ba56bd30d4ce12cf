"""Heads that were read before are not parsed again, and nobody can tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.errors import RequestError
from phlows_cli.wire import request as request_module
from phlows_cli.wire.request import KNOWN_HEADS, RequestReader

KINDS = {
    "cast": b"POST /message HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n[12]",
    "same length": b"POST /message HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n[34]",
    "other length": b"POST /message HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\n{}",
    "no body": b"GET /health HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "chunked": b"POST /message HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n[]\r\n0\r\n\r\n",
    "h2c": b"POST /message HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: 2\r\n\r\n[]",
    "long": b"POST /message HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000,
    "expecting": b"POST /message HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n"
    b"Content-Length: 2\r\n\r\n{}",
}


def read_one_by_one(requests):
    """What each says to a reader that has seen no other."""
    found = []
    for data in requests:
        request_module._known_heads.clear()
        reader = RequestReader(body_limit=4096)
        reader.receive_data(data)
        found += reader.requests_received()
    return found


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12), st.data())
def test_any_order_and_any_cut_gives_what_fresh_readers_give(kinds, data):
    requests = [KINDS[kind] for kind in kinds]
    expected = read_one_by_one(requests)
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = RequestReader(body_limit=4096)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.receive_data(stream[start:end])
        found += reader.requests_received()
    assert found == expected
    assert reader.is_idle


def test_a_known_head_is_used_again_with_the_new_body():
    request_module._known_heads.clear()
    reader = RequestReader(body_limit=4096)
    reader.receive_data(KINDS["cast"])
    (head,) = request_module._known_heads
    reader.receive_data(KINDS["same length"])
    assert [request.body for request in reader.requests_received()] == [b"[12]", b"[34]"]
    assert head == KINDS["cast"][:-4]


def test_only_so_many_heads_are_remembered():
    request_module._known_heads.clear()
    reader = RequestReader(body_limit=4096)
    for number in range(KNOWN_HEADS + 50):
        reader.receive_data(b"GET /health?n=%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % number)
    assert len(request_module._known_heads) == KNOWN_HEADS
    assert len(reader.requests_received()) == KNOWN_HEADS + 50


def test_a_known_head_whose_body_comes_late_pushes_no_other_out():
    request_module._known_heads.clear()
    reader = RequestReader(body_limit=4096)
    reader.receive_data(KINDS["no body"])
    reader.receive_data(KINDS["cast"])
    for number in range(KNOWN_HEADS - 2):
        reader.receive_data(b"GET /health?n=%d HTTP/1.1\r\nHost: a.test\r\n\r\n" % number)
    reader.receive_data(KINDS["cast"][:-1])
    reader.receive_data(KINDS["cast"][-1:])
    assert KINDS["no body"] in request_module._known_heads
    assert len(request_module._known_heads) == KNOWN_HEADS
    assert len(reader.requests_received()) == KNOWN_HEADS + 1


def test_a_reader_with_other_limits_neither_uses_nor_fills_the_memory():
    request_module._known_heads.clear()
    RequestReader(body_limit=4096).receive_data(KINDS["no body"])
    strict = RequestReader(body_limit=4096, header_count=5)
    strict.receive_data(b"GET /ready HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert list(request_module._known_heads) == [KINDS["no body"]]


def test_heads_and_bodies_over_a_kilobyte_are_not_kept():
    request_module._known_heads.clear()
    reader = RequestReader(body_limit=4096)
    reader.receive_data(KINDS["long"])
    padded = b"GET /health HTTP/1.1\r\nHost: a.test\r\nX-Pad: " + b"p" * 1024 + b"\r\n\r\n"
    reader.receive_data(padded)
    assert len(reader.requests_received()) == 2
    assert request_module._known_heads == {}


def test_a_head_after_a_known_one_that_came_in_two_pieces_is_checked_from_its_start():
    cast = KINDS["cast"]
    reader = RequestReader(body_limit=4096)
    reader.receive_data(cast)
    reader.receive_data(cast[:50])
    reader.receive_data(cast[50:])
    assert len(reader.requests_received()) == 2
    with pytest.raises(RequestError, match="bare line feed or NUL"):
        reader.receive_data(b"GET /\0 HTTP/1.1\r\nHost: a.test\r\n")
