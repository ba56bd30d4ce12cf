"""Broken, endless and crowded requests: a clear answer, and nobody else notices."""

from __future__ import annotations

import resource
import select
from pathlib import Path

import pytest

from tests.conformance.client import TEXT, frame, upgrade_bytes
from tests.conformance.stream import dial
from tests.conformance.test_slow_consumer import memory
from tests.conformance.web import read_answer, request_bytes

pytestmark = pytest.mark.usefixtures("unharmed")

UNFINISHED = 1024
"""Unfinished heads that may be; the oldest goes when there is one more."""

OPENS = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def answer_to(broker, raw):
    """The answer to bytes that end their connection."""
    stream = dial(broker.address)
    try:
        stream.send(raw)
        answer = read_answer(stream)
        assert stream.at_end()
        return answer
    finally:
        stream.close()


def refused(broker, raw):
    """The status of such an answer, which must say why."""
    answer = answer_to(broker, raw)
    assert answer.json["status"] == "error"
    assert answer.json["message"]
    return answer.status


@pytest.mark.parametrize(
    ("first", "headers", "status"),
    [
        pytest.param(b"GET /websocket", b"", 400, id="no version"),
        pytest.param(b"GET /websocket HTTP/1.1 x", b"", 400, id="words after the version"),
        pytest.param(b"GET /web socket HTTP/1.1", b"", 400, id="a space in the path"),
        pytest.param(b"GET /\x00 HTTP/1.1", b"", 400, id="NUL in the path"),
        pytest.param(b"get /websocket HTTP/1.1", b"", 400, id="small letters"),
        pytest.param(b"GETT /websocket HTTP/1.1", b"", 501, id="no such method"),
        pytest.param(b"GET /websocket HTTP/1.0", b"", 505, id="an upgrade in HTTP/1.0"),
        pytest.param(b"GET /websocket HTTP/0.9", b"", 505, id="HTTP/0.9"),
        pytest.param(b"GET /websocket HTTP/2.0", b"", 505, id="HTTP/2.0"),
        pytest.param(b"GET /websocket HTTP/1.1", b"Bad Name: x\r\n", 400, id="space in a name"),
        pytest.param(b"GET /websocket HTTP/1.1", b"Name : x\r\n", 400, id="space before a colon"),
        pytest.param(b"GET /websocket HTTP/1.1", b": x\r\n", 400, id="no name"),
        pytest.param(b"GET /websocket HTTP/1.1", b"no colon\r\n", 400, id="no colon"),
        pytest.param(b"GET /websocket HTTP/1.1", b"X: a\r\n b\r\n", 400, id="a folded line"),
        pytest.param(b"GET /websocket HTTP/1.1", b"X: a\x00b\r\n", 400, id="NUL in a value"),
        pytest.param(b"GET /websocket HTTP/1.1", b"X: a\rb\r\n", 400, id="a bare CR"),
        pytest.param(b"GET /websocket HTTP/1.1", b"X: a\nY: b\r\n", 400, id="a bare LF"),
        pytest.param(b"GET /websocket HTTP/1.1", b"Host: other\r\n", 400, id="two hosts"),
        pytest.param(
            b"GET /websocket HTTP/1.1", b"Transfer-Encoding: chunked\r\n", 400, id="with chunks"
        ),
    ],
)
def test_a_malformed_upgrade_is_answered_and_starts_no_hook(broker, take, first, headers, status):
    stage = take("none")
    raw = first + b"\r\nHost: " + stage.host.encode() + b"\r\n" + OPENS + headers + b"\r\n"
    assert refused(broker, raw) == status
    assert stage.started() == []


@pytest.mark.parametrize("path", ["//", "///", "/..", "/%00", "/%2e%2e/health", "*", "/?", "/#x"])
def test_odd_paths_are_not_there(broker, path):
    answer = broker.ask("GET", path)
    assert answer.status in (400, 404)
    assert answer.json["status"] == "error"


