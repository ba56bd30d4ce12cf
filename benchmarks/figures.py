"""The figures: which contenders, in which turns, counted how."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks import bridge, contenders, fanout, idle, oneshot, runtimes, startup
from benchmarks.ceiling import reading_ceiling
from benchmarks.errors import BenchmarkError
from benchmarks.machine import Load
from benchmarks.report import Figure, Series
from benchmarks.rounds import interleaved
from benchmarks.sockets import allow_descriptors
from benchmarks.tools import compile_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.contenders import Start
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

_FANOUT_SOCKETS: Final = 1000
_WARM_UP: Final = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    sockets: int | None
    """None: what the figure takes by itself."""
    rounds: int
    seconds: float
    """At most 10: while another has its turn, pings wait for their answer."""
    peers_only: bool = False
    """Whether phlows stays out, to try the harness without it."""


def _starts(plan: Plan, peer: Start) -> list[Start]:
    return [peer] if plan.peers_only else [contenders.phlows, peer]


def _rate_figure(
    title: str, unit: str, names: Sequence[str], outcomes: Sequence[Sequence[Round]], *more: str
) -> Figure:
    series = tuple(
        Series(name, tuple(each.rate for each in taken))
        for name, taken in zip(names, outcomes, strict=True)
    )
    busy = ", ".join(
        f"{max(each.busy for each in taken):.0%} beside {name}"
        for name, taken in zip(names, outcomes, strict=True)
    )
    costs = ", ".join(
        f"{median(each.cost for each in taken):.4g} us {name}"
        f" ({median(each.cost * each.rate for each in taken) / 1e6:.0%} of a core)"
        for name, taken in zip(names, outcomes, strict=True)
    )
    others = [each.others for taken in outcomes for each in taken]
    remarks = (
        f"processor time for each: {costs}",
        f"load generator busy at most {busy}",
        f"other programs took {median(others):.0%} of the cores, at most {max(others):.0%}",
        *more,
    )
    return Figure(title, unit, series, remarks)


def fan_out(plan: Plan) -> list[Figure]:
    """Deliveries a second with 1 and with 32 casts under way."""
    count = plan.sockets or _FANOUT_SOCKETS
    allow_descriptors(2 * count + 64)
    with ExitStack() as stack:
        running = [stack.enter_context(start()) for start in _starts(plan, contenders.node_broker)]
        listening = [stack.enter_context(fanout.Listeners(each, count)) for each in running]
        names = [each.name for each in running]
        return [_fan_out(plan, count, window, names, listening) for window in fanout.WINDOWS]


def _fan_out(
    plan: Plan, count: int, window: int, names: list[str], listening: list[fanout.Listeners]
) -> Figure:
    for each in listening:
        _round(each.contender, partial(each.measure, window, _WARM_UP, keep_every=1))
    runs = [
        partial(_round, each.contender, partial(each.measure, window, plan.seconds))
        for each in listening
    ]
    outcomes = interleaved(runs, plan.rounds)
    ceiling = reading_ceiling(count, window)
    return _rate_figure(
        f"fan-out, {count:,} sockets, 128 B, {window} outstanding",
        "deliveries/s",
        names,
        outcomes,
        "a cast is outstanding until it is answered and as many deliveries are read",
        f"the generator alone reads {ceiling:,.0f} frames/s, {window} waiting a socket",
    )


def bridge_requests(plan: Plan) -> list[Figure]:
    """Bridge requests a second that reach nobody."""
    title = f"bridge, cast to nobody, {bridge.CONNECTIONS} connections"
    starts = _starts(plan, contenders.node_http)
    return [_turns(plan, title, "requests/s", starts, bridge.measure)]


def one_shot(plan: Plan) -> list[Figure]:
    """Events a second through a process for each message."""
    title = f"one-shot events, {oneshot.SOCKETS} in flight, a C program"
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        app = compile_answer(Path(folder))
        starts = [partial(start, app) for start in _starts(plan, contenders.node_broker)]
        return [_turns(plan, title, "events/s", starts, oneshot.measure)]


def _turns(
    plan: Plan,
    title: str,
    unit: str,
    starts: Sequence[Start],
    measure: Callable[[Contender, float], Round],
) -> Figure:
    with ExitStack() as stack:
        running = [stack.enter_context(start()) for start in starts]
        for each in running:
            _round(each, partial(measure, each, _WARM_UP))  # thrown away
        runs = [partial(_round, each, partial(measure, each, plan.seconds)) for each in running]
        outcomes = interleaved(runs, plan.rounds)
        return _rate_figure(title, unit, [each.name for each in running], outcomes)


def runtimes_side_by_side(plan: Plan) -> list[Figure]:
    """Milliseconds an event takes through each runtime, at a fixed rate."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phlows-bench-"))
        app = runtimes.write_app(Path(folder))
        asked = [(stack.enter_context(contenders.node_broker(app)).port, runtimes.PEER)]
        if not plan.peers_only:
            port = stack.enter_context(runtimes.phlows(app)).port
            asked = [*((port, load) for load in runtimes.LOADS), *asked]
        runs = [partial(runtimes.measure, *each, plan.seconds) for each in asked]
        outcomes = interleaved(runs, plan.rounds)
    return [_times_figure(name, [load for _, load in asked], outcomes) for name in ("p50", "p99")]


