"""The upgrade: who may, under which token, and the answer that opens it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from websockets.datastructures import Headers
from websockets.http11 import Request as HandshakeRequest
from websockets.server import ServerProtocol
from websockets.utils import accept_key

from phlows_cli.errors import RequestError
from phlows_cli.model import normalise_host
from phlows_cli.wire.quiet import QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.wire.request import Request

TOKEN_LIMIT: Final = 4096
"""Bytes of a cookie's token, decoded."""

_SWITCHING: Final = 101
_UPGRADE_HEADERS: Final = (("upgrade", "websocket"), ("sec-websocket-version", "13"))
_REFUSALS: Final[Mapping[int, tuple[str, tuple[tuple[str, str], ...]]]] = {
    405: ("an upgrade is a GET", (("allow", "GET"),)),
    426: ("this path speaks WebSocket: connect with an upgrade", _UPGRADE_HEADERS),
    505: ("an upgrade needs HTTP/1.1", ()),
}
_SHAPE_HEADERS: Final = ("connection", "upgrade", "sec-websocket-version")
_HANDSHAKE_HEADERS: Final = (*_SHAPE_HEADERS, "sec-websocket-key")
_ESCAPES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/:?#@\[\]]+)(?::(?P<port>\d{1,5}))?",
    re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

_ANSWER: Final = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
)
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")
_KNOWN_SHAPES: Final = 64
_SHAPE_LIMIT: Final = 256
"""Kinds of upgrade that are remembered as good, and how long their headers may be."""

# One protocol answers every handshake: accept() keeps nothing of a request
# that the next one would see, since nothing is negotiated.
_handshake: Final = ServerProtocol(logger=QUIET)

_good_shapes: Final[set[tuple[str, ...]]] = set()
"""What websockets has let in, without the keys: browsers differ in those alone."""


def accept_upgrade(request: Request) -> bytes:
    """The answer that switches to WebSocket: 101, without extensions.

    Raises:
        RequestError: not an upgrade (426, with what would be one), another
            method (405) or version of HTTP (505), a bad key (400).
    """
    version = request.headers.get("sec-websocket-version")
    if version is not None and version != "13":
        raise RequestError(f"WebSocket version {version[:64]!r} is not 13", 426, _UPGRADE_HEADERS)
    shape, key = _shape(request), request.headers.get("sec-websocket-key", "")
    if shape in _good_shapes and _KEY.fullmatch(key):
        return (_ANSWER % accept_key(key)).encode()
    response = _handshake.accept(_as_handshake(request))
    if response.status_code == _SWITCHING:
        _remember(shape)
        return (_ANSWER % response.headers["sec-websocket-accept"]).encode()
    reason, _handshake.handshake_exc = _handshake.handshake_exc, None
    message, headers = _REFUSALS.get(response.status_code, (f"bad upgrade: {reason}", ()))
    raise RequestError(message, response.status_code, headers)


def _shape(request: Request) -> tuple[str, ...]:
    """All that websockets decides by, but for the key."""
    headers = request.headers
    named = [headers.get(name, "") for name in _SHAPE_HEADERS]
    return (request.method, request.version, *named)


def _remember(shape: tuple[str, ...]) -> None:
    if len(_good_shapes) < _KNOWN_SHAPES and sum(map(len, shape)) <= _SHAPE_LIMIT:
        _good_shapes.add(shape)


def _as_handshake(request: Request) -> HandshakeRequest:
    """The request as websockets knows it, with the headers it decides by."""
    headers = Headers()
    for name in _HANDSHAKE_HEADERS:
        if name in request.headers:
            headers[name] = request.headers[name]
    protocol = f"HTTP/{request.version}"
    return HandshakeRequest(request.path, headers, request.method, protocol)


def cookie_token(request: Request, name: str) -> str:
    """The token in the cookie `name`, "" when there is none.

    The last of a name wins; the name "" turns cookies off.

    Raises:
        RequestError: a token that is too long or holds NUL.
    """
    header = request.headers.get("cookie", "")
    if not (name and header):
        return ""
    token = _unescape(_cookie(header, name))
    size = len(token.encode())
    if size > TOKEN_LIMIT:
        raise RequestError(f"cookie {name!r} of {size} bytes exceeds {TOKEN_LIMIT}")
    if "\0" in token:
        raise RequestError(f"cookie {name!r} holds NUL")
    return token


def _cookie(header: str, name: str) -> str:
    found = ""
    for part in header.split(";"):
        key, separator, value = part.partition("=")
        if separator and key.strip() == name:
            found = value.strip()
    return found


def _unescape(value: str) -> str:
    """Percent-decode; what is not UTF-8 stays as it is written."""
    with suppress(UnicodeDecodeError):
        value = value.encode("latin-1").decode()
    return _ESCAPES.sub(_decode_run, value)


def _decode_run(run: re.Match[str]) -> str:
    try:
        return bytes.fromhex(run[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return run[0]


def origin_allowed(request: Request, host: str, origins: tuple[str, ...], secure: bool) -> bool:
    """Whether the page that opens the socket may: its cookie comes along.

    The pages of `host` (normalised) may, over https when the client's side is
    `secure`; so may those of an entry "scheme://host[:port]" in `origins`, and
    "*" lets any. A client without Origin is not a browser, and passes.
    """
    origin = request.headers.get("origin")
    if origin is None or "*" in origins:
        return True
    page = None if "origin" in request.repeated else _ORIGIN.fullmatch(origin)
    if page is None:
        return False
    return _is_own_page(page, host, secure) or any(_is_entry(page, entry) for entry in origins)


def _is_own_page(page: re.Match[str], host: str, secure: bool) -> bool:
    schemes = ("https",) if secure else ("https", "http")
    return page["scheme"].lower() in schemes and normalise_host(page["host"]) == host


def _is_entry(page: re.Match[str], entry: str) -> bool:
    """Whether a page is the entry's; its port counts if the entry has one."""
    allowed = _ORIGIN.fullmatch(entry)
    if allowed is None or page["scheme"].lower() != allowed["scheme"].lower():
        return False
    if normalise_host(page["host"]) != normalise_host(allowed["host"]):
        return False
    return allowed["port"] is None or _port(page) == allowed["port"]


def _port(page: re.Match[str]) -> str | None:
    """The port, which browsers leave out when it is the scheme's own."""
    port: str | None = page["port"]
    return port or _DEFAULT_PORTS.get(page["scheme"].lower())
