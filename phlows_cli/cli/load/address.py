"""Where a run connects: for sockets, and for casts."""

from __future__ import annotations

import errno
import os
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from phlows_cli.errors import BrokerUnreachableError, UsageError

if TYPE_CHECKING:
    import ssl

PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
SECURE: Final = ("https", "wss")
CONNECT_TIMEOUT: Final = 3.0
PER_SOURCE: Final = 20_000
"""Connections from one address to one port: the system has some 28,000 ports."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address that is resolved once, and what it takes to connect there.

    `shown` is what may be printed, `authority` the Host of its requests.
    """

    shown: str
    family: int
    address: Any
    authority: str
    path: str = "/websocket"
    server_name: str = ""
    context: ssl.SSLContext | None = field(default=None, repr=False)

    def open(self, number: int = 0) -> socket.socket:
        """A non-blocking socket that is being connected.

        Raises:
            OSError: it cannot even begin.
        """
        opened = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            if self.family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            source = self._source(number)
            if source:
                opened.bind((source, 0))
            self._connect(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _connect(self, opened: socket.socket) -> None:
        error = opened.connect_ex(self.address)
        if error == errno.EAGAIN and self.family == socket.AF_UNIX:
            # A unix listener whose queue is full: the only way to wait is to block.
            opened.settimeout(CONNECT_TIMEOUT)
            opened.connect(self.address)
            opened.setblocking(False)
        elif error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))

    def _source(self, number: int) -> str:
        """Another address of the loopback for every so many sockets (Linux has all)."""
        is_local = self.family == socket.AF_INET and str(self.address[0]).startswith("127.")
        if number < PER_SOURCE or not is_local or sys.platform != "linux":
            return ""
        return f"127.0.0.{2 + number // PER_SOURCE}"

    def secured(self, plain: socket.socket) -> ssl.SSLSocket:
        """The same socket under TLS, before its handshake."""
        if self.context is None:
            raise UsageError(f"{self.shown} is not https or wss")
        return self.context.wrap_socket(
            plain, server_hostname=self.server_name, do_handshake_on_connect=False
        )


def place_of(url: str, ca: str | None = None) -> Place:
    """Resolve http(s)://, ws(s):// or unix:/path.

    Raises:
        UsageError: it is none of them.
        BrokerUnreachableError: its name is not known.
    """
    if url.startswith("unix:") and len(url) > 5:
        path = url.removeprefix("unix:").replace("//", "", 1)
        return Place(url, socket.AF_UNIX, path, "localhost")
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or "@" in url or parts.scheme not in PORTS:
        raise UsageError(f"{url!r} is not ws://host:port/path, wss://host/path or unix:/path")
    port = port or PORTS[parts.scheme]
    context = _trusting(ca) if parts.scheme in SECURE else None
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise BrokerUnreachableError(f"{name} has no address: is it spelled right?") from None
    shown = f"{parts.scheme}://{parts.netloc}"
    family, address = _first_that_answers(shown, [(each[0], each[4]) for each in found])
    path = (parts.path or "/websocket") + (f"?{parts.query}" if parts.query else "")
    return Place(shown, family, address, parts.netloc, path, name, context)


def _first_that_answers(shown: str, found: list[tuple[int, Any]]) -> tuple[int, Any]:
    """Choose among a name's addresses: localhost may be ::1, where nobody is."""
    why = "no address"
    for family, address in found:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(CONNECT_TIMEOUT)
            try:
                probe.connect(address)
            except OSError as error:
                why = (error.strerror or str(error)).lower()
            else:
                return family, address
    raise BrokerUnreachableError(
        f"no broker answers at {shown} ({why}): start it with `phlows serve`,"
        " or name none, to measure a broker of the run's own"
    )


def _trusting(ca: str | None) -> ssl.SSLContext:
    import ssl

    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise UsageError(f"--ca {ca} holds no certificates") from None


def sockets_at(bridge: Place, url: str | None, ca: str | None) -> Place:
    """Where sockets connect: `--connect`, or the bridge's own address."""
    if url is None:
        return bridge
    if url.isdecimal():
        url = f"ws://127.0.0.1:{url}"
    return place_of(url, ca)
