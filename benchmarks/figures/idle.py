"""What sockets cost that say nothing: memory, and the processor for their pings."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import contenders, idle
from benchmarks.cores import apart
from benchmarks.crowd import Crowd
from benchmarks.errors import FAILURES, MissingToolError
from benchmarks.figures.plan import left_out, one_round
from benchmarks.generator import Generator
from benchmarks.report import Figure, Series
from benchmarks.sockets import allow_descriptors
from benchmarks.tools import compile_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders import Start
    from benchmarks.figures.plan import Plan

_MEMORY_ROUNDS: Final = 3
_HELD: Final = 18000
_QUIET: Final[Mapping[str, Start]] = {
    "node ws": contenders.node_broker,
    "nchan": contenders.nchan,
    "websockets": contenders.websockets,
    "picows": contenders.picows,
}
_PINGING: Final[Mapping[str, Start]] = {
    "node ws": contenders.node_pinging,
    "nchan": contenders.nchan_pinging,
    "websockets": contenders.websockets_pinging,
    "picows": contenders.picows_pinging,
}


def memory(plan: Plan) -> list[Figure]:
    """Resident bytes an idle socket; a fresh process each round."""
    count = plan.some(idle.SOCKETS, 1000)
    allow_descriptors(count + 1000)
    rounds = min(plan.rounds, _MEMORY_ROUNDS)
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder, apart():
        starts = _starts(plan, Path(folder), _QUIET)
        taken, missing = _each(starts, rounds, lambda start: idle.measure(start, count))
    remarks = (
        "phlows keeps a close hook's debt for each socket in its journal; limits and metrics on",
        "node ws is told to collect its garbage before each reading",
    )
    return [Figure("idle", f"idle socket, {count:,} of them", "bytes", taken, (*remarks, *missing))]


def keepalive(plan: Plan) -> list[Figure]:
    """The share of a core that pinging idle sockets takes."""
    count = plan.some(_HELD, 2000)
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder, apart():
        starts = _starts(plan, Path(folder), _PINGING)
        if plan.is_quick:  # half a minute each
            starts = dict(list(starts.items())[:2])
        pings: list[str] = []
        measure = partial(_share, count=count, seconds=contenders.PING, pings=pings)
        taken, missing = _each(starts, 1, measure)
    title = f"{count:,} idle sockets, a ping each {contenders.PING} s"
    remark = f"over {contenders.PING} s, each contender alone, in a fresh process"
    remarks = (remark, f"pings answered: {', '.join(pings)}", *missing)
    return [Figure(f"keepalive.{count}", title, "% of a core", taken, remarks)]


def _starts(plan: Plan, folder: Path, peers: Mapping[str, Start]) -> dict[str, Start]:
    if plan.peers_only:
        return {**peers}
    return {"phlows": partial(contenders.phlows_with_close, compile_answer(folder)), **peers}


def _each(
    starts: dict[str, Start], rounds: int, measure: Callable[[Start], float]
) -> tuple[tuple[Series, ...], list[str]]:
    """Round by round, each in a process of its own; who is missing or fails is told."""
    taken: dict[str, list[float]] = {name: [] for name in starts}
    missing: dict[str, str] = {}
    for number in range(1, rounds + 1):
        for name, start in starts.items():
            if name in missing:
                continue
            try:
                taken[name].append(measure(start))
            except MissingToolError as error:
                missing[name] = f"left out: {error}"
            except FAILURES as error:
                missing[name] = left_out(name, error, f"in round {number}")
    whole = {name: values for name, values in taken.items() if name not in missing}
    series = tuple(Series(name, tuple(values)) for name, values in whole.items())
    return series, [*missing.values()]


def _share(start: Start, count: int, seconds: float, pings: list[str]) -> float:
    with ExitStack() as stack:
        contender = stack.enter_context(start())
        generator = stack.enter_context(Generator(contender, Crowd(count))).ready()
        generator.attend(1.0)
        outcome = one_round(contender, lambda: generator.attend(seconds))
        pings.append(f"{outcome.pings:,} of {contender.name}")
        return outcome.cost / 1e6 / seconds * 100  # nothing was delivered: the cost is of one
