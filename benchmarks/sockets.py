"""Connections of the load generator: opened, upgraded, asked."""

from __future__ import annotations

import contextlib
import resource
import socket
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError, ContenderError
from benchmarks.wire import answer_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT: Final = 10.0
"""Seconds without a byte after which a contender counts as stuck."""
HEAD_LIMIT: Final = 16384
_BATCH: Final = 64
_ADDRESSES: Final = 16
_SPARE_DESCRIPTORS: Final = 128


def allow_descriptors(wanted: int) -> None:
    """Raise this process's descriptor limit, or say that it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_DESCRIPTORS
    if soft < needed <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    elif needed > hard:
        raise BenchmarkError(f"{wanted} sockets need {needed} descriptors, the limit is {hard}")


def connect(port: int, index: int = 0) -> socket.socket:
    """A blocking connection to this machine, small writes sent at once.

    `index` spreads many over loopback addresses: each has its own ports.
    """
    here = (f"127.0.0.{1 + index % _ADDRESSES}", 0)
    connection = socket.create_connection(("127.0.0.1", port), WAIT, here)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextlib.contextmanager
def upgraded(
    port: int, count: int, request: Callable[[int], bytes]
) -> Iterator[list[socket.socket]]:
    """So many open, non-blocking WebSockets; closed at the end.

    `request` gives the handshake of each by its index.
    """
    with contextlib.ExitStack() as stack:
        opened: list[socket.socket] = []
        for first in range(0, count, _BATCH):
            indexes = range(first, min(first + _BATCH, count))
            batch = [stack.enter_context(connect(port, index)) for index in indexes]
            _upgrade(batch, [request(index) for index in indexes])
            opened.extend(batch)
        yield opened


def _upgrade(batch: list[socket.socket], requests: list[bytes]) -> None:
    for connection, request in zip(batch, requests, strict=True):
        connection.sendall(request)
    for connection in batch:
        _take_switch(connection)
        connection.setblocking(False)


def _take_switch(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(HEAD_LIMIT)
        received += part
        if not part or len(received) > HEAD_LIMIT:
            raise ContenderError(f"no end of the handshake's answer: {received[:200]!r}")
    if not (received.startswith(b"HTTP/1.1 101") and received.endswith(b"\r\n\r\n")):
        raise ContenderError(f"not a plain 101: {received[:400]!r}")


class Exchange:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("_received", "_size", "connection", "is_idle")

    def __init__(self, port: int) -> None:
        self.connection = connect(port)
        self.is_idle = True
        self._received = b""
        self._size = 0

    def send(self, request: bytes) -> None:
        """Send a request; a small one always fits the socket's buffer."""
        self.connection.sendall(request)
        self.is_idle = False

    def receive(self) -> bytes:
        """The whole answer, once its last byte is there; b"" until then."""
        part = self.connection.recv(HEAD_LIMIT)
        if not part:
            raise ContenderError("the bridge closed a kept connection")
        self._received += part
        self._size = self._size or answer_size(self._received)
        if not self._size or len(self._received) < self._size:
            return b""
        return self._finish()

    def _finish(self) -> bytes:
        answer, self._received, size = self._received, b"", self._size
        self._size = 0
        self.is_idle = True
        if len(answer) > size:
            raise ContenderError(f"more than one answer: {answer[size:][:80]!r}")
        if not answer.startswith(b"HTTP/1.1 2"):
            raise ContenderError(f"the bridge said {answer[:400]!r}")
        return answer

    def ask(self, request: bytes) -> bytes:
        """Send, wait for the answer, and give its body."""
        self.send(request)
        while not (answer := self.receive()):
            pass
        return answer[answer.index(b"\r\n\r\n") + 4 :]

    def close(self) -> None:
        """Let the connection go."""
        self.connection.close()


@contextlib.contextmanager
def exchanges(port: int, count: int) -> Iterator[list[Exchange]]:
    """So many kept connections; closed at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Exchange(port))) for _ in range(count)]
