"""Rounds of several contenders, taken in turn."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING, TypeVar

from benchmarks.errors import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Drop = Callable[[int, int, Exception], None]
    """Told which run failed, in which round, and how; it may raise."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds that something took."""

    p50: float
    p99: float
    most: float
    count: int
    """How many were timed."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to."""

    count: int
    """Deliveries, answers or replies, each seen."""
    rate: float
    """As many a second, from the first start to the last arrival."""
    busy: float
    """The share of that time in which the load generator was running."""
    ran: float = 0.0
    """Seconds of processor that the load generator took."""
    pings: int = 0
    """Pings that were answered meanwhile."""
    each: Spread | None = None
    """Of a delivery (at a fixed rate: from when its cast was due), or of an answer."""
    last: Spread | None = None
    """Of a cast: to the last of its receivers."""
    echo: Spread | None = None
    """Of another socket's messages meanwhile."""
    cost: float = 0.0
    """Microseconds of processor that the contender took for each of them."""
    others: float = 0.0
    """The share of all cores that went to programs outside the benchmark."""


class Clock:
    """Wall and processor time of a round, from where it is made."""

    def __init__(self, seconds: float) -> None:
        self._begin = perf_counter()
        self._ran = process_time()
        self._end = self._begin + seconds

    @property
    def is_running(self) -> bool:
        """Whether new work may still be started."""
        return perf_counter() < self._end

    def round(self, count: int) -> Round:
        """What the round came to, now that the last of `count` is in."""
        elapsed = perf_counter() - self._begin
        ran = process_time() - self._ran
        return Round(count, count / elapsed, ran / elapsed, ran)


def end_all(_index: int, _number: int, error: Exception) -> None:
    """Let one failure be the end of all."""
    raise error


def interleaved(
    runs: Sequence[Callable[[], T]], rounds: int, drop: Drop = end_all
) -> list[list[T]]:
    """Run each of `runs` once a round; every other round goes backwards.

    Returns: for each of `runs`, its outcome in each round; none of one that
        failed, which has no more turns.
    """
    outcomes: list[list[T]] = [[] for _ in runs]
    order = list(range(len(runs)))
    for number in range(1, rounds + 1):
        for index in [*order]:
            try:
                outcomes[index].append(runs[index]())
            except FAILURES as error:
                drop(index, number, error)
                order.remove(index)
                outcomes[index].clear()
        order.reverse()
    return outcomes
