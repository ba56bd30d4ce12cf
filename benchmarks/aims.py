"""What phlows wants to reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.report import OURS, SOCKET_LAYER, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.report import Figure

    Reading = Callable[["Results"], float | None]


class Results:
    """Medians, found by a figure's key and a contender's name."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        self._figures: Mapping[str, Figure] = {each.key: each for each in figures}

    def median(self, key: str, contender: str = OURS) -> float | None:
        """None: it was not measured."""
        figure = self._figures.get(key)
        series = figure.of(contender) if figure else None
        return series.median if series else None

    def ratio(self, key: str, contender: str, ours: str = OURS) -> float | None:
        """Ours over another's."""
        return quotient(self.median(key, ours), self.median(key, contender))


def quotient(ours: float | None, other: float | None) -> float | None:
    """None where either is missing, or nothing."""
    return ours / other if ours is not None and other else None


@dataclass(frozen=True, slots=True)
class Aim:
    """One line of the table."""

    what: str
    limit: float
    unit: str
    reading: Reading
    is_most: bool = False
    """Whether the limit is the most that is allowed, not the least."""

    def row(self, results: Results) -> tuple[str, str, str, str]:
        """What, the aim, what was measured, and whether that is met."""
        sign = "<=" if self.is_most else ">="
        aim = f"{sign} {self.limit:,g}{self.unit}"
        value = self.reading(results)
        if value is None:
            return (self.what, aim, "not measured", "")
        is_met = value <= self.limit if self.is_most else value >= self.limit
        return (self.what, aim, f"{number(value)}{self.unit}", "met" if is_met else "**not met**")


def _times(what: str, limit: float, key: str, peer: str, ours: str = OURS) -> Aim:
    return Aim(f"{what}, beside {peer}", limit, "x", lambda all_: all_.ratio(key, peer, ours))


def _most(what: str, limit: float, unit: str, key: str) -> Aim:
    return Aim(what, limit, unit, lambda all_: all_.median(key), is_most=True)


def _growth(key: str) -> Reading:
    return lambda all_: quotient(all_.median(key.format(10000)), all_.median(key.format(1000)))


AIMS: Final = (
    _times("1,000 sockets, 1 outstanding", 1.5, "fanout.1000.1", "node ws"),
    _times("1,000 sockets, 1 outstanding", 0.9, "fanout.1000.1", "nchan"),
    _times("1,000 sockets, 32 outstanding", 15, "fanout.1000.32", "node ws"),
    _times("1,000 sockets, 32 outstanding", 8, "fanout.1000.32", "nchan"),
    Aim(
        "p99 to the last of 10,000 sockets, beside that of 1,000",
        12,
        "x",
        _growth("crowds.{}.last"),
        is_most=True,
    ),
    Aim(
        "10,000 sockets, 32 outstanding",
        1_500_000,
        " deliveries/s",
        lambda all_: all_.median("fanout.10000.32"),
    ),
    Aim(
        "deliveries/s, 32 outstanding: 10,000 sockets beside 1,000",
        1.5,
        "x",
        _growth("fanout.{}.32"),
    ),
    _most("another socket's echo meanwhile, p99", 15, " ms", "crowds.10000.echo"),
    _times("bridge requests, one at a time", 4, "bridge.1", "node http"),
    _times("bridge requests, 32 in a row", 4, "bridge.32", "node http"),
    _times("handshakes", 1.1, "handshakes", "node ws"),
    _times("socket-layer echo", 1.3, "echo.64.1", "node ws", SOCKET_LAYER),
    _times("one-shot events", 2.5, "oneshot", "node ws"),
    _times("resident events", 1.2, "resident", "node ws"),
    Aim(
        "resident events, p99, beside node ws",
        0.2,
        "x",
        lambda all_: all_.ratio("resident.p99", "node ws"),
        is_most=True,
    ),
    _most("idle socket", 4096, " bytes", "idle"),
    _most("18,000 idle sockets, a ping each 25 s", 4, " % of a core", "keepalive.18000"),
)


def table(figures: Sequence[Figure]) -> list[tuple[str, str, str, str]]:
    """A row for each aim."""
    results = Results(figures)
    return [each.row(results) for each in AIMS]
