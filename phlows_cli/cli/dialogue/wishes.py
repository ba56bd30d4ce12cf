"""What the options say of the request: token, cookies, headers."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from phlows_cli.cli.items import read_argument
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Header = tuple[str, str]

SECRET_LIMIT: Final = 65536
"""Bytes of a token or cookie that is read: headers are far shorter."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = ("connection", "upgrade", "host", "origin", "cookie")
# All but spaces, controls, quotes, comma, semicolon and backslash; % stands for what is escaped.
_COOKIE_SAFE: Final = "!#$%&'()*+-./:<=>?@[]^_`{|}~"


def secret(option: str, text: str) -> str:
    """Read a token or cookie: itself, @file, or - for a line of stdin.

    On a terminal - asks, and what is typed is not shown.

    Raises:
        UsageError: it cannot be read, or is not text.
    """
    if text == "-":
        text = _asked(option)
    elif text.startswith("@"):
        text = _decoded(option, read_argument(text)).removesuffix("\n").removesuffix("\r")
    else:
        _encoded(option, text)
    if len(text) > SECRET_LIMIT:
        raise UsageError(f"{option} is longer than {SECRET_LIMIT} characters")
    return text


def _asked(option: str) -> str:
    """Take one line of stdin and no byte more: the rest is to be sent."""
    if sys.stdin is None:
        raise UsageError(f"{option} -: stdin is closed")
    if sys.stdin.isatty():
        import click

        return str(click.prompt(option.strip("-").capitalize(), hide_input=True, err=True))
    stream = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    line = bytearray()
    while len(line) <= SECRET_LIMIT and (byte := stream.read(1)) and byte != b"\n":
        line += byte
    return _decoded(option, bytes(line)).removesuffix("\r")


def _decoded(option: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{option} is not UTF-8") from None


def _encoded(option: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{option} is not UTF-8") from None


def headers(named: Iterable[str], cookies: Sequence[str], cookie_name: str) -> list[Header]:
    """Make the headers that are sent besides the upgrade's own.

    Args:
        named: of --header, each `NAME: VALUE`.
        cookies: of --cookie, each NAME=VALUE or a value alone.
        cookie_name: the cookie that a value alone is for; "" where there is none.

    Raises:
        UsageError: one of them is none.
    """
    made = [_header(text) for text in named]
    pairs = [_cookie(secret("--cookie", text), cookie_name) for text in cookies]
    return [*made, ("Cookie", "; ".join(pairs))] if pairs else made


def _header(text: str) -> Header:
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise UsageError("--header takes NAME:VALUE, as in X-Forwarded-Proto:https")
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise UsageError(f"--header cannot set {name}: it is made of the address and other options")
    value = value.strip()
    if not value.isascii() or not all(c.isprintable() or c == "\t" for c in value):
        raise UsageError(f"the value of --header {name} must be printable ASCII")
    return name, value


def _cookie(text: str, name: str) -> str:
    """Write a cookie; a value may end with = signs, as base64 does."""
    typed, equals, value = text.partition("=")
    if equals and value.strip("=") and _TOKEN.fullmatch(typed):
        return f"{typed}={_cookie_value(value)}"
    if not name:
        raise UsageError("the host takes no cookie (token_cookie): give --cookie NAME=VALUE")
    return f"{name}={_cookie_value(text)}"


def _cookie_value(value: str) -> str:
    """Percent-encode what a cookie cannot hold; what is encoded already stays."""
    return quote(value, safe=_COOKIE_SAFE)


def origin(text: str) -> str:
    """Check what --origin says.

    Raises:
        UsageError: it cannot stand in a header.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"--origin {text!r} is not an origin such as https://example.com")
    return text
