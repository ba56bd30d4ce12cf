"""Events through apps, and the command's own start."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import contenders, oneshot, runtimes, startup
from benchmarks import resident as single
from benchmarks.figures.plan import (
    in_turns,
    left_out,
    others,
    rate_figure,
    series_of,
    started,
    turns,
)
from benchmarks.report import Figure, Series
from benchmarks.rounds import interleaved
from benchmarks.tools import compile_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.figures.plan import Plan


def one_shot(plan: Plan) -> list[Figure]:
    """Events a second through a process for each message."""
    title = f"one-shot events, {oneshot.SOCKETS} in flight, a small C program"
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        app = compile_answer(Path(folder))
        both = plan.starts(contenders.phlows, contenders.node_broker)
        starts = [partial(start, app) for start in both]
        return turns(plan, "oneshot", title, "events/s", starts, oneshot.measure)


def resident(plan: Plan) -> list[Figure]:
    """Events a second through one busy resident worker, and how long one takes."""
    title = f"resident events, one PHP worker, {single.SOCKETS} sockets"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phlows-bench-"))
        app = runtimes.write_app(Path(folder))
        starts = plan.starts(partial(single.phlows, app), partial(single.node_resident, app))
        present = started(stack, starts)
        outcomes = in_turns(plan, present, single.measure)
    p99 = series_of(outcomes, lambda each: each.each.p99 if each.each else 0.0)
    remarks = ("from sending to the reply, all sockets waiting", others(outcomes))
    return [
        rate_figure("resident", title, "events/s", present, outcomes),
        Figure("resident.p99", f"{title}, p99", "ms", p99, (*remarks, *present.left_out)),
    ]


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
        remarks = ["an open loop: the time runs from when a message was due"]

        def drop(index: int, number: int, error: Exception) -> None:
            remarks.append(left_out(asked[index][1].name, error, f"in round {number}"))

        outcomes = interleaved(runs, plan.rounds, drop)
    taken = {load: times for (_, load), times in zip(asked, outcomes, strict=True) if times}
    return [_times_figure(name, taken, remarks) for name in ("p50", "p99")]


def _times_figure(
    name: str,
    outcomes: Mapping[runtimes.Load, Sequence[runtimes.Times]],
    remarks: Sequence[str],
) -> Figure:
    series = tuple(
        Series(f"{load.name}, {load.rate}/s", tuple(getattr(each, name) for each in taken))
        for load, taken in outcomes.items()
    )
    title = f"one event of a PHP app, {name}"
    return Figure(f"runtimes.{name}", title, "ms", series, tuple(remarks))


def help_time(plan: Plan) -> list[Figure]:
    """Milliseconds of `phlows --help` beside importing click."""
    commands: dict[str, Sequence[str]] = {"python -c 'import click'": startup.IMPORT_CLICK}
    if not plan.peers_only:
        commands = {"phlows": startup.phlows_help(), **commands}
    is_module = not plan.peers_only and "-m" in commands["phlows"]
    remarks = ("not installed, so run as python -m phlows_cli",) if is_module else ()
    runs = [partial(startup.milliseconds, command) for command in commands.values()]
    interleaved(runs, 1)  # the first run reads the files from disk
    outcomes = interleaved(runs, 5 if plan.is_quick else startup.RUNS)
    series = tuple(
        Series(name, tuple(taken)) for name, taken in zip(commands, outcomes, strict=True)
    )
    return [Figure("help", "phlows --help", "ms", series, remarks)]
