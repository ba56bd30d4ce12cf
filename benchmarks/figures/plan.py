"""How much of everything, and what all figures do alike."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.errors import FAILURES, BenchmarkError, MissingToolError, StartError
from benchmarks.machine import Load
from benchmarks.report import Figure, Series, is_ours
from benchmarks.rounds import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.contenders import Start
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

    Measure = Callable[[Contender, float], Round]
    """One round of so many seconds."""
    Outcomes = Mapping[str, Sequence[Round]]
    """The rounds of each contender, by its name; ours are the first."""

WARM_UP: Final = 0.3
_SAID: Final = 300
"""Characters of what a peer said as it started: the last ones tell why it did not."""


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

    def copy(self) -> Present:
        """The same, for a part of a figure: who fails there is still here."""
        return Present([*self.contenders], [*self.left_out])

    def dismiss(self, name: str) -> None:
        """Have one take no further part, without a word."""
        self.contenders = [each for each in self.contenders if each.name != name]

    def drop(self, contender: Contender, error: Exception, when: str) -> None:
        """Leave a peer that failed out of what follows; what fails of ours is raised."""
        self.left_out.append(left_out(contender.name, error, when))
        self.contenders.remove(contender)


def left_out(contender: str, error: Exception, when: str) -> str:
    """The remark on a peer that failed.

    Raises: `error`, when it is ours that failed, or a tool that all need is missing.
    """
    if is_ours(contender) or isinstance(error, MissingToolError):
        raise error
    return " ".join(f"{contender} left out: {error}, {when}".split())


def started(stack: ExitStack, starts: Sequence[Start]) -> Present:
    """Start each; one that is missing or does not come up is left out, and that is said."""
    present = Present()
    for start in starts:
        try:
            present.contenders.append(stack.enter_context(start()))
        except MissingToolError as error:
            present.left_out.append(f"left out: {error}")
        except StartError as error:
            said = "; ".join(getattr(error, "__notes__", []))[-_SAID:]
            present.left_out.append(left_out(error.contender, error, f"as it started; {said}"))
    if not present.contenders:
        raise MissingToolError("; ".join(present.left_out))
    return present


def one_round(contender: Contender, measure: Callable[[], Round]) -> Round:
    """A round with what it cost the contender, and what others took."""
    ran, load = contender.processor_time(), Load()
    try:
        outcome = measure()
    except FAILURES as error:
        error.add_note(f"while {contender.name} was measured")
        raise
    ran = contender.processor_time() - ran
    cost = ran / max(1, outcome.count) * 1e6
    return replace(outcome, cost=cost, others=load.others(ran + outcome.ran))


def in_turns(
    plan: Plan,
    present: Present,
    measure: Measure,
    warm_up: Measure | None = None,
    *,
    of: str = "",
) -> Outcomes:
    """Warm each contender up, by default with the same, then all of them round by round.

    A peer that fails is left out, whatever it has done before; `of` says
    which rounds, where what is present has others, too.
    """
    for each in [*present.contenders]:
        try:
            seconds = min(WARM_UP, plan.seconds)
            one_round(each, partial(warm_up or measure, each, seconds))
        except FAILURES as error:
            present.drop(each, error, f"while it was warmed up{of}")
    going = [*present.contenders]
    runs = [partial(one_round, each, partial(measure, each, plan.seconds)) for each in going]

    def drop(index: int, number: int, error: Exception) -> None:
        present.drop(going[index], error, f"in round {number}{of}")

    taken = interleaved(runs, plan.rounds, drop)
    if not any(taken):
        raise BenchmarkError("; ".join(present.left_out))
    return {each.name: rounds for each, rounds in zip(going, taken, strict=True) if rounds}


def turns(
    plan: Plan,
    key: str,
    title: str,
    unit: str,
    starts: Sequence[Start],
    measure: Measure,
    *more: str,
) -> list[Figure]:
    """A figure of rates, where a round needs nothing but a running contender."""
    with ExitStack() as stack:
        present = started(stack, starts)
        outcomes = in_turns(plan, present, measure)
    return [rate_figure(key, title, unit, present, outcomes, *more)]


def rate_figure(
    key: str,
    title: str,
    unit: str,
    present: Present,
    outcomes: Outcomes,
    *more: str,
) -> Figure:
    """So many a second, with what that took."""
    series = series_of(outcomes, lambda each: each.rate)
    return Figure(key, title, unit, series, (*more, others(outcomes), *present.left_out))


def series_of(outcomes: Outcomes, value: Callable[[Round], float]) -> tuple[Series, ...]:
    """A line for each contender, with what the rounds took of the processors."""
    return tuple(
        Series(
            name,
            values=tuple(map(value, taken)),
            costs=tuple(each.cost for each in taken),
            cores=tuple(each.cost * each.rate / 1e6 for each in taken),
            busy=tuple(each.busy for each in taken),
        )
        for name, taken in outcomes.items()
    )


def others(outcomes: Outcomes) -> str:
    """What programs outside the benchmark took."""
    shares = [each.others for taken in outcomes.values() for each in taken]
    return f"other programs took {median(shares):.0%} of the cores, at most {max(shares):.0%}"


def broadcasters(plan: Plan) -> list[Start]:
    """All that cast to every socket of a host."""
    peers = (contenders.node_broker, contenders.nchan, contenders.websockets, contenders.picows)
    return plan.starts(contenders.phlows, *peers)
