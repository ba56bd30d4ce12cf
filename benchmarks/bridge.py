"""Bridge requests a second: casts that reach nobody."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from benchmarks import native
from benchmarks.errors import ContenderError
from benchmarks.rounds import Clock, Round
from benchmarks.sockets import WAIT, Exchange, exchanges
from benchmarks.wire import numbered_data

if TYPE_CHECKING:
    from benchmarks.process import Contender

CONNECTIONS: Final = 16
DEPTHS: Final = (1, 32)
_RECEIPT: Final = b'"sent":0'


def measure(contender: Contender, seconds: float, depth: int = 1) -> Round:
    """One round: each connection asks again when its answer is there.

    Without a C compiler there is one request under way at each, whatever `depth` is.
    """
    request = contender.cast("all", numbered_data(0, 0))
    with exchanges(contender.cast_port, CONNECTIONS) as lines:
        if native.is_there():
            connections = [line.connection for line in lines]
            return native.ask(connections, request, _RECEIPT, seconds, depth=depth, is_http=True)
        return in_python(lines, request, seconds)


def in_python(lines: list[Exchange], request: bytes, seconds: float) -> Round:
    """The same without a C compiler, one request under way on each."""
    with select.epoll() as poll:
        by_descriptor = {line.connection.fileno(): line for line in lines}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.EPOLLIN)
        return _ask_and_ask_again(poll, by_descriptor, request, seconds)


def _ask_and_ask_again(
    poll: select.epoll, lines: dict[int, Exchange], request: bytes, seconds: float
) -> Round:
    clock = Clock(seconds)
    for line in lines.values():
        line.send(request)
    answered, asked = 0, len(lines)
    while answered < asked:
        idle = _answered(poll, lines)
        answered += len(idle)
        if clock.is_running:
            for line in idle:
                line.send(request)
            asked += len(idle)
    return clock.round(answered)


def _answered(poll: select.epoll, lines: dict[int, Exchange]) -> list[Exchange]:
    events = poll.poll(WAIT)
    if not events:
        raise ContenderError(f"no answer in {WAIT} s")
    return [line for descriptor, _ in events if _is_answered(line := lines[descriptor])]


def _is_answered(line: Exchange) -> bool:
    answer = line.receive()
    if answer and _RECEIPT not in answer:
        raise ContenderError(f"not the receipt of a cast to nobody: {answer!r}")
    return bool(answer)
