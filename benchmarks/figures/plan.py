"""How much of everything, and what all figures do alike."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.errors import BenchmarkError, MissingToolError
from benchmarks.machine import Load
from benchmarks.report import Figure, Series
from benchmarks.rounds import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contenders import Start
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

WARM_UP: Final = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    rounds: int = 5
    seconds: float = 2.0
    """Of a round; at most 10: a long turn of one keeps the others waiting."""
    sockets: int | None = None
    """None: what the figure takes by itself."""
    is_quick: bool = False
    """A short form: fewer sockets, fewer sizes."""
    peers_only: bool = False
    """Whether phlows stays out, to try the harness without it."""

    def starts(self, ours: Start, *peers: Start) -> list[Start]:
        """Who takes part; ours is the first."""
        return [*peers] if self.peers_only else [ours, *peers]

    def some(self, count: int, quick: int) -> int:
        """How many sockets: as asked for, or by default."""
        return self.sockets or (quick if self.is_quick else count)


@dataclass(slots=True)
class Present:
    """The contenders that run, and why others do not."""

    contenders: list[Contender] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """As the table has them."""
        return [each.name for each in self.contenders]


def started(stack: ExitStack, starts: Sequence[Start]) -> Present:
    """Start each; one whose tools are missing is left out, and that is said."""
    present = Present()
    for start in starts:
        try:
            present.contenders.append(stack.enter_context(start()))
        except MissingToolError as error:
            present.left_out.append(f"left out: {error}")
    if not present.contenders:
        raise MissingToolError("; ".join(present.left_out))
    return present


def one_round(contender: Contender, measure: Callable[[], Round]) -> Round:
    """A round with what it cost the contender, and what others took."""
    ran, load = contender.processor_time(), Load()
    try:
        outcome = measure()
    except BenchmarkError as error:
        error.add_note(f"while {contender.name} was measured")
        raise
    ran = contender.processor_time() - ran
    cost = ran / max(1, outcome.count) * 1e6
    return replace(outcome, cost=cost, others=load.others(ran + outcome.ran))


def in_turns(
    plan: Plan,
    present: Present,
    measures: Sequence[Callable[[float], Round]],
    warm_ups: Sequence[Callable[[float], Round]] | None = None,
) -> list[list[Round]]:
    """Warm each contender up, by default with the same, then all of them round by round."""
    pairs = list(zip(present.contenders, measures, strict=True))
    for contender, measure in zip(present.contenders, warm_ups or measures, strict=True):
        one_round(contender, partial(measure, min(WARM_UP, plan.seconds)))
    runs = [partial(one_round, each, partial(measure, plan.seconds)) for each, measure in pairs]
    return interleaved(runs, plan.rounds)


def turns(
    plan: Plan,
    key: str,
    title: str,
    unit: str,
    starts: Sequence[Start],
    measure: Callable[[Contender, float], Round],
) -> list[Figure]:
    """A figure of rates, where a round needs nothing but a running contender."""
    with ExitStack() as stack:
        present = started(stack, starts)
        measures = [partial(measure, each) for each in present.contenders]
        outcomes = in_turns(plan, present, measures)
    return [rate_figure(key, title, unit, present, outcomes)]


def rate_figure(
    key: str,
    title: str,
    unit: str,
    present: Present,
    outcomes: Sequence[Sequence[Round]],
    *more: str,
) -> Figure:
    """So many a second, with what that took."""
    series = series_of(present, outcomes, lambda each: each.rate)
    return Figure(key, title, unit, series, (*more, others(outcomes), *present.left_out))


def series_of(
    present: Present,
    outcomes: Sequence[Sequence[Round]],
    value: Callable[[Round], float],
) -> tuple[Series, ...]:
    """A line for each contender, with what the rounds took of the processors."""
    return tuple(
        Series(
            name,
            values=tuple(map(value, taken)),
            costs=tuple(each.cost for each in taken),
            cores=tuple(each.cost * each.rate / 1e6 for each in taken),
            busy=tuple(each.busy for each in taken),
        )
        for name, taken in zip(present.names, outcomes, strict=True)
    )


def others(outcomes: Sequence[Sequence[Round]]) -> str:
    """What programs outside the benchmark took."""
    shares = [each.others for taken in outcomes for each in taken]
    return f"other programs took {median(shares):.0%} of the cores, at most {max(shares):.0%}"


def broadcasters(plan: Plan) -> list[Start]:
    """All that cast to every socket of a host."""
    peers = (contenders.node_broker, contenders.nchan, contenders.websockets, contenders.picows)
    return plan.starts(contenders.phlows, *peers)