def test_the_host_of_an_absolute_target_is_the_one_that_counts(broker, take, connect):
    stage = take("none")
    connect(stage, host="other.example.com", path=f"http://{stage.host}/websocket")
    stage.call("connect")
    answer = answer_to(broker, upgrade_bytes(stage.host, "http://other.example.com/websocket"))
    assert answer.status == 421


@pytest.mark.parametrize("size", [16_384, 16_385])
@pytest.mark.parametrize("piece", [1_000, 16_385])
def test_a_head_is_as_long_as_it_may_be_however_it_is_cut(broker, size, piece):
    start = b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Filler: "
    raw = start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"
    stream = dial(broker.address)
    for at in range(0, size, piece):
        stream.send(raw[at : at + piece])
    assert read_answer(stream).status == (200 if size == 16_384 else 431)
    stream.close()


def test_a_request_line_without_end_is_cut_at_the_limit(broker):
    assert refused(broker, b"GET /" + b"a" * 20_000) == 414


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    from tests.conformance.program import Program

    program = Program(
        tmp_path_factory.mktemp("hasty"),
        {"push.example.com": {"hooks": []}},
        limits={"handshake_timeout": 0.5},
    )
    yield program
    program.stop()


@pytest.mark.parametrize(
    ("before", "drop"),
    [
        pytest.param(b"GET /ready HTTP/1.1\r\nX: ", b"x", id="a head"),
        pytest.param(
            b"POST /message HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", b" ", id="a body"
        ),
        pytest.param(
            b"POST /message HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\n \r\n",
            id="a chunked body",
        ),
    ],
)
def test_what_comes_drop_by_drop_for_ever_is_408(hasty, before, drop):
    stream = dial(hasty.address)
    stream.send(request_bytes("GET", "/ready"))
    assert read_answer(stream).status == 200
    stream.send(before)
    while not select.select([stream.sock], [], [], 0.02)[0]:
        stream.send(drop)
    answer = read_answer(stream)
    assert answer.status == 408
    assert "limits.handshake_timeout" in answer.json["message"]
    stream.close()
    assert hasty.health()["dropped"]["request that came too slowly"] >= 1


def test_of_more_unfinished_heads_than_may_be_the_oldest_are_cut(start):
    extra = 6
    _allow_descriptors(UNFINISHED + 256)
    program = start({"push.example.com": {"hooks": []}}, limits={"handshake_timeout": 60.0})
    neighbour = dial(program.address)
    neighbour.send(request_bytes("GET", "/ready"))
    assert read_answer(neighbour).status == 200
    crowd = []
    for _ in range(UNFINISHED + extra):
        crowd.append(dial(program.address))
        crowd[-1].send(b"GET /health HTTP/1.1\r\nHost: local")
    for cut in crowd[:extra]:
        assert cut.at_end()
    last = crowd[-1]
    last.send(b"host\r\n\r\n")
    assert read_answer(last).json["dropped"]["unfinished head over 1024"] == extra
    neighbour.send(request_bytes("GET", "/ready"))
    assert read_answer(neighbour).status == 200
    for stream in (*crowd, neighbour):
        stream.close()


def _allow_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@pytest.mark.parametrize(
    "cookie",
    [
        b"token=\xff\xfe",
        b"token=%FF%FE",
        b"token=%",
        b"token=%2",
        b"token=%GG",
        b'token="quoted"',
        b"token",
        b"=",
        b";;;",
        b"token=a=b=c",
        b"; ".join(b"c%d=x" % n for n in range(1000)),
        b"token=\x01\x7f",
    ],
    ids=lambda cookie: repr(cookie[:20]),
)
def test_an_odd_cookie_is_taken_or_refused_but_never_a_failure(broker, take, cookie):
    stage = take("none")
    stream = dial(broker.address)
    head = b"GET /websocket HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + OPENS
    stream.send(head + b"Cookie: " + cookie + b"\r\n\r\n")
    answer = read_answer(stream)
    if answer.status == 101:
        call = stage.call("connect")
        assert {row["socket"] for row in broker.presence(stage.host)} == {call.socket}
    else:
        assert answer.status == 400
        assert answer.json["message"]
        assert stage.started() == []
    stream.close()


