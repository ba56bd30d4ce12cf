"""Bind, accept, stop: TCP on IPv4 and IPv6, and unix sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.errors import AddressTakenError, ListenError, UnknownAddressError
from phlows_cli.server.connection import Connection
from phlows_cli.server.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from phlows_cli.config import Server
    from phlows_cli.server.front import Front
    from phlows_cli.server.tls import Certificate

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel caps it at somaxconn."""

NOTSENT_LOWAT: Final = 16_384
"""Unsent bytes the kernel keeps for a stalled client; its default is megabytes."""

UNIX_MODE: Final = 0o660
UNIX_PREFIX: Final = "unix:"


class Listeners:
    """The listening sockets of a broker.

    `listen` and `port` say, once they are bound, where this machine reaches
    them, as server.listen and server.port do; the system may have chosen the
    port. `is_inherited` tells that another process holds them, too: what
    arrives when we are gone waits there for the next broker.

    Args:
        certificate: for every TCP address; None: plain HTTP.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        self._certificate = certificate
        self._bound: list[socket.socket] = []
        self._accepting: list[asyncio.Server | Gate] = []
        self._paths: list[tuple[Path, int]] = []
        self.addresses: list[str] = []
        self.listen: tuple[str, ...] = ()
        self.port = 0
        self.is_inherited = False

    def bind(self, server: Server) -> None:
        """Take every address of the configuration; `open` accepts there.

        Raises:
            ListenError: one of them cannot be bound; none is then.
        """
        self.listen = server.listen
        try:
            for where in server.listen:
                self._bound.extend(self._bind(where, server.port))
        except ListenError:
            self._release()
            raise
        self._note_port()

    def adopt(self, inherited: Sequence[socket.socket]) -> None:
        """Take listening sockets that the process was started with."""
        self.is_inherited = True
        self._bound = [_with_protocol(sock) for sock in inherited]
        self.listen = tuple(_name(sock) for sock in self._bound)
        self.addresses = [self._shown(sock) for sock in self._bound]
        self._note_port()

    def _note_port(self) -> None:
        tcp = (sock for sock in self._bound if sock.family != socket.AF_UNIX)
        self.port = next((sock.getsockname()[1] for sock in tcp), 0)

    def _shown(self, sock: socket.socket) -> str:
        if sock.family == socket.AF_UNIX:
            return _name(sock)
        scheme = "http" if self._certificate is None else "https"
        return _url(scheme, sock.family, *sock.getsockname()[:2])

    def probe(self, server: Server) -> None:
        """See that nobody has one of the addresses; none is taken.

        Raises:
            AddressTakenError: somebody has.
        """
        try:
            self.bind(server)
        except AddressTakenError:
            raise
        except ListenError:
            return  # another fault, which is not asked about here
        self._release()

    async def open(self, front: Front) -> None:
        """Accept at what was bound; bind now what was not.

        Raises:
            ListenError: as `bind`.
        """
        if not self._bound:
            self.bind(front.config.server)
        while self._bound:
            self._accepting.append(await self._accept(front, self._bound.pop(0)))

    async def close(self) -> None:
        """Accept no more; remove unix sockets that are still ours."""
        closing, self._accepting = self._accepting, []
        for accepting in closing:
            accepting.close()
        self._release()
        for accepting in closing:
            if isinstance(accepting, Gate):
                await accepting.wait_closed()

    async def _accept(self, front: Front, sock: socket.socket) -> asyncio.Server | Gate:
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(front)

        if sock.family == socket.AF_UNIX:
            # Python 3.13 removes the file by itself, and one that we inherited is not ours.
            kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            return await loop.create_unix_server(connection, sock=sock, backlog=BACKLOG, **kept)
        if self._certificate is None:
            return await loop.create_server(connection, sock=sock, backlog=BACKLOG)
        sock.listen(BACKLOG)
        return Gate(front, self._certificate, sock)

    def _release(self) -> None:
        for sock in self._bound:
            sock.close()
        for path, inode in self._paths:
            if path.exists() and path.stat().st_ino == inode:
                path.unlink()
        self._bound, self._paths = [], []

    def _bind(self, where: str, port: int) -> Iterator[socket.socket]:
        if where.startswith(UNIX_PREFIX):
            yield self._bind_unix(Path(where.removeprefix(UNIX_PREFIX)))
            return
        try:
            found = socket.getaddrinfo(
                where, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise UnknownAddressError(where, str(error.strerror)) from error
        for family, _, _, _, address in found:
            yield self._bind_tcp(family, address)

    def _bind_tcp(self, family: int, address: tuple[Any, ...]) -> socket.socket:
        # Named, or asyncio does not see that what it accepts is TCP: it would not set TCP_NODELAY.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _keep_little_unsent(sock)
        try:
            sock.bind(address)
        except OSError as error:
            sock.close()
            raise _cannot_listen(f"{address[0]} port {address[1]}", error) from error
        self.addresses.append(self._shown(sock))
        return sock

    def _bind_unix(self, path: Path) -> socket.socket:
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode is set by the umask while binding: no moment of wider access.
        before = os.umask(0o777 & ~UNIX_MODE)
        try:
            sock.bind(str(path))
        except OSError as error:
            sock.close()
            raise _cannot_listen(f"unix:{path}", error) from error
        finally:
            os.umask(before)
        self._paths.append((path, path.stat().st_ino))
        self.addresses.append(f"unix:{path}")
        return sock


def _keep_little_unsent(sock: socket.socket) -> None:
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT)


def _with_protocol(sock: socket.socket) -> socket.socket:
    """An inherited socket as `_bind_tcp` makes them; a unix socket as it is."""
    if sock.family == socket.AF_UNIX:
        return sock
    _keep_little_unsent(sock)
    return socket.socket(sock.family, sock.type, socket.IPPROTO_TCP, sock.detach())


def _name(sock: socket.socket) -> str:
    """Where a socket listens, as server.listen says it."""
    address = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return str(address[0])
    if isinstance(address, bytes):  # a name that is not a file
        address = f"@{address[1:].decode(errors='backslashreplace')}"
    return f"{UNIX_PREFIX}{address}"


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on any more.

    Raises:
        ListenError: somebody does, or the file is not a socket.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"server.listen unix:{path}: the file is there and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise AddressTakenError(f"server.listen unix:{path}: another process listens there")


def _cannot_listen(where: str, error: OSError) -> ListenError:
    hints = {
        errno.EADDRINUSE: "is in use: stop the other process, or set another server.port",
        errno.EACCES: "is not permitted: use a port over 1023, or another path",
        errno.EADDRNOTAVAIL: "is not an address of this machine: mend server.listen",
        errno.ENOENT: "is in a folder that is not there: make the folder first",
    }
    kind = AddressTakenError if error.errno == errno.EADDRINUSE else ListenError
    return kind(f"{where} {hints.get(error.errno or 0, f'cannot be bound: {error.strerror}')}")


def _url(scheme: str, family: int, host: str, port: int) -> str:
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    return f"{scheme}://{shown}:{port}"
