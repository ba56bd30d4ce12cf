"""Broken and hostile frames: each ends its own connection at most."""

from __future__ import annotations

import json
import select

import pytest

from tests.conformance.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RefusedError,
    WebSocket,
    frame,
    upgrade_bytes,
)
from tests.conformance.stream import dial
from tests.conformance.web import read_answer

pytestmark = pytest.mark.usefixtures("unharmed")

QUARTER_MEGABYTE = 256 * 1024
EMPTY_PING = b"\x89\x80abcd"


def deep(depth, opening="[", closing="]", core=""):
    return opening * depth + core + closing * depth


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(deep(513), id="513 arrays"),
        pytest.param(deep(513, '{"a":', "}", "1"), id="513 objects"),
        pytest.param(deep(65_000), id="65,000 arrays"),
        pytest.param("[" * 100_000, id="100,000 arrays without end"),
        pytest.param(deep(20_000, '{"a":', "}", "1"), id="20,000 objects"),
        pytest.param('{"a":' + deep(600) + "}", id="600 arrays in an object"),
        pytest.param('{"wsSocket":1}', id="a key that is the broker's"),
        pytest.param('{"ws\\u0048ost":1}', id="such a key, disguised"),
        pytest.param('{"a":NaN}', id="NaN"),
        pytest.param('{"a":1,}', id="a comma too many"),
        pytest.param("\ufeff{}", id="a byte order mark"),
        pytest.param('{"a":"\x01"}', id="a control character"),
        pytest.param("{}{}", id="two values"),
    ],
)
def test_a_message_that_no_app_could_take_is_told_so_and_the_socket_lives(take, connect, message):
    stage = take("none")
    client = connect(stage)
    client.send(message)
    assert set(client.receive_json()) == {"error"}
    client.send({"do": [["print", '{"still":"here"}']]})
    assert client.receive_json() == {"still": "here"}
    assert [call.hook for call in stage.started()] == ["connect", "receive"]


def test_brackets_in_a_text_are_no_depth(take, connect):
    stage = take("none")
    client = connect(stage)
    message = json.dumps({"text": "[{" * 1000 + '\\"'})
    client.send(message)
    assert stage.call("receive").argv[4] == message


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(frame(PING, b"", masked=False), 1002, id="a ping without a mask"),
        pytest.param(frame(CLOSE, b"\x03\xe8", masked=False), 1002, id="a close without a mask"),
        pytest.param(frame(TEXT, b"{}", rsv=2), 1002, id="second reserved bit"),
        pytest.param(frame(TEXT, b"{}", rsv=1), 1002, id="third reserved bit"),
        pytest.param(frame(PING, b"", rsv=4), 1002, id="a ping with a reserved bit"),
        pytest.param(frame(0xB, b""), 1002, id="a control frame that there is not"),
        pytest.param(
            frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", rsv=4),
            1002,
            id="a reserved bit later",
        ),
        pytest.param(
            frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", masked=False),
            1002,
            id="no mask later",
        ),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="a reason that is not UTF-8"),
        pytest.param(frame(CLOSE, b"\x00\x00"), 1002, id="code 0"),
        pytest.param(frame(CLOSE, b"\x03\xee"), 1002, id="code 1006"),
        pytest.param(frame(CLOSE, b"\x13\x88"), 1002, id="code 5000"),
        pytest.param(frame(CLOSE, b"x" * 126), 1002, id="a long close"),
        pytest.param(b"\x81\xff" + b"\xff" * 8 + b"abcd", 1009, id="a negative length"),
        pytest.param(b"\x81\xff\x7f" + b"\xff" * 7 + b"abcd", 1009, id="eight exabytes"),
        pytest.param(b"\x81\xfe\xff\xffabcd", None, id="less than it said, and silence"),
        pytest.param(frame(BINARY, b"{", fin=False), 1003, id="binary in fragments"),
        pytest.param(frame(BINARY, b""), 1003, id="empty binary"),
        pytest.param(frame(TEXT, b'{"a":"\xf8\x88\x80\x80\x80"}'), 1007, id="five-byte UTF-8"),
        pytest.param(frame(TEXT, b'{"a":"\xc0\xaf"}'), 1007, id="overlong UTF-8"),
        pytest.param(frame(TEXT, b'{"a":"\xf4\x90\x80\x80"}'), 1007, id="above Unicode"),
        pytest.param(frame(TEXT, b'{"a":"\xc3'), 1007, id="half a character"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1002, id="HTTP again"),
        pytest.param(b"\x00" * 64, 1002, id="zeros"),
        pytest.param(b"\xff" * 64, 1002, id="ones"),
    ],
)
@pytest.mark.parametrize("piece", [1, 1 << 20], ids=["byte by byte", "at once"])
def test_a_broken_frame_ends_its_own_connection_only(broker, take, connect, bad, code, piece):
    stage = take("none", "quick")
    client = connect(stage)
    for at in range(0, len(bad), piece):
        client.stream.send(bad[at : at + piece])
    socket_id = broker.socket_of(client)
    if code is None:
        client.stream.reset()
        assert broker.ended(socket_id)["code"] == 1006
    else:
        assert client.closed() == code
        assert broker.ended(socket_id)["code"] == code
    broker.hook_done(socket_id, "close")


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_controls_between_fragments_disturb_no_message(take, connect, piece):
    client = connect(take("none"))
    raw = (
        frame(TEXT, b'{"do":[["print",', fin=False)
        + frame(PING, b"a")
        + frame(CONTINUATION, b"", fin=False)
        + frame(PONG, b"unasked")
        + frame(CONTINUATION, b'"[1]"]]}')
        + frame(PING, b"b")
    )
    for at in range(0, len(raw), piece):
        client.stream.send(raw[at : at + piece])
    frames = [client.read_frame() for _ in range(3)]
    assert [text for opcode, text in frames if opcode == PONG] == [b"a", b"b"]
    assert [text for opcode, text in frames if opcode == TEXT] == [b"[1]"]