def test_escapes_that_are_no_text_are_taken_literally(broker, take, join):
    stage = take("upgrade")
    client, socket_id = join(stage, "topsecret%FF%ED%A0%80")
    assert stage.call("auth").argv[2] == "topsecret%FF%ED%A0%80"
    assert broker.cast(stage.host, {"n": 1}, socket_id)["sent"] == 1
    assert client.receive_json() == {"n": 1}
    client.close()
    assert stage.call("close").socket == socket_id


@pytest.mark.parametrize("token", ['"topsecret\\u0001"', '"topsecret\\n"'])
def test_an_odd_token_in_the_auth_message_is_for_the_app_to_judge(broker, take, connect, token):
    stage = take()
    client = connect(stage)
    client.send(f'{{"token":{token}}}')
    stage.call("auth")
    socket_id = broker.admitted(client)
    assert [row["socket"] for row in broker.presence(stage.host)] == [socket_id]
    client.close()
    assert stage.call("close").socket == socket_id


def test_half_a_character_in_the_auth_message_is_no_token(take, connect):
    client = connect(take())
    client.send('{"token":"topsecret\\ud800"}')
    assert client.closed() == 4502


@pytest.mark.parametrize("name", ["User-Agent", "X-Forwarded-For", "X-Real-IP", "Origin", "Via"])
def test_bytes_that_are_no_text_in_a_header_break_no_report(broker, take, name):
    stage = take("none")
    head = b"GET /websocket HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + OPENS
    stream = dial(broker.address)
    stream.send(head + name.encode() + b": \xff\xc3\xa9, \x80,,\r\n\r\n")
    status = read_answer(stream).status
    assert status == (403 if name == "Origin" else 101)
    if status == 101:
        call = stage.call("connect")
        assert [row["socket"] for row in broker.presence(stage.host)] == [call.socket]
    stream.close()


# Bodies

POST = b"POST /message HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def chunks(body, size, extension=b""):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_cast_arrives_whole_and_the_next_request_is_answered(take, join, broker, size):
    stage = take("none", "quick")
    client, _ = join(stage)
    data = '{"text":"' + "\u00e9" * 50 + '"}'
    body = f'{{"host":"{stage.host}","data":{data}}}'.encode()
    raw = CHUNKED + chunks(body, size, b";name=value") + request_bytes("GET", "/ready")
    stream = dial(broker.address)
    for at in range(0, len(raw), 37):
        stream.send(raw[at : at + 37])
    assert read_answer(stream).json["sent"] == 1
    assert read_answer(stream).status == 200
    assert client.receive() == data
    stream.close()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x\r\n\r\n", id="no number"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"10000000000000000\r\n\r\n", id="more than 64 bits"),
        pytest.param(b"2\r\n{}x\r\n\r\n", id="longer than it said"),
        pytest.param(b"0x2\r\n{}\r\n", id="0x"),
        pytest.param(b" 2\r\n{}\r\n", id="a space first"),
    ],
)
def test_chunks_that_are_none_are_400(broker, body):
    assert refused(broker, CHUNKED + body) == 400


def test_chunk_extensions_and_trailers_without_end_are_cut(broker):
    assert refused(broker, CHUNKED + b"1;" + b"x" * 40_000) == 431
    assert refused(broker, CHUNKED + b"0\r\n" + b"X: y\r\n" * 10_000) == 431


def test_a_trailer_is_no_header(broker, take):
    body = b'{"host":"%b","target":"all"}' % take().host.encode()
    head = CHUNKED.replace(b"/message", b"/disconnect")
    trailer = b"Authorization: Bearer " + broker.key.encode()
    stream = dial(broker.address)
    stream.send(head + b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, trailer))
    assert read_answer(stream).status == 401
    stream.close()


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ],
    ids=lambda framing: framing.decode().strip().replace("\r\n", " | "),
)
def test_a_body_that_could_be_read_in_two_ways_is_read_in_none(broker, take, framing):
    # What a second reading would see as a request of its own.
    hidden = b"0\r\n\r\n" + request_bytes("GET", "/ready")
    status = refused(broker, POST + framing + b"\r\n" + hidden)
    assert status in (400, 413, 501)


