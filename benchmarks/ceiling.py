"""How fast the load generator reads when nothing holds it up."""

from __future__ import annotations

import contextlib
import socket
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks import native
from benchmarks.audience import Audience
from benchmarks.sockets import WAIT, allow_descriptors, connect
from benchmarks.wire import DATA_SIZE, FRAME_SIZE, numbered_data, numbered_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEND_BUFFER: Final = 1 << 20
_RECEIPT: Final = b'"sent":all'
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(_RECEIPT), _RECEIPT)
_AT_ONCE: Final = 1e12
"""Casts a second: so many that all are due before the first is sent."""


def reading_ceiling(
    count: int, waiting: int, size: int = DATA_SIZE, passes: int = 5, *, in_c: bool | None = None
) -> float:
    """Frames a second drained from `count` sockets with `waiting` each.

    The frames are put there beforehand by this process; only the reading, by
    the same code that counts a contender's deliveries, is on the clock.
    """
    in_c = native.is_there() if in_c is None else in_c
    allow_descriptors(2 * (count + waiting))
    with _pairs(count) as (ours, theirs):
        if in_c:
            return max(_drain_in_c(ours, theirs, waiting, size) for _ in range(passes))
        with contextlib.closing(Audience(ours)) as audience:
            return max(_drain(audience, theirs, waiting) for _ in range(passes))


def _drain_in_c(
    ours: list[socket.socket], theirs: list[socket.socket], waiting: int, size: int
) -> float:
    """So many casts whose answers and deliveries are there before they start."""
    stream = b"".join(numbered_frame(line, 0, size) for line in range(waiting))
    with _pairs(waiting) as (lines, answering):
        for each in theirs:
            each.sendall(stream)
        for each in answering:
            each.sendall(_ANSWER)
        plan = native.Casts(
            listeners=ours,
            lines=lines,
            seconds=(waiting + 0.5) / _AT_ONCE,
            rate=_AT_ONCE,
            request=numbered_data(0, 0, size),
            frame=numbered_frame(0, 0, size),
            receipt=_RECEIPT,
            receivers=len(ours),
        )
        return native.cast(plan).rate


def _drain(audience: Audience, senders: list[socket.socket], waiting: int) -> float:
    stream = b"".join(numbered_frame(0, number) for number in range(waiting))
    for sender in senders:
        sender.sendall(stream)
    audience.keep(every=50)
    expected = len(senders) * waiting * FRAME_SIZE
    begin = perf_counter()
    while audience.total < expected:
        audience.read(WAIT)
    elapsed = perf_counter() - begin
    audience.check(waiting, connections=1)
    return len(senders) * waiting / elapsed


@contextlib.contextmanager
def _pairs(count: int) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """Connected TCP pairs: ours non-blocking, theirs blocking."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours, theirs = [], []
        for index in range(count):
            ours.append(stack.enter_context(connect(listener.getsockname()[1], index)))
            theirs.append(stack.enter_context(listener.accept()[0]))
            theirs[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            ours[-1].setblocking(False)
        yield ours, theirs
