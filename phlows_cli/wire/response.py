"""Answers of the bridge, and refusals of upgrades, as bytes."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.model import Receipt

HeaderLines: TypeAlias = "Iterable[tuple[str, str]]"
"""Names and values of our own making: nothing here escapes a line end."""

_JSON: Final = "application/json"
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_encode: Final = msgspec.json.Encoder().encode

_RECEIPT: Final = b'{"status":"ok","host":%b,"sent":%d,"matched":%d,"dropped":%d,"held":%d}'
_RECEIPT_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b"
)
_KEEP: Final = {True: b"", False: b"connection: close\r\n"}


def json_response(
    value: object, status: int = 200, headers: HeaderLines = (), keep_alive: bool = True
) -> bytes:
    """Answer with a value as JSON."""
    return text_response(_encode(value), _JSON, status, headers, keep_alive)


def error_response(
    status: int, message: str, headers: HeaderLines = (), keep_alive: bool = False
) -> bytes:
    """Answer with the one shape that every error has."""
    value = {"status": "error", "message": message}
    return json_response(value, status, headers, keep_alive)


@lru_cache(256)
def receipt_response(receipt: Receipt, keep_alive: bool = True) -> bytes:
    """Answer a cast; to one audience after the other the answers are the same."""
    sent, dropped = receipt.sent, receipt.dropped
    host = _encode(receipt.host)
    body = _RECEIPT % (host, sent, sent + dropped, dropped, receipt.held)
    return _RECEIPT_HEAD % (len(body), _KEEP[keep_alive], body)


def text_response(
    body: bytes,
    content_type: str,
    status: int = 200,
    headers: HeaderLines = (),
    keep_alive: bool = True,
) -> bytes:
    """Answer with a whole body of any type."""
    lines = [
        _STATUS_LINES[status],
        f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n",
    ]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    lines.append("\r\n" if keep_alive else "connection: close\r\n\r\n")
    return "".join(lines).encode("latin-1") + body


def stream_head(status: int = 200, content_type: str = "application/x-ndjson") -> bytes:
    """Begin an answer whose body follows as chunks.

    A proxy that buffered it would hold back events until there are many.
    """
    return (
        f"{_STATUS_LINES[status]}content-type: {content_type}\r\n"
        "transfer-encoding: chunked\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n\r\n"
    ).encode("latin-1")


END_OF_STREAM: Final = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Serialize a piece of a stream; none for no bytes, which would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
