"""The bytes that the load generator sends and expects."""

from __future__ import annotations

import json
import re
from itertools import cycle
from typing import Final

from benchmarks.errors import ContenderError

DATA_SIZE: Final = 128
"""Bytes of a cast's data, and so of each delivered payload."""
FRAME_SIZE: Final = DATA_SIZE + 4
"""Over 125 bytes the length takes two more: one opcode, one 126, two of length."""

_PREFIX: Final = b'{"c":"%03d","n":"%08d","pad":"'
_PREFIX_SIZE: Final = len(_PREFIX % (0, 0))
_KEY: Final = "cGhsb3dzLWJlbmNobWFyaw=="
_MASK: Final = b"\x37\xfa\x21\x3d"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def numbered_data(connection: int, number: int, size: int = DATA_SIZE) -> bytes:
    """A cast's data of exactly `size` bytes, unlike any other."""
    return _PREFIX % (connection, number) + b"x" * (size - _PREFIX_SIZE - 2) + b'"}'


def text_frame(payload: bytes) -> bytes:
    """The frame in which a server sends this, byte for byte."""
    if len(payload) < 126:
        return bytes((0x81, len(payload))) + payload
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def numbered_frame(connection: int, number: int, size: int = DATA_SIZE) -> bytes:
    """The frame in which that data has to arrive, byte for byte."""
    return text_frame(numbered_data(connection, number, size))


def connection_of(frame: bytes) -> int:
    """Which cast connection a frame names; -1 when it names none."""
    digits = frame[10:13]
    return int(digits) if digits.isdigit() else -1


def cast_request(address: str, host: str, data: bytes, target: str = "all") -> bytes:
    """A whole `POST /message` to sockets of a host."""
    names = (json.dumps(host).encode(), json.dumps(target).encode())
    body = b'{"host":%s,"target":%s,"data":%s}' % (*names, data)
    return post_request(address, "/message", body)


def post_request(address: str, path: str, body: bytes = b"{}") -> bytes:
    """A keep-alive POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def upgrade_request(host: str, path: str = "/websocket", more: str = "") -> bytes:
    """A WebSocket handshake; its key is always the same. `more` are whole lines."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\nSec-WebSocket-Version: 13\r\n"
        f"{more}\r\n"
    ).encode()


def message_frame(text: bytes) -> bytes:
    """A client's text frame, masked as the protocol asks."""
    return _masked_frame(0x81, text)


def pong_frame(ping: bytes) -> bytes:
    """The answer to a whole ping frame."""
    return _masked_frame(0x8A, ping[2:])


def _masked_frame(opcode: int, payload: bytes) -> bytes:
    masked = bytes(byte ^ key for byte, key in zip(payload, cycle(_MASK), strict=False))
    if len(payload) < 126:
        return bytes((opcode, 0x80 | len(payload))) + _MASK + masked
    return bytes((opcode, 0xFE)) + len(payload).to_bytes(2, "big") + _MASK + masked


def first_frame(stream: bytes) -> bytes:
    """The whole frame that a server's bytes begin with; b"" if unfinished.

    Raises: ContenderError for a close frame, and for a length over 16 bits.
    """
    if len(stream) < 4 and (len(stream) < 2 or stream[1] >= 126):
        return b""
    if stream[0] == 0x88:
        raise ContenderError(f"the server closed a socket: {stream[2:]!r}")
    if stream[1] > 126:
        raise ContenderError(f"not a frame of ours: {stream[:16]!r}")
    end = 2 + stream[1] if stream[1] < 126 else 4 + int.from_bytes(stream[2:4], "big")
    return stream[:end] if len(stream) >= end else b""


def is_ping(frame: bytes) -> bool:
    """Whether a frame is the server's keepalive."""
    return frame[:1] == b"\x89"


def answer_size(received: bytes) -> int:
    """The whole length of the answer that starts here; 0: head unfinished."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    length = _LENGTH.search(received, 0, end + 2)
    if length is None:
        raise ContenderError(f"an answer without content-length: {received[:80]!r}")
    return end + 4 + int(length[1])
