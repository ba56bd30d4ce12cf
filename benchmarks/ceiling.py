"""How fast the load generator reads when nothing holds it up."""

from __future__ import annotations

import contextlib
import socket
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.audience import Audience
from benchmarks.sockets import WAIT, connect
from benchmarks.wire import FRAME_SIZE, numbered_frame

if TYPE_CHECKING:
    from collections.abc import Iterator


def reading_ceiling(count: int, waiting: int, passes: int = 5) -> float:
    """Frames a second drained from `count` sockets with `waiting` each.

    The frames are put there beforehand by this process; only the reading, by
    the same code that counts a contender's deliveries, is on the clock.
    """
    with _pairs(count) as (ours, theirs), contextlib.closing(Audience(ours)) as audience:
        return max(_drain(audience, theirs, waiting) for _ in range(passes))


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
        for _ in range(count):
            ours.append(stack.enter_context(connect(listener.getsockname()[1])))
            theirs.append(stack.enter_context(listener.accept()[0]))
            ours[-1].setblocking(False)
        yield ours, theirs
