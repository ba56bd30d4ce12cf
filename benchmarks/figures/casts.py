"""Deliveries a second: to crowds of every size, of every length, to some of them."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import contenders, native
from benchmarks.ceiling import reading_ceiling
from benchmarks.cores import apart
from benchmarks.crowd import Crowd, Turn
from benchmarks.errors import FAILURES
from benchmarks.figures.plan import broadcasters, in_turns, rate_figure, started
from benchmarks.generator import Generator
from benchmarks.tools import compile_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.contenders import Start
    from benchmarks.figures.plan import Outcomes, Plan, Present
    from benchmarks.process import Contender
    from benchmarks.report import Figure
    from benchmarks.rounds import Round

UNIT: Final = "deliveries/s"
WINDOWS: Final = (1, 32)
COUNTS: Final = (100, 1000, 10000)
SIZES: Final = (64, 1024, 4096, 16384)
CURVE: Final = (100, 300, 1000, 3000, 10000, 18000)
QUICK_CURVE: Final = (100, 1000, 5000)
_TOKEN_SIZE: Final = 100
_OUTSTANDING_BYTES: Final = 131072
"""Outstanding for one socket at most: half of what limits.send_buffer lets wait."""


@dataclass(frozen=True, slots=True)
class Crowds:
    """A crowd of each contender's, cast to in turn."""

    present: Present
    """Who has one: a peer that fails has no more turns with this crowd."""
    generators: Mapping[str, Generator]

    def cast(self, turn: Turn, contender: Contender, seconds: float) -> Round:
        """One round of so many seconds."""
        return self.generators[contender.name].cast(replace(turn, seconds=seconds))


@contextmanager
def crowded(present: Present, crowd: Crowd) -> Iterator[Crowds]:
    """A crowd for each contender, each in a process of its own."""
    present, generators = present.copy(), {}
    with ExitStack() as stack:
        for each in [*present.contenders]:
            generators[each.name] = stack.enter_context(Generator(each, crowd))
            try:
                generators[each.name].ready()
            except FAILURES as error:
                present.drop(each, error, f"as its {crowd.sockets:,} sockets were opened")
        yield Crowds(present, generators)


def fan_out(plan: Plan) -> list[Figure]:
    """To all sockets, with 1 and with 32 casts outstanding."""
    counts = (plan.sockets,) if plan.sockets else COUNTS[:2] if plan.is_quick else COUNTS
    figures = []
    with apart(), ExitStack() as stack:
        present = started(stack, [*broadcasters(plan), contenders.floor])
        for count in counts:
            figures += _windows(
                plan, f"fanout.{count}", f"{count:,} sockets, 128 B", present, Crowd(count)
            )
    return figures


def _windows(
    plan: Plan,
    key: str,
    title: str,
    present: Present,
    crowd: Crowd,
    windows: Sequence[int] = WINDOWS,
) -> list[Figure]:
    with crowded(present, crowd) as crowds:
        return [
            rate_figure(
                f"{key}.{window}",
                f"fan-out, {title}, {window} outstanding",
                UNIT,
                crowds.present,
                _cast(plan, crowds, window),
                _generator_alone(crowd, window),
            )
            for window in windows
        ]


def _cast(plan: Plan, crowds: Crowds, window: int) -> Outcomes:
    if window > 1:  # one send() for each of many casts is not the least that can be done
        crowds.present.dismiss(contenders.FLOOR)
    # One by one: 32 casts to 18,000 sockets take some contenders ten seconds.
    one_by_one = partial(crowds.cast, Turn(1, 0))
    measure = partial(crowds.cast, Turn(window, 0))
    of = f" with {window} outstanding"
    return in_turns(plan, crowds.present, measure, one_by_one, of=of)


def _generator_alone(crowd: Crowd, window: int) -> str:
    count = min(crowd.receivers, 1000)
    speed = reading_ceiling(count, window, crowd.size)
    language = "C" if native.is_there() else "Python, as there is no C compiler"
    return (
        f"the generator ({language}) alone reads {speed:,.0f} frames/s"
        f" from {count:,} sockets, {window} waiting at each"
    )


def sizes(plan: Plan) -> list[Figure]:
    """To 1,000 sockets, from 64 B to 16 kB."""
    plan = _shorter(plan)
    count = plan.some(1000, 200)
    figures = []
    with apart(), ExitStack() as stack:
        present = started(stack, broadcasters(plan))
        for size in SIZES[::3] if plan.is_quick else SIZES:
            deep = min(32, _OUTSTANDING_BYTES // size)
            crowd = Crowd(count, size=size)
            title = f"{count:,} sockets, {size:,} B"
            figures += _windows(plan, f"sizes.{size}", title, present, crowd, (1, deep))
    return figures


def _shorter(plan: Plan) -> Plan:
    """Half the time a round, for figures of many lines."""
    return replace(plan, seconds=plan.seconds / 2)


def targets(plan: Plan) -> list[Figure]:
    """To one token's sockets, and to a single one, among 1,000."""
    count = plan.some(1000, 200)
    few = min(_TOKEN_SIZE, count)
    with apart(), ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phlows-bench-"))
        ours = partial(contenders.phlows_with_tokens, compile_answer(Path(folder)))
        present = started(stack, plan.starts(ours, contenders.node_broker, contenders.nchan))
        token = _windows(
            plan,
            "token",
            f"a token's {few} of {count:,} sockets",
            present,
            Crowd(count, "token", few),
        )
        title = f"a single one of {count:,} sockets"
        return token + _windows(plan, "socket", title, present, Crowd(count, "socket"))


def curve(plan: Plan) -> list[Figure]:
    """What a delivery costs, from 100 to 18,000 sockets."""
    plan = _shorter(plan)
    counts = (plan.sockets,) if plan.sockets else QUICK_CURVE if plan.is_quick else CURVE
    peers: tuple[Start, ...] = (contenders.node_broker, contenders.nchan)
    figures = []
    for count in counts:
        with apart(), ExitStack() as stack:
            present = started(stack, plan.starts(contenders.phlows, *peers))
            title = f"cost curve, {count:,} sockets, 128 B"
            figures += _windows(plan, f"curve.{count}", title, present, Crowd(count))
    return figures
