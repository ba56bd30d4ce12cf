"""Bridge requests a second: casts that reach nobody."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final

from benchmarks.errors import ContenderError
from benchmarks.rounds import Clock, Round
from benchmarks.sockets import WAIT, Exchange, exchanges
from benchmarks.wire import cast_request, numbered_data

if TYPE_CHECKING:
    from benchmarks.process import Contender

CONNECTIONS: Final = 16


def measure(contender: Contender, seconds: float) -> Round:
    """One round: each connection asks again when its answer is there."""
    request = cast_request(contender.address, contender.host, numbered_data(0, 0))
    with exchanges(contender.port, CONNECTIONS) as lines, select.epoll() as poll:
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
    if answer and b'"sent":0' not in answer:
        raise ContenderError(f"not the receipt of a cast to nobody: {answer!r}")
    return bool(answer)
