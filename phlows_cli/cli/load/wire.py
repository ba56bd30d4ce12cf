"""Bytes that the load generator sends and expects. No I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from phlows_cli import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD_LIMIT: Final = 65536
"""Bytes of an answer's head, or of a refusal with its body."""
SMALLEST: Final = 72
"""Bytes of the smallest payload: what tells it from all others."""
LARGEST: Final = 1_000_000
"""Bytes of the largest payload: with its envelope it fits bridge.body_limit."""

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_RETRY: Final = re.compile(rb"\r\nretry-after: *(\d{1,6})\r\n", re.IGNORECASE)
_ACCEPT: Final = re.compile(rb"\r\nsec-websocket-accept: *([^\r ]+) *\r\n", re.IGNORECASE)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")


def numbered_payload(run: str, group: int, number: int, size: int) -> bytes:
    """A payload of exactly so many bytes, unlike any other."""
    head = b'{"bench":"%s","g":"%06d","n":"%010d","pad":"' % (run.encode(), group, number)
    return head + b"x" * (size - len(head) - 2) + b'"}'


def number_pattern(run: str) -> re.Pattern[bytes]:
    """Find the group and number of a run's payload, however its JSON is spaced."""
    return re.compile(
        rb'"bench": ?"%s", ?"g": ?"(\d{6})", ?"n": ?"(\d{10})"' % re.escape(run.encode())
    )


def server_frame(payload: bytes) -> bytes:
    """The text frame in which a payload has to arrive, byte for byte."""
    return bytes((0x80 | TEXT,)) + _length(len(payload), 0) + payload


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame. A mask of zeros is a mask, and costs nothing to apply."""
    return bytes((0x80 | opcode,)) + _length(len(payload), 0x80) + b"\0\0\0\0" + payload


def _length(size: int, flag: int) -> bytes:
    if size < 126:
        return bytes((flag | size,))
    if size < 65536:
        return bytes((flag | 126,)) + size.to_bytes(2, "big")
    return bytes((flag | 127,)) + size.to_bytes(8, "big")


class Frames:
    """The whole frames that a server's bytes begin with; `rest` is what is left."""

    def __init__(self, stream: bytes) -> None:
        self.rest = stream

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Give (opcode, payload), one after the other."""
        stream, at = self.rest, 0
        while (found := _extent(stream, at)) is not None:
            start, end = found
            opcode, at = stream[at] & 0x0F, end
            self.rest = stream[end:] if end < len(stream) else b""
            yield opcode, stream[start:end]


def _extent(stream: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame at `at` begins and ends, once it is whole."""
    left = len(stream) - at
    if left < 2:
        return None
    size, head = stream[at + 1] & 0x7F, 2
    if size >= 126:
        head = 4 if size == 126 else 10
        if left < head:
            return None
        size = int.from_bytes(stream[at + 2 : at + head], "big")
    return (at + head, at + head + size) if left >= head + size else None


def close_reason(payload: bytes) -> tuple[int, str]:
    """The code and reason of a close frame; 1005 when it has none."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return code, payload[2:].decode("utf-8", "replace")


class Answer(NamedTuple):
    """One HTTP answer, and how many bytes of the stream it took."""

    status: int
    retry_after: int | None
    accept: bytes
    body: bytes
    size: int

    @property
    def message(self) -> str:
        """The broker's words of an error; "" when it has none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return ""
        return str(value.get("message", "")) if isinstance(value, dict) else ""


def read_answer(stream: bytes | bytearray) -> Answer | None:
    """The answer that the bytes begin with; None while it is not whole.

    Raises:
        ValueError: what comes is no HTTP.
    """
    end = stream.find(b"\r\n\r\n")
    if end < 0:
        if len(stream) > HEAD_LIMIT or not b"HTTP/1.".startswith(bytes(stream[:7])):
            raise ValueError("no HTTP answer")
        return None
    head = bytes(stream[: end + 2])
    status = _STATUS.match(head)
    if status is None:
        raise ValueError("no HTTP answer")
    length = _LENGTH.search(head)
    size = end + 4 + (int(length[1]) if length else 0)
    if len(stream) < size:
        return None
    retry, accept = _RETRY.search(head), _ACCEPT.search(head)
    return Answer(
        int(status[1]),
        int(retry[1]) if retry else None,
        accept[1] if accept else b"",
        bytes(stream[end + 4 : size]),
        size,
    )


def accept_for(key: str) -> bytes:
    """What a server has to answer to a Sec-WebSocket-Key."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest)


def upgrade_request(path: str, key: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """A WebSocket handshake."""
    fixed = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
    )
    return _head(f"GET {path} HTTP/1.1", (*headers, *fixed))


def bridge_request(method: str, path: str, authority: str, key: str, body: bytes = b"") -> bytes:
    """A keep-alive call of the bridge, with the key if there is one."""
    headers = [("Host", authority), ("User-Agent", f"phlows-bench/{__version__}")]
    if key:
        headers.append(("Authorization", f"Bearer {key}"))
    if method == "POST":
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return _head(f"{method} {path} HTTP/1.1", headers) + body


def _head(first: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def cast_body(host: str, target: str, payload: bytes) -> bytes:
    """The body of a cast whose data stays as it is."""
    names = json.dumps(host).encode(), json.dumps(target).encode()
    return b'{"host":%s,"target":%s,"data":%s}' % (*names, payload)
