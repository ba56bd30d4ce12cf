"""A client's WebSocket frames, and the messages in them.

Bytes are messages, pongs, a close, or a failure with one of four codes; the same
in pieces; nothing follows a close; no more is held than a message may have.
"""

from __future__ import annotations

from fuzzing.target import Target, pieces, streams
from phlows_cli.broker.messages import auth_token, is_auth_message, problem_with
from phlows_cli.wire.websocket import MessageReader, PeerClose

MAX_MESSAGE = 300
LONGEST_HEAD = 14
FAILURES = frozenset({1002, 1003, 1007, 1009})
MASK = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes = b"") -> bytes:
    """A masked frame of less than 126 bytes."""
    masked = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([first, 0x80 | len(payload)]) + MASK + masked


def read(parts: list[bytes], largest: int) -> tuple[list, bytes, object]:
    """The events, the bytes to send and the failure that the bytes come to."""
    reader, events, out = MessageReader(MAX_MESSAGE), [], b""
    for part in parts:
        if (message := reader.whole_text(part)) is not None:
            events.append(message)
            continue
        reader.receive_data(part)
        events += reader.events_received(8)
        while reader.has_more:
            events += reader.events_received(8)
        out += reader.data_to_send()
        held = len(reader._buffer) - reader._start
        assert held <= MAX_MESSAGE + LONGEST_HEAD + largest, held
        assert reader._size <= MAX_MESSAGE, reader._size
    return events, out, reader.failed


def server_frames(out: bytes) -> list[int]:
    """The opcodes of what is sent: whole frames, control frames only."""
    found = []
    while out:
        first, size = out[0], out[1]
        assert first in (0x88, 0x8A), first
        assert size <= 125
        assert len(out) >= 2 + size
        found.append(first)
        out = out[2 + size :]
    return found


def take(message: str) -> None:
    """Everything that a message is asked."""
    assert len(message.encode()) <= MAX_MESSAGE
    problem_with(message)
    is_auth_message(message)
    try:
        auth_token(message)
    except ValueError as error:
        assert str(error)


def check(data: bytes) -> None:
    """Hold a stream of frames to the rule."""
    stream, parts = pieces(data)
    events, out, failed = read(parts, max(map(len, parts), default=0))
    if len(parts) > 1:
        assert (events, out, failed) == read([stream], len(stream)), "pieces make a difference"
    assert failed is None or failed.code in FAILURES, failed
    closes = [event for event in events if isinstance(event, PeerClose)]
    assert closes == events[-1:] or not closes, "something follows a close"
    assert server_frames(out).count(0x88) == bool(closes or failed)
    assert not (out and closes) or server_frames(out)[-1] == 0x88
    for event in events:
        if isinstance(event, str):
            take(event)


TARGET = Target(
    "frames",
    check,
    streams(
        frame(0x81, '{"a":"é"}'.encode()) + frame(0x89, b"p") + frame(0x8A),
        frame(0x01, b'{"type":') + frame(0x89) + frame(0x00) + frame(0x80, b'"auth","token":"t"}'),
        frame(0x88, b"\x03\xe8bye") + frame(0x81, b"{}"),
        b"\x81\xfe\x00\x7e" + MASK + b"x" * 126,
        b"\x82\xff" + (65536).to_bytes(8, "big") + MASK,
    ),
    (
        *(MASK, b"\x81\x80" + MASK, b"\x01\x80" + MASK, b"\x00\x80" + MASK, b"\x80\x80" + MASK),
        *(b"\x88\x80" + MASK, b"\x88\x82" + MASK, b"\x89\x80" + MASK, b"\x8a\xfd" + MASK),
        *(b"\x81\xfe", b"\x81\xff", b"\xff" * 8, b"\x00\x7e", b"\x01\x2c", b"\x01\x2d", b"\xc1"),
        *(frame(0x81, b"{}")[2:], frame(0x81, b"\xff\xff")[2:], frame(0x88, b"\x03\xed")),
    ),
)
