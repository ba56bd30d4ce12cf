"""The bare epoll loop beside which ratios are judged: it says what is true, and cuts the rest."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from functools import partial

import pytest
from websockets.sync.client import connect as open_websocket

from benchmarks import contenders, tools
from benchmarks.errors import BenchmarkError, MissingToolError
from benchmarks.sockets import Exchange, connect, upgraded
from benchmarks.wire import answer_size, message_frame, post_request, text_frame, upgrade_request

pytestmark = pytest.mark.cc

HEAD = b"POST /message HTTP/1.1\r\n"
UPGRADE = upgrade_request("bench.test")


@pytest.fixture(scope="module")
def floor():
    with contenders.floor() as contender:
        yield contender


@pytest.fixture
def websocket(floor):
    """As the `websockets` library opens one: it checks the answer to its key."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            open_websocket(f"ws://127.0.0.1:{floor.port}", compression=None)
        )


def receipt(floor, data=b"{}"):
    with closing(Exchange(floor.port)) as line:
        return json.loads(line.ask(floor.cast("all", data)))


def answers(stream):
    while size := answer_size(stream):
        yield stream[:size]
        stream = stream[size:]


def all_of(connection):
    """What comes until the other end is closed, reset or not."""
    received = []
    try:
        while part := connection.recv(65536):
            received.append(part)
    except ConnectionResetError:
        pass
    return b"".join(received)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 4096, 65535])
def test_a_message_comes_back_whatever_its_length(websocket, length):
    socket = websocket()
    socket.send("x" * length)

    assert socket.recv(10) == "x" * length


def test_a_ping_is_answered(websocket):
    assert websocket().ping(b"beat").wait(10)


def test_a_cast_reaches_every_socket_and_its_receipt_counts_them(floor, websocket):
    opened = [websocket() for _ in range(5)]
    data = json.dumps({"pad": "x" * 300}, separators=(",", ":"))
    before = receipt(floor)
    told = receipt(floor, data.encode())

    assert before == told == {"status": "ok", "sent": 5, "matched": 5}
    assert [[each.recv(10), each.recv(10)] for each in opened] == [["{}", data]] * 5


def test_sockets_that_are_gone_are_no_longer_counted(floor):
    with upgraded(floor.port, 3, lambda _: UPGRADE) as [first, *_], connect(floor.port) as other:
        assert receipt(floor)["sent"] == 3
        first.close()
        other.sendall(UPGRADE)  # its answer comes after the loop has seen the end
        assert other.recv(4096).startswith(b"HTTP/1.1 101")
        assert receipt(floor)["sent"] == 3


def test_requests_in_a_row_are_answered_in_a_row(floor):
    request = floor.cast("all", b"{}")
    with connect(floor.port) as line:
        line.sendall(request * 32 + HEAD)
        received = b""
        while len(list(answers(received))) < 32:
            received += line.recv(65536)

    assert {each.partition(b"\r\n\r\n")[2] for each in answers(received)} == {
        b'{"status":"ok","sent":0,"matched":0}'
    }


def test_what_comes_byte_by_byte_is_put_together(floor):
    with connect(floor.port) as line:
        for byte in floor.cast("all", b"{}"):
            line.sendall(bytes((byte,)))
        assert b'"sent":0' in line.recv(4096)
        for byte in UPGRADE:
            line.sendall(bytes((byte,)))
        assert line.recv(4096).startswith(b"HTTP/1.1 101")
        for byte in message_frame(b"x" * 200):
            line.sendall(bytes((byte,)))
        assert line.recv(4096) == text_frame(b"x" * 200)


post = partial(post_request, "bench.test", "/message")
WRONG_REQUESTS = {
    "no HTTP": b"nonsense\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "another path": post_request("bench.test", "/presence", b'{"target":"all","data":{}}'),
    "no length": HEAD + b"\r\n",
    "no number": HEAD + b"Content-Length: \r\n\r\n",
    "too long": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "negative": HEAD + b"Content-Length: -1\r\n\r\n",
    "no data": post(b'{"target":"all"}'),
    "no end of data": post(b'{"target":"all","data":'),
    "another target": post(b'{"target":"token:x","data":{}}'),
    "data over 16 bits": post(b'{"target":"all","data":%b}' % (b"1" * 65536)),
    "no end of the head": b"GET / HTTP/1.1\r\n" + b"x" * 80_000,
    "no key": b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    "an empty key": b"GET / HTTP/1.1\r\nSec-WebSocket-Key: \r\n\r\n",
    "a long key": b"GET / HTTP/1.1\r\nSec-WebSocket-Key: " + b"k" * 65 + b"\r\n\r\n",
}
WRONG_FRAMES = {
    "not masked": b"\x81\x05hello",
    "binary": b"\x82\x80mask",
    "not whole": b"\x01\x80mask",
    "over 16 bits": b"\x81\xff" + bytes(12),
    "a close": b"\x88\x82mask\x00\x00",
}


@pytest.mark.parametrize("sent", WRONG_REQUESTS.values(), ids=WRONG_REQUESTS)
def test_a_request_that_is_none_of_ours_is_cut_off_and_others_are_answered(floor, sent):
    with connect(floor.port) as line:
        line.sendall(sent)
        assert all_of(line) == b""

    assert receipt(floor)["status"] == "ok"


@pytest.mark.parametrize("sent", WRONG_FRAMES.values(), ids=WRONG_FRAMES)
def test_a_frame_that_is_none_of_ours_is_cut_off_and_others_are_answered(floor, sent):
    with connect(floor.port) as line:
        line.sendall(UPGRADE + sent)
        all_of(line)

    assert receipt(floor) == {"status": "ok", "sent": 0, "matched": 0}


def test_a_socket_that_does_not_read_is_cut_off(floor):
    with upgraded(floor.port, 1, lambda _: UPGRADE):
        sent, casts = 1, 0
        while sent and casts < 10_000:
            sent, casts = receipt(floor, b'"%b"' % (b"x" * 60_000))["sent"], casts + 1

    assert 1 < casts < 10_000


def test_without_a_compiler_it_is_left_out_and_no_app_can_be_given(monkeypatch, tmp_path):
    with pytest.raises(BenchmarkError, match="no app"), contenders.floor(tmp_path):
        pass
    monkeypatch.setattr(tools.shutil, "which", lambda *_: None)
    with pytest.raises(MissingToolError, match="no C compiler for the epoll"), contenders.floor():
        pass