# Pipelines


def test_a_long_pipeline_of_casts_is_answered_and_delivered_in_order(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    count = 500
    raw = b"".join(
        request_bytes("POST", "/message", {"host": stage.host, "data": {"n": n}})
        for n in range(count)
    )
    stream = dial(broker.address)
    stream.send(raw)
    assert [read_answer(stream).json["sent"] for _ in range(count)] == [1] * count
    assert [client.receive_json()["n"] for _ in range(count)] == list(range(count))
    stream.close()


def test_a_bad_request_in_a_pipeline_costs_the_others_nothing(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    good = request_bytes("POST", "/message", {"host": stage.host, "data": {"n": 1}})
    bad = request_bytes("POST", "/message", b'{"host":')
    stream = dial(broker.address)
    stream.send(good + bad + good + b"broken\r\n\r\n" + good)
    assert [read_answer(stream).status for _ in range(4)] == [200, 400, 200, 400]
    assert stream.at_end()
    assert [client.receive_json() for _ in range(2)] == [{"n": 1}] * 2
    assert broker.cast(stage.host, {"n": 2})["sent"] == 1
    assert client.receive_json() == {"n": 2}
    stream.close()


def test_a_caller_that_never_reads_its_answers_is_not_read_either(broker):
    stream = dial(broker.address, receive_buffer=4096)
    large = len(broker.ask("GET", "/health").body)
    piece = request_bytes("GET", "/health") * 200
    if has_proc := Path("/proc/self/status").exists():
        before, _ = memory(broker.pid)
    sent = 0
    stream.sock.setblocking(False)
    # A second in which nothing can be sent: the broker has stopped reading.
    while select.select([], [stream.sock], [], 1.0)[1]:
        sent += stream.sock.send(piece[sent % len(piece) :])
        assert sent < 64 << 20, "it is read without end"
    assert broker.ask("GET", "/ready").status == 200
    assert sent // len(piece) * 200 * large > 64 << 20, "it asked for too little to show anything"
    if has_proc:
        assert memory(broker.pid)[1] - before < 32 << 20
    stream.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{",
        b"{} {}",
        b'{"host":1}',
        b'{"host":"%h","data":NaN}',
        b'{"host":"%h","data":{"a":Infinity}}',
        b'{"host":"%h","data":7}',
        b'{"host":"%h","data":null}',
        b'{"host":"%h","data":{},}',
        b'{"host":"%h",/* */"data":{}}',
        b"{'host':'%h'}",
        b'\xef\xbb\xbf{"host":"%h"}',
        b'{"host":"%h","data":{"a":"\xff"}}',
        b'{"host":"%h","data":{"a":"\xed\xa0\x80"}}',
        b'{"host":"%h","data":{"a":"\x01"}}',
        b'{"host":"%h","data":{"a":"\\x"}}',
        b'{"host":"%h","daat":{}}',
        b'{"host":"%h","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"host":"%h","data":' + b"[" * 100_000,
        b'{"host":"%h","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"host":"%h","target":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_cast_that_is_no_json_is_400_and_reaches_nobody(broker, take, join, body):
    stage = take("none", "quick")
    client, _ = join(stage)
    answer = broker.ask("POST", "/message", body.replace(b"%h", stage.host.encode()))
    assert answer.status == 400
    assert answer.json["message"]
    assert broker.cast(stage.host, {"n": 1})["sent"] == 1
    assert client.receive_json() == {"n": 1}


def test_a_cast_of_data_that_is_deep_but_valid_arrives(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    data = b"[" * 513 + b"]" * 513
    body = b'{"host":"%b","data":%b}' % (stage.host.encode(), data)
    assert broker.ask("POST", "/message", body).json["sent"] == 1
    assert client.receive() == data.decode()


def test_frames_to_the_bridge_are_no_requests(broker):
    assert refused(broker, frame(TEXT, b'{"a":1}')) == 400
