"""The sockets that casts reach: read as fast as can be, counted exactly."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from benchmarks.errors import ContenderError, CountError
from benchmarks.wire import (
    FRAME_SIZE,
    connection_of,
    first_frame,
    is_ping,
    numbered_frame,
    pong_frame,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_READ_SIZE: Final = 262144
_BUFFER_SIZE: Final = _READ_SIZE + FRAME_SIZE
"""A read and the unfinished frame before it."""
_MAX_EVENTS: Final = 4096


class Audience:
    """Every byte of every socket counted; those that are kept, stored too."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._readers = {each.fileno(): each.recv_into for each in sockets}
        self._sockets = {each.fileno(): each for each in sockets}
        self._counts = dict.fromkeys(self._readers, 0)
        self._kept: dict[int, bytearray] = {}
        self._unfinished: dict[int, bytes] = {}
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))
        self.total = 0
        self.epoll = select.epoll()
        for descriptor in self._readers:
            self.epoll.register(descriptor, select.EPOLLIN)

    def __len__(self) -> int:
        return len(self._readers)

    def keep(self, every: int) -> None:
        """Start anew, keeping the whole stream of one socket in `every`."""
        self._counts = dict.fromkeys(self._readers, 0)
        self._kept = {fd: bytearray() for fd in list(self._readers)[::every]}
        self.total = 0

    def read(self, wait: float) -> list[int]:
        """Read what is there; returns the ready descriptors of others."""
        readers, unfinished, buffer = self._readers, self._unfinished, self._buffer
        counts, kept = self._counts, self._kept
        others: list[int] = []
        total = 0
        events = self.epoll.poll(wait, _MAX_EVENTS)
        for descriptor, _ in events:
            reader = readers.get(descriptor)
            if reader is None:
                others.append(descriptor)
                continue
            size = reader(buffer, _READ_SIZE)
            if not size:
                raise ContenderError("a socket was closed while it was counted")
            if size % FRAME_SIZE or descriptor in unfinished:  # a ping, or a frame in two parts
                size = self._without_pings(descriptor, size)
            counts[descriptor] += size
            total += size
            if descriptor in kept:
                kept[descriptor] += buffer[:size]
        if not events and wait > 0:
            raise CountError(f"nothing more came in {wait} s after {self.total} bytes")
        self.total += total
        return others

    def _without_pings(self, descriptor: int, size: int) -> int:
        """Answer the pings; leave whole deliveries alone in the buffer."""
        stream = self._unfinished.pop(descriptor, b"") + self._buffer[:size].tobytes()
        deliveries = []
        while frame := first_frame(stream):
            stream = stream[len(frame) :]
            if is_ping(frame):
                self._sockets[descriptor].send(pong_frame(frame))
            else:
                deliveries.append(frame)
        if stream:
            self._unfinished[descriptor] = stream
        whole = b"".join(deliveries)
        self._buffer[: len(whole)] = whole
        return len(whole)

    def check(self, casts: int, connections: int) -> None:
        """Raise unless each socket has each cast, once and in order."""
        wrong = {count for count in self._counts.values() if count != casts * FRAME_SIZE}
        if wrong:
            raise CountError(f"{casts} casts are {casts * FRAME_SIZE} bytes, not {sorted(wrong)}")
        for stream in self._kept.values():
            check_order(bytes(stream), connections)

    def close(self) -> None:
        """Let the poll go; the sockets are somebody else's."""
        self.epoll.close()


def check_order(stream: bytes, connections: int) -> None:
    """Raise unless each connection's casts are whole, once and in order."""
    expected = [0] * connections
    for start in range(0, len(stream), FRAME_SIZE):
        frame = stream[start : start + FRAME_SIZE]
        connection = connection_of(frame)
        if not 0 <= connection < connections:
            raise CountError(f"not a frame of ours: {frame!r}")
        if frame != numbered_frame(connection, expected[connection]):
            raise CountError(f"expected cast {expected[connection]} but got {frame!r}")
        expected[connection] += 1
