"""Broken, endless and crowded requests: a clear answer, and nobody else notices."""

from __future__ import annotations

import resource
import select

import pytest

from tests.conformance.client import upgrade_bytes
from tests.conformance.stream import dial
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
