"""The URL of an app: where to connect, and the requests it is sent."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from phlows_cli import __version__
from phlows_cli.errors import ConfigError

_PORTS: Final = {"http": 80, "https": 443}
_AS_THEY_ARE: Final = "%/:=&?~#+!$,;'@()*[]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An http or https URL, taken apart.

    `origin` is all of it that may be shown: userinfo, path and query can hold
    secrets. `head` is what the head of every request has in common.
    """

    host: str
    port: int
    is_secure: bool
    origin: str
    head: bytes = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Take a URL apart.

        Raises:
            ConfigError: it is no http or https URL, or its port is none.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigError(_NOT_A_URL) from None
        if parts.scheme not in _PORTS or not host or port == 0:
            raise ConfigError(_NOT_A_URL)
        authority = _authority(parts, host)
        origin = f"{parts.scheme}://{authority}"
        is_secure = parts.scheme == "https"
        return cls(host, port or _PORTS[parts.scheme], is_secure, origin, _head(parts, authority))

    def request(self, body: bytes) -> bytes:
        """Make a POST of a JSON body."""
        return b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)


_NOT_A_URL: Final = "app is not a URL such as http://127.0.0.1:8080/hooks"


def origin_of(location: str) -> str:
    """Shorten where a redirect leads to what may be shown; "" when it is no URL."""
    try:
        return Endpoint.parse(location).origin
    except ConfigError:
        return ""


def _authority(parts: SplitResult, host: str) -> str:
    """Host and port as the Host header has them."""
    try:
        name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise ConfigError(_NOT_A_URL) from None
    if not name.isascii() or not name.isprintable() or " " in name:
        raise ConfigError(_NOT_A_URL)
    return name if parts.port in (None, _PORTS[parts.scheme]) else f"{name}:{parts.port}"


def _head(parts: SplitResult, authority: str) -> bytes:
    path = quote(parts.path or "/", safe=_AS_THEY_ARE)
    query = f"?{quote(parts.query, safe=_AS_THEY_ARE)}" if parts.query else ""
    lines = [
        f"POST {path}{query} HTTP/1.1",
        f"Host: {authority}",
        f"User-Agent: phlows/{__version__}",
        "Accept: application/x-ndjson",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        *_authorization(parts),
    ]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _authorization(parts: SplitResult) -> list[str]:
    if parts.username is None:
        return []
    pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return [f"Authorization: Basic {b64encode(pair).decode('ascii')}"]