# Before the handshake is done


@pytest.fixture
def early(broker, take, gate, token):
    """Sends bytes while auth decides about the upgrade; then lets it say yes."""
    clients = []

    def sent(*pieces):
        stage = take("upgrade")
        stage.plan(auth=[["gate", gate.port], ["print", "true"]])
        stream = dial(broker.address)
        client = WebSocket(stream, "")
        clients.append(client)
        stream.send(upgrade_bytes(stage.host, headers=[("Cookie", f"token={token}")]))
        visitor = gate.arrival()
        for piece in pieces:
            stream.send(piece)
        visitor.let_on()
        assert read_answer(stream).status == 101
        client.id = visitor.socket
        client.stage = stage
        return client

    yield sent
    for client in clients:
        client.drop()


def test_a_ping_before_the_handshake_is_answered_after_it(early):
    client = early(frame(PING, b"early"))
    assert client.read_frame() == (PONG, b"early")


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([frame(TEXT, b"{}", masked=False)], 1002, id="a broken frame"),
        pytest.param([frame(CLOSE, b"\x03\xe8")], 1000, id="a close frame"),
        pytest.param([upgrade_bytes("push.example.com")], 1002, id="a second upgrade"),
        # More than the broker holds: the rest stays in the system's buffers till auth is done.
        pytest.param([b"\xff" * 15_000, b"\xff" * 50_000], 1002, id="too many bytes"),
    ],
)
def test_what_ends_a_socket_before_its_handshake_is_seen_after_it(
    broker, early, connect, pieces, code
):
    client = early(*pieces)
    assert client.closed() == code
    assert broker.ended(client.id)["code"] == code
    client.stage.plan()
    # It left before its connect was started. Another one's life shows that nothing comes later.
    later = connect(client.stage, cookie="topsecret")
    later.close()
    broker.hook_done(broker.socket_of(later), "close")
    assert client.stage.hooks_of(client.id) == ["auth"]


# Floods


def test_a_quarter_megabyte_of_empty_pings_is_answered_beside_others(take, connect, neighbour):
    client = connect(take("none", "quick"))
    count = QUARTER_MEGABYTE // len(EMPTY_PING)
    client.stream.send(EMPTY_PING * count)
    neighbour.send({"while": "it pings"})
    assert neighbour.receive_json() == {"while": "it pings"}
    assert [client.read_frame() for _ in range(count)] == [(PONG, b"")] * count


def test_pings_whose_answers_nobody_reads_make_a_slow_consumer(broker, take, connect):
    client = connect(take("none", "quick"), receive_buffer=4096)
    socket_id = broker.socket_of(client)
    ping = frame(PING, b"x" * 125)
    client.stream.sock.setblocking(False)
    sent = 0
    while not (closed := broker.events.of("close", socket_id)):
        if select.select([], [client.stream.sock], [], 0.05)[1]:
            sent += client.stream.sock.send((ping * 500)[sent % len(ping) :])
        assert sent < 256 << 20, "nobody was cut"
    assert closed["code"] == 4000
    client.stream.reset()
    broker.hook_done(socket_id, "close")


def test_a_flood_of_pongs_and_empty_fragments_costs_its_sender_only(take, connect, neighbour):
    client = connect(take("none", "quick"))
    client.stream.send(b"\x8a\x80abcd" * 20_000)
    client.stream.send(b"\x01\x80abcd" + b"\x00\x80abcd" * 20_000)
    neighbour.send({"while": "it floods"})
    assert neighbour.receive_json() == {"while": "it floods"}
    assert client.closed() == 1009


def test_a_message_rate_cuts_who_exceeds_it_and_nobody_else(start, connect):
    host = "rate.example.com"
    program = start({host: {"app": "quick", "auth": "none"}}, limits={"message_rate": 20.0})
    stage = program.stages[host]
    quiet = connect(stage, to=program)
    for flood in (frame(TEXT, b"{}") * 500, EMPTY_PING * 20_000, b"\x8a\x80abcd" * 20_000):
        client = connect(stage, to=program)
        client.stream.send(flood)
        socket_id = program.socket_of(client)
        assert program.ended(socket_id)["code"] == 4003
        assert "limits.message_rate" in program.ended(socket_id)["reason"]
        program.hook_done(socket_id, "close")
        client.stream.reset()
    program.cast(host, {"n": 1}, program.admitted(quiet))
    assert quiet.receive_json() == {"n": 1}


def test_half_a_message_can_be_abandoned_in_every_way(broker, take, connect):
    stage = take("none", "quick")
    half = frame(TEXT, b"x" * 50_000, fin=False) + frame(CONTINUATION, b"y" * 100)[:-50]
    for leave in (lambda c: c.drop(), lambda c: c.stream.reset()):
        client = connect(stage)
        client.stream.send(half)
        socket_id = broker.socket_of(client)
        leave(client)
        broker.ended(socket_id)
        broker.hook_done(socket_id, "close")
    with pytest.raises(RefusedError):
        connect(stage, path="/elsewhere")
