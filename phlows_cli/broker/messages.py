"""What a client's message must be. Pure."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from phlows_cli.model import RESERVED_KEYS

MAX_DEPTH: Final = 512
"""PHP's own limit for json_decode; deeper messages would fail in the app."""

MAX_TOKEN: Final = 4096
"""Bytes of a token, as for cookies."""

_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
"""A string, skipped whole, or one bracket."""

_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def problem_with(text: str) -> str:
    """Why a message cannot be given to receive; "" when it can."""
    if _is_too_deep(text):
        return f"message is nested deeper than {MAX_DEPTH}"
    try:
        if text.lstrip()[:1] == "[":
            _array.decode(text)
            return ""
        fields = _object.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return "message is not a JSON object or array"
    if RESERVED_KEYS.isdisjoint(fields):
        return ""
    return f"message has the reserved key {min(fields.keys() & RESERVED_KEYS)}"


def auth_token(text: str) -> str:
    """The token of an auth message.

    Raises:
        ValueError: the message is not one, or its token cannot be taken; why.
    """
    fields = _auth_fields(text)
    token = fields.get("token") if fields is not None else None
    if fields is None or fields.get("type", "auth") != "auth" or not isinstance(token, str):
        raise ValueError("auth message expected")
    size = len(token.encode())
    if size > MAX_TOKEN:
        raise ValueError(f"token of {size} bytes exceeds {MAX_TOKEN}")
    if "\0" in token:
        raise ValueError("token holds a NUL")
    return token


def is_auth_message(text: str) -> bool:
    """Whether a message says that it is one of type "auth"."""
    if '"auth"' not in text:
        return False
    fields = _auth_fields(text)
    return fields is not None and fields.get("type") == "auth"


def _auth_fields(text: str) -> dict[str, object] | None:
    if _is_too_deep(text):
        return None
    try:
        raw = _object.decode(text)
        return {key: msgspec.json.decode(raw[key]) for key in ("type", "token") if key in raw}
    except (msgspec.DecodeError, UnicodeError):
        return None


def _is_too_deep(text: str) -> bool:
    """Whether brackets outside strings nest deeper than MAX_DEPTH."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        if bracket[0] in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif bracket[0] in "]}":
            depth -= 1
    return False
