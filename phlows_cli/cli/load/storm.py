"""All sockets at once, then all lost and back at once, as a browser's client would."""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.load.audience import Group, Listener
from phlows_cli.cli.load.dialing import BATCH, Opened, Refused
from phlows_cli.cli.load.findings import Findings
from phlows_cli.cli.load.latency import Latencies
from phlows_cli.cli.load.line import checked
from phlows_cli.cli.load.result import Result
from phlows_cli.cli.load.wire import SMALLEST, cast_body
from phlows_cli.errors import BrokerUnreachableError, RefusedError

if TYPE_CHECKING:
    from phlows_cli.cli.load.stage import Stage
    from phlows_cli.cli.load.wire import Answer

FIRST_DELAY: Final = 0.333
LONGEST_DELAY: Final = 20.0
LONGEST_HINT: Final = 300
"""Of phlows.js: the span of a first retry, which triples, up to the longest; and of a hint."""
_HINT: Final = re.compile(r"come back in (\d+) s")
_LAST_REFUSAL: Final = 4500
_REASONS: Final = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How many come, and for how many seconds they are waited for."""

    sockets: int = 2000
    patience: float = 120.0


def retry_delay(failures: int, hint: int | None) -> float:
    """Seconds until an attempt, as phlows.js waits."""
    if hint is not None:
        return min(hint, LONGEST_HINT) + random.random()  # noqa: S311 - spreads, hides nothing
    span = min(FIRST_DELAY * 3.0**failures, LONGEST_DELAY)
    return random.random() * span  # noqa: S311 - spreads, hides nothing


class _Comer(Listener):
    """A socket that comes back when it is closed."""

    __slots__ = ("_wave",)

    def __init__(self, wave: Wave, opened: Opened) -> None:
        self._wave = wave
        super().__init__(wave.stage.reactor, opened, wave.own, wave.group)

    def gone(self, code: int, reason: str) -> None:
        """It was in, and is not any more."""
        if self.is_open:
            super().gone(code, reason)
            self._wave.lost(self, code, reason)


class Wave:
    """Everybody comes at once; who is refused comes again."""

    def __init__(self, stage: Stage, plan: Plan, name: str) -> None:
        self.stage = stage
        self.name = name
        self.own = Findings()
        self.group = Group(0, "all", stage.run + name[:1], SMALLEST)
        self.seconds = self.reached = 0.0
        self.attempts = 0
        self.refusals: Counter[str] = Counter()
        self.times = Latencies()
        self.everybody: dict[int, _Comer] = {}
        self._plan = plan
        self._began = perf_counter()
        self._failures: Counter[int] = Counter()
        self._waiting: list[tuple[float, int]] = []
        self._given_up: dict[int, str] = {}
        self._dialer = stage.dialer(self._end)

    def come(self) -> None:
        """Connect all, and wait until all are in or given up."""
        self._waiting = [(self._began, number) for number in range(self._plan.sockets)]
        try:
            while self._missing and not self._is_late:
                is_more = self._dial()
                self.stage.reactor.turn(0 if is_more else 0.05)
                self._dialer.sweep()
                self.stage.progress.show(self.name, len(self.everybody), self._plan.sockets)
        finally:
            self.seconds = perf_counter() - self._began
            self._dialer.close()

    @property
    def _missing(self) -> int:
        return self._plan.sockets - len(self.everybody) - len(self._given_up)

    @property
    def _is_late(self) -> bool:
        return perf_counter() - self._began > self._plan.patience

    def _dial(self) -> bool:
        """Begin some of the attempts that are due; returns whether there may be more."""
        now = perf_counter()
        for _ in range(BATCH):
            if not self._waiting or self._waiting[0][0] > now:
                return False
            _, number = heapq.heappop(self._waiting)
            self.attempts += 1
            self._dialer.dial(number)
        return True

    def _end(self, end: Opened | Refused) -> None:
        if isinstance(end, Refused):
            self._again(end.number, end.retry_after, f"{end.status or 'no answer'} {end.why}")
            return
        self.times.add(perf_counter() - self._began)
        self.stage.introduce(end)
        comer = _Comer(self, end)
        if comer.is_open:
            self.everybody[end.number] = comer

    def lost(self, comer: _Comer, code: int, reason: str) -> None:
        """Let a closed socket come back, unless it was told not to."""
        self.everybody.pop(comer.number, None)
        hint = _HINT.search(reason) if code == 1012 else None
        why = f"close {code} {reason}".rstrip()
        if code >= _LAST_REFUSAL:
            self._count(why)
            self._given_up[comer.number] = why
        else:
            self._again(comer.number, int(hint[1]) if hint else None, why)

    def _again(self, number: int, hint: int | None, why: str) -> None:
        self._count(why)
        delay = retry_delay(self._failures[number], hint)
        self._failures[number] += 1
        heapq.heappush(self._waiting, (perf_counter() + delay, number))

    def _count(self, why: str) -> None:
        known = why in self.refusals or len(self.refusals) < _REASONS
        self.refusals[why if known else "other"] += 1

    def reach(self) -> None:
        """Cast to all, and measure the seconds until everybody had it."""
        if self.stage.bridge is None:
            return
        began, line = perf_counter(), self.stage.line()
        try:
            body = cast_body(self.stage.host, "all", self.group.numbered(began))
            line.post("/message", body, _take_receipt)
            self.stage.quiet = 0.0
            while self.group.under_way and not self.stage.is_given_up:
                self.stage.turn(0.1)
        finally:
            line.close()
        self.reached = perf_counter() - began

    def drop(self) -> None:
        """Close every socket without a word, as a network that goes away."""
        comers, self.everybody = self.everybody, {}
        for comer in comers.values():
            comer.close()

    def report(self, findings: Findings) -> None:
        """Enter who is not in, and who was not reached."""
        for number in range(self._plan.sockets):
            comer = self.everybody.get(number)
            if comer is None:
                late = f"not in after {self._plan.patience:g} s"
                findings.add("failed", number, None, self._given_up.get(number, late))
            elif self.group.next and not comer.has_any:
                findings.add("lost", number, 0, f"in, but not reached ({self.name})")

    def facts(self) -> dict[str, Any]:
        """The figures of this wave."""
        return {
            "in": len(self.everybody),
            "seconds": round(self.seconds, 3),
            "reached_after": round(self.seconds + self.reached, 3) if self.reached else None,
            "attempts": self.attempts,
            "refusals": sum(self.refusals.values()),
        }


def storm(stage: Stage, plan: Plan) -> Result:
    """Let all come, drop them, and let them come back; Ctrl-C ends it early.

    Raises:
        BrokerUnreachableError, RefusedError: not one got in.
    """
    result = Result("storm", stage.findings, {"sockets": plan.sockets, "waves": {}})
    waves: list[Wave] = []
    try:
        for name in ("first", "back"):
            waves.append(Wave(stage, plan, name))
            _ride(waves[-1], result)
    except KeyboardInterrupt:
        result.is_interrupted = True
    finally:
        for wave in waves:
            wave.drop()
    result.machine = stage.effort.description()
    result.warnings = stage.effort.warnings()
    return result


def _ride(wave: Wave, result: Result) -> None:
    """Do one wave, and enter what it has shown even when it is broken off."""
    try:
        wave.come()
        if not wave.everybody:
            raise _nobody(wave)  # and so there is nothing to show
        wave.reach()
        wave.report(wave.stage.findings)
    finally:
        result.figures["waves"][wave.name] = wave.facts()
        result.latencies[f"{wave.name} wave: until in"] = wave.times
        result.refusals.update(Counter(result.refusals) + wave.refusals)
        wave.drop()


def _nobody(wave: Wave) -> Exception:
    why = next(iter(wave.refusals), "nobody tried")
    if why.startswith("no answer"):
        return BrokerUnreachableError(f"{wave.stage.sockets.shown} cannot be reached: {why}")
    return RefusedError(f"no socket got in: {why}")


def _take_receipt(answer: Answer) -> None:
    checked(answer)