def _times_figure(
    name: str, loads: Sequence[runtimes.Load], outcomes: Sequence[Sequence[runtimes.Times]]
) -> Figure:
    series = tuple(
        Series(f"{load.name}, {load.rate}/s", tuple(getattr(each, name) for each in taken))
        for load, taken in zip(loads, outcomes, strict=True)
    )
    remark = "an open loop: the time runs from when a message was due"
    return Figure(f"one event of a PHP app, {name}", "ms", series, (remark,))


def idle_memory(plan: Plan) -> list[Figure]:
    """Resident bytes an idle socket; a fresh process each round."""
    count = plan.sockets or idle.SOCKETS
    allow_descriptors(count + 1000)
    starts = _starts(plan, contenders.node_broker)
    outcomes = interleaved([partial(idle.measure, start, count) for start in starts], plan.rounds)
    names = ["node ws"] if plan.peers_only else ["phlows", "node ws"]
    series = tuple(Series(name, tuple(taken)) for name, taken in zip(names, outcomes, strict=True))
    remark = "node ws is told to collect its garbage before each reading"
    return [Figure(f"idle socket, {count:,} of them", "bytes", series, (remark,))]


def help_time(plan: Plan) -> list[Figure]:
    """Milliseconds of `phlows --help` beside importing click."""
    commands: dict[str, Sequence[str]] = {"python -c 'import click'": startup.IMPORT_CLICK}
    if not plan.peers_only:
        commands = {"phlows": startup.phlows_help(), **commands}
    is_module = not plan.peers_only and "-m" in commands["phlows"]
    remarks = ("not installed, so run as python -m phlows_cli",) if is_module else ()
    runs = [partial(startup.milliseconds, command) for command in commands.values()]
    interleaved(runs, 1)  # the first run reads the files from disk
    outcomes = interleaved(runs, startup.RUNS)
    series = tuple(
        Series(name, tuple(taken)) for name, taken in zip(commands, outcomes, strict=True)
    )
    return [Figure("phlows --help", "ms", series, remarks)]


def _round(contender: Contender, measure: Callable[[], Round]) -> Round:
    ran, load = contender.processor_time(), Load()
    try:
        outcome = measure()
    except BenchmarkError as error:
        error.add_note(f"while {contender.name} was measured")
        raise
    ran = contender.processor_time() - ran
    return replace(outcome, cost=ran / outcome.count * 1e6, others=load.others(ran))


FIGURES: Final[dict[str, Callable[[Plan], list[Figure]]]] = {
    "fanout": fan_out,
    "bridge": bridge_requests,
    "oneshot": one_shot,
    "runtimes": runtimes_side_by_side,
    "idle": idle_memory,
    "help": help_time,
}
