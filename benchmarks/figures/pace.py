"""How long a cast takes at a fixed rate, and what others notice of it."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import contenders
from benchmarks.cores import apart
from benchmarks.crowd import Crowd, Turn
from benchmarks.figures.casts import crowded
from benchmarks.figures.plan import Plan, broadcasters, in_turns, others, series_of, started
from benchmarks.report import Figure

if TYPE_CHECKING:
    from benchmarks.figures.casts import Crowds
    from benchmarks.figures.plan import Outcomes, Present
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

_LINES: Final = 32
_RATE: Final = 20.0
_CROWD_RATE: Final = 3.0
"""What a broker that sends one by one can bear with 10,000 sockets, too."""
_PROBE_RATE: Final = 100.0
_ROUND: Final = 5.0
"""Seconds: 100 casts, so that a 99th percentile is not merely the worst."""
_CROWD_ROUND: Final = 8.0


def latency(plan: Plan) -> list[Figure]:
    """Milliseconds of a delivery and of a cast, at 20 casts a second."""
    count = plan.some(1000, 1000)
    with apart(), ExitStack() as stack:
        running = started(stack, broadcasters(plan))
        crowds = stack.enter_context(crowded(running, Crowd(count)))
        outcomes = _paced(plan, crowds, _RATE, 0.0, _ROUND)
    present = crowds.present
    title = f"{_RATE:g} casts a second to {count:,} sockets"
    return [
        _times("latency.each.p50", f"{title}, a delivery, p50", present, outcomes, "each", "p50"),
        _times("latency.each.p99", f"{title}, a delivery, p99", present, outcomes, "each", "p99"),
        _times(
            "latency.last.p99", f"{title}, the last delivery, p99", present, outcomes, "last", "p99"
        ),
    ]


def crowds(plan: Plan) -> list[Figure]:
    """To the last of 10,000 beside 1,000; another socket's echo meanwhile."""
    figures = []
    for count in _crowds(plan):
        with apart(), ExitStack() as stack:
            peers = (contenders.node_echo, contenders.websockets_echo, contenders.picows_echo)
            running = started(stack, plan.starts(contenders.phlows_echo, *peers))
            crowds = stack.enter_context(crowded(running, Crowd(count, has_probe=True)))
            outcomes = _paced(plan, crowds, _CROWD_RATE, _PROBE_RATE, _CROWD_ROUND)
        present = crowds.present
        title = f"{_CROWD_RATE:g} casts a second to {count:,} sockets"
        figures += [
            _times(
                f"crowds.{count}.last",
                f"{title}, the last delivery, p99",
                present,
                outcomes,
                "last",
                "p99",
            ),
            _times(
                f"crowds.{count}.echo",
                f"{title}, another socket's echo, p99",
                present,
                outcomes,
                "echo",
                "p99",
            ),
        ]
    return figures


def _crowds(plan: Plan) -> tuple[int, ...]:
    if plan.sockets:
        return (plan.sockets,)
    return (100, 1000) if plan.is_quick else (1000, 10000)


def _paced(plan: Plan, crowds: Crowds, rate: float, probe_rate: float, length: float) -> Outcomes:
    """Rounds of `length` seconds, as far as a round is as long as usual."""
    longer = length / Plan().seconds

    def measure(contender: Contender, seconds: float) -> Round:
        turn = Turn(_LINES, 0, rate, probe_rate)
        return crowds.cast(turn, contender, max(2 / rate, seconds * longer))

    return in_turns(plan, crowds.present, measure)


def _times(
    key: str,
    title: str,
    present: Present,
    outcomes: Outcomes,
    *path: str,
) -> Figure:
    of, percentile = path
    series = series_of(outcomes, lambda each: getattr(getattr(each, of), percentile))
    timed = median(getattr(each, of).count for taken in outcomes.values() for each in taken)
    remark = f"from when it was due to when it was read; {timed:,.0f} timed a round"
    return Figure(key, title, "ms", series, (remark, others(outcomes), *present.left_out))
