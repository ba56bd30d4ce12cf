"""Where to connect: a host of the configured broker, or any URL."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from phlows_cli.cli.client import client_for
from phlows_cli.cli.options import sole_host
from phlows_cli.errors import UsageError
from phlows_cli.model import normalise_host

if TYPE_CHECKING:
    from phlows_cli.config import Config

Address: TypeAlias = tuple[str, int] | str
"""A name and a port, or the path of a unix socket."""

DEFAULT_PATH: Final = "/websocket"
DEFAULT_COOKIE: Final = "token"
_NAME: Final = re.compile(r"[a-z0-9_.:-]+")
_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_PORTS: Final = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client connects, and which URL it asks for there.

    `shown` is the URL without user and query, which can hold secrets.
    `server_name` is what a certificate must name, "" without TLS. `cookie`
    is the cookie that carries the token, `auth` the host's, "" where it is
    not known. `is_broker` says that the address is the configuration's;
    `authorization` is made of the user and password in a URL.
    """

    address: Address
    url: str
    shown: str
    server_name: str
    cookie: str = DEFAULT_COOKIE
    is_broker: bool = False
    auth: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def at(self) -> str:
        """The address as it is shown."""
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_url(text: str) -> bool:
    """Whether a text is meant as a URL, not as a registered host."""
    return "://" in text


def place_of_url(text: str, path: str | None) -> Place:
    """Take a ws, wss, http or https URL apart.

    Raises:
        UsageError: it is none; it is not repeated, for it may hold a secret.
    """
    if not text.isprintable() or " " in text:
        raise UsageError("the URL holds a space or a character that cannot be shown: escape it")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(_not_a_url()) from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None or not host or port == 0 or parts.fragment:
        raise UsageError(_not_a_url())
    if parts.username is not None and parts.password is None:
        raise UsageError("the URL has a user without a password: write ws://user:password@host")
    authorization = _authorization(parts)
    parts = parts._replace(
        scheme=scheme,
        netloc=parts.netloc.rpartition("@")[2],
        path=_checked_path(path) if path else parts.path,
    )
    name = f"[{host}]" if ":" in host else host
    shown = f"{scheme}://{name}{f':{port}' if port else ''}{parts.path or '/'}"
    server_name = host if scheme == "wss" else ""
    address = (host, port or _PORTS[scheme])
    return Place(address, parts.geturl(), shown, server_name, authorization=authorization)


def _authorization(parts: SplitResult) -> str:
    """The header that the user and password of a URL make; "" without."""
    if parts.username is None:
        return ""
    pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return f"Basic {b64encode(pair).decode()}"


def _not_a_url() -> str:
    return "this is not a URL such as ws://127.0.0.1:8080/path or wss://example.com/websocket"


def place_of_host(config: Config, url: str | None, typed: str | None, path: str | None) -> Place:
    """Find a host at the broker that `url` names, or the configuration.

    Args:
        config: of the broker, or of nothing in particular.
        url: what --url says.
        typed: the host; None is the only one that is registered.
        path: what --path says; None is the configuration's first.

    Raises:
        UsageError: there is no such host to be meant, or the URL is none.
    """
    name = _checked_host(typed) if typed else sole_host(config, "as the first argument")
    broker = client_for(config, url).url
    address, is_secure = _address(broker)
    authority = f"[{name}]" if ":" in name else name
    scheme = "wss" if is_secure else "ws"
    chosen = _checked_path(path) if path else _configured_path(config)
    whole = f"{scheme}://{authority}{chosen}"
    host = config.hosts.get(name)
    return Place(
        address=address,
        url=whole,
        shown=whole.partition("?")[0],
        server_name=_server_name(address, name) if is_secure else "",
        cookie=host.token_cookie if host else DEFAULT_COOKIE,
        is_broker=True,
        auth=host.auth if host and host.hooks else "",
    )


def _checked_host(text: str) -> str:
    """Normalise what was typed for a host; a port is the broker's, not the host's."""
    name = normalise_host(text)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{text!r} is neither a host nor a URL such as wss://example.com/")
    if re.fullmatch(r"[^:]*:\d+", text):
        raise UsageError(
            f"{text!r} has a port: give the host alone, with the broker's address as --url,"
            f" or ws://{text}/ for any server"
        )
    return name


def _checked_path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable() or " " in path or "#" in path:
        raise UsageError(f"--path {path!r} is not a path such as /websocket")
    return path


def _configured_path(config: Config) -> str:
    return next((path for path in config.server.paths if path != "*"), DEFAULT_PATH)


def _address(broker: str) -> tuple[Address, bool]:
    """Where a broker's URL, which was checked, leads; and whether that is TLS."""
    if broker.startswith("unix:"):
        return broker.removeprefix("unix:").replace("//", "", 1), False
    parts = urlsplit(broker)
    is_secure = parts.scheme == "https"
    return (parts.hostname or "", parts.port or (443 if is_secure else 80)), is_secure


def _server_name(address: Address, host: str) -> str:
    """What the certificate must name: that of the visitors, where the address is a number."""
    machine = address[0]
    try:
        ip_address(machine)
    except ValueError:
        return host if machine == "localhost" else machine
    return host
