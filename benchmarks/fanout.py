"""Casts to every socket of a host, all counted: the generator where there is no C."""

from __future__ import annotations

import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from benchmarks.audience import Audience
from benchmarks.errors import ContenderError
from benchmarks.rounds import Clock, Round
from benchmarks.sockets import WAIT, Exchange, exchanges
from benchmarks.wire import FRAME_SIZE, numbered_data

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from benchmarks.process import Contender

_SAMPLE_EVERY: Final = 50


@dataclass(slots=True)
class _Caster:
    """Casts over kept connections, never more than `window` under way.

    A cast is under way until it is answered and its deliveries are read.
    """

    contender: Contender
    audience: Audience
    lines: dict[int, Exchange]
    started: int = 0
    answered: int = 0
    numbers: dict[int, int] = field(default_factory=dict)

    def cast(self) -> None:
        """Start casts on the idle connections, as far as the window goes."""
        delivered = self.audience.total // (FRAME_SIZE * len(self.audience))
        room = len(self.lines) - (self.started - delivered)
        if room <= 0:
            return
        for index, line in enumerate(self.lines.values()):
            if room > 0 and line.is_idle:
                self._start(index, line)
                room -= 1

    def _start(self, index: int, line: Exchange) -> None:
        number = self.numbers.get(index, 0)
        data = numbered_data(index, number)
        line.send(self.contender.cast("all", data))
        self.numbers[index] = number + 1
        self.started += 1

    def take(self, descriptors: list[int]) -> None:
        """Read the answers that have come; each must name every socket."""
        receipt = self.contender.speech.receipt(len(self.audience))
        for descriptor in descriptors:
            answer = self.lines[descriptor].receive()
            if answer and receipt not in answer:
                raise ContenderError(f"the receipt is not {len(self.audience)} sent: {answer!r}")
            self.answered += bool(answer)

    @property
    def is_complete(self) -> bool:
        expected = self.started * FRAME_SIZE * len(self.audience)
        return self.answered == self.started and self.audience.total >= expected

    def run(self, seconds: float) -> Round:
        """Cast for so long, then read to the last delivery."""
        clock = Clock(seconds)
        while (is_running := clock.is_running) or not self.is_complete:
            if is_running:
                self.cast()
            self.take(self.audience.read(WAIT))
        return clock.round(self.started * len(self.audience))


def _watch(audience: Audience, lines: list[Exchange]) -> dict[int, Exchange]:
    by_descriptor = {line.connection.fileno(): line for line in lines}
    for descriptor in by_descriptor:
        audience.epoll.register(descriptor, select.EPOLLIN)  # closing it unregisters it
    return by_descriptor


class Listeners:
    """A contender's open sockets, ready for one round after another."""

    def __init__(self, contender: Contender, sockets: Sequence[socket.socket]) -> None:
        self.contender = contender
        self.audience = Audience(sockets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.audience.close()

    def measure(self, window: int, seconds: float, keep_every: int = _SAMPLE_EVERY) -> Round:
        """One round; raises CountError unless each delivery came, in order."""
        self.audience.read(0)  # pings since the last round
        self.audience.keep(keep_every)
        with exchanges(self.contender.cast_port, window) as lines:
            caster = _Caster(self.contender, self.audience, _watch(self.audience, lines))
            outcome = caster.run(seconds)
            self.audience.read(0)
            self.audience.check(caster.started, window)
        return outcome
