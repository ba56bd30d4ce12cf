"""One port for TLS, and for plain HTTP from this machine's own apps.

An app casts to http://127.0.0.1:<port> whether the broker has a certificate
or not: what a connection speaks is seen at its first byte.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING, Final

from phlows_cli.broker.deadlines import Deadlines
from phlows_cli.server.access import is_loopback
from phlows_cli.server.connection import Connection
from phlows_cli.tasks import Tasks
from phlows_cli.wire.response import error_response

if TYPE_CHECKING:
    from phlows_cli.server.front import Front
    from phlows_cli.server.tls import Certificate

log = logging.getLogger("phlows.listener")

TLS_HANDSHAKE: Final = b"\x16"
"""The first byte of a TLS connection. Source: RFC 8446, section 5.1."""

AT_THE_GATE: Final = 1024
"""Connections silent or shaking hands; one more and the oldest is cut."""

ACCEPTS_A_TURN: Final = 100
PAUSE: Final = 1.0
"""Seconds without accepting when the system has no descriptor left."""

_PLAIN_REFUSED: Final = error_response(400, "this port speaks TLS: use https:// or wss://")


class Gate:
    """Accepts the connections of one listening socket, each as what it speaks."""

    def __init__(self, front: Front, certificate: Certificate, sock: socket.socket) -> None:
        self._front = front
        self._certificate = certificate
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._undecided: Deadlines[socket.socket] = Deadlines(front.broker.limits.handshake_timeout)
        # Not the broker's: a drain waits for hooks, never for a stranger's handshake.
        self._tasks = Tasks()
        self._shaking: dict[asyncio.Task[None], socket.socket] = {}
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)
        front.gates.append(self)

    @property
    def arriving(self) -> int:
        """How many connections are here: each has a descriptor."""
        return len(self._undecided) + len(self._shaking)

    def apply(self, handshake_timeout: float) -> None:
        """Give those that come from now on another time."""
        self._undecided.seconds = handshake_timeout

    def close(self) -> None:
        """Accept no more, and cut those that are not through."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for connection in self._undecided.expired(float("inf")):
            self._cut(connection)
        for task in list(self._shaking):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is left of those that were cut."""
        await self._tasks.stop()

    def tick(self) -> None:
        """Cut those that have said nothing in time; nothing is lost with them."""
        for connection in self._undecided.expired(self._front.broker.clock()):
            self._cut(connection)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            self._admit(connection)

    def _pause(self, error: OSError) -> None:
        """Out of descriptors: a reader that fires at once again would spin."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            raise error
        log.error("no connection can be accepted", extra={"reason": error.strerror})
        self._loop.remove_reader(self._sock)
        self._loop.call_later(PAUSE, self._accept_again)

    def _accept_again(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    def _admit(self, connection: socket.socket) -> None:
        if not self._has_room():
            self._front.broker.drops.count("connection over the limit of descriptors")
            connection.close()
            return
        connection.setblocking(False)
        self._undecided.add(connection, self._front.broker.clock())
        self._loop.add_reader(connection, self._decide, connection)

    def _decide(self, connection: socket.socket) -> None:
        """Look at the first byte, and leave it where it is."""
        try:
            first = connection.recv(1, socket.MSG_PEEK)
            is_own = _is_own_machine(connection)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first, is_own = b"", False
        self._undecided.discard(connection)
        self._loop.remove_reader(connection)
        if not first:
            connection.close()
        elif first == TLS_HANDSHAKE or is_own:
            task = self._tasks.spawn(self._hand_over(connection, first == TLS_HANDSHAKE))
            self._shaking[task] = connection
            task.add_done_callback(self._handed_over)
        else:
            self._refuse(connection)

    async def _hand_over(self, connection: socket.socket, is_tls: bool) -> None:
        options = {}
        if is_tls:
            options["ssl_handshake_timeout"] = self._front.broker.limits.handshake_timeout
        try:
            await self._loop.connect_accepted_socket(
                lambda: Connection(self._front, has_room=True),
                connection,
                ssl=self._certificate.context if is_tls else None,
                **options,
            )
        except OSError:  # an SSLError, a timeout or a reset: the client's own affair
            self._front.broker.drops.count("TLS handshake that failed")
            connection.close()

    def _handed_over(self, task: asyncio.Task[None]) -> None:
        connection = self._shaking.pop(task)
        if task.cancelled():
            connection.close()

    def _refuse(self, connection: socket.socket) -> None:
        self._front.broker.drops.count("plain connection to a TLS port")
        try:
            connection.send(_PLAIN_REFUSED)
        except OSError:
            log.debug("a plain client left before its answer")
        connection.close()

    def _has_room(self) -> bool:
        """Whether one connection more may come; the oldest here goes for it."""
        if not self._front.make_room():
            if not self.arriving:
                return False
            self._cut_oldest("idle connection, cut for a new one")
        elif self.arriving >= AT_THE_GATE:
            self._cut_oldest("unfinished head over 1024")
        return True

    def _cut_oldest(self, reason: str) -> None:
        self._front.broker.drops.count(reason)
        oldest = self._undecided.oldest()
        if oldest is not None:
            self._undecided.discard(oldest)
            self._cut(oldest)
        else:
            next(iter(self._shaking)).cancel()

    def _cut(self, connection: socket.socket) -> None:
        self._loop.remove_reader(connection)
        connection.close()


def _is_own_machine(connection: socket.socket) -> bool:
    """Whether the other side is here: on the loopback, or at our own address."""
    peer = str(connection.getpeername()[0])
    return is_loopback(peer) or peer == connection.getsockname()[0]
