"""One payload to one server frame, encoded once for all its receivers."""

from __future__ import annotations

from struct import pack
from typing import Final

from phlows_cli.model import CloseCode

_TEXT: Final = 0x81
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PONG: Final = 0x8A

CONTROL_LIMIT: Final = 125
"""Bytes of payload in a control frame. Source: RFC 6455, 5.5."""

_NEVER_SENT: Final = frozenset({1004, 1005, 1006, 1015})


def text_frame(payload: bytes) -> bytes:
    """Serialize a whole text message, unmasked as servers send it."""
    return _serialize(_TEXT, payload)


def ping_frame(data: bytes = b"") -> bytes:
    """Serialize a ping.

    Raises:
        ValueError: `data` is longer than a control frame carries.
    """
    return _serialize(_PING, _control_payload(data))


def pong_frame(data: bytes) -> bytes:
    """Serialize the answer to a ping that carried `data`.

    Raises:
        ValueError: `data` is longer than a control frame carries.
    """
    return _serialize(_PONG, _control_payload(data))


def close_frame(code: int, reason: str = "") -> bytes:
    """Serialize a close frame; a long reason is cut between characters.

    Args:
        code: a sendable code, or 1005 for a frame without code and reason.
        reason: shown to the client's developer.

    Raises:
        ValueError: a frame must not carry this code.
    """
    if code == CloseCode.NO_STATUS:
        return _serialize(_CLOSE, b"")
    if not is_sendable(code):
        raise ValueError(f"close code {code} must not be sent")
    return _serialize(_CLOSE, pack("!H", code) + _cut(reason, CONTROL_LIMIT - 2))


def is_sendable(code: int) -> bool:
    """Whether a close frame may carry the code.

    Source: RFC 6455, 7.4.
    """
    return 1000 <= code < 5000 and code not in _NEVER_SENT


def _control_payload(data: bytes) -> bytes:
    if len(data) > CONTROL_LIMIT:
        raise ValueError(f"control payload of {len(data)} bytes exceeds {CONTROL_LIMIT}")
    return data


def _cut(text: str, limit: int) -> bytes:
    """The longest whole-character UTF-8 prefix within `limit` bytes."""
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode()


def _serialize(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return pack("!BBH", first, 126, size) + payload
    return pack("!BBQ", first, 127, size) + payload
