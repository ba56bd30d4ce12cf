"""Casts to many sockets: every delivery is counted, and its place in the order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.load.audience import Group, Listener
from phlows_cli.cli.load.latency import Latencies
from phlows_cli.cli.load.line import checked
from phlows_cli.cli.load.machine import Effort
from phlows_cli.cli.load.result import Result
from phlows_cli.cli.load.wire import cast_body
from phlows_cli.errors import PhlowsError, RefusedError, UsageError

if TYPE_CHECKING:
    from phlows_cli.cli.load.dialing import Opened
    from phlows_cli.cli.load.line import BridgeLine
    from phlows_cli.cli.load.stage import Stage
    from phlows_cli.cli.load.wire import Answer

WINDOW_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of casts that may be under way: they are kept to compare with."""
SAMPLED: Final = 100
"""Sockets of which each delivery's time is measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be cast; no `rate` is as fast as `outstanding` allows."""

    sockets: int = 1000
    size: int = 128
    outstanding: int = 1
    seconds: float = 5.0
    casts: int | None = None
    target: str = "all"
    rate: float | None = None

    def check(self) -> None:
        """Raise UsageError for more than can be kept in memory."""
        if self.outstanding * self.size > WINDOW_LIMIT:
            raise UsageError(
                f"{self.outstanding} casts of {self.size} bytes exceed {WINDOW_LIMIT} bytes under"
                " way: lower --outstanding or --size"
            )


class Fanout:
    """One run, from the first handshake to the last delivery."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        plan.check()
        self._stage = stage
        self._plan = plan
        self._groups: list[Group] = []
        self._by_target: dict[str, Group] = {}
        self._members: list[Listener] = []
        self._last, self._each = Latencies(), Latencies()
        self._started = self._completed = self._receipts = self._others = 0
        self._began = self._ended = 0.0
        self._is_interrupted = False
        self._effort = stage.effort
        self._bridge: BridgeLine = stage.line()

    def run(self) -> Result:
        """Do it; Ctrl-C ends it early, with what was measured."""
        try:
            self._connect()
            self._settle()
            self._measure()
        except KeyboardInterrupt:
            self._is_interrupted = True
        finally:
            self._ended = self._ended or perf_counter()
            for member in self._members:
                if not self._is_interrupted:
                    member.finish()
                member.close()
            self._bridge.close()
        return self._result()

    # The sockets

    def _connect(self) -> None:
        opened: list[Opened] = []
        self._stage.open_all(self._plan.sockets, opened.append)
        opened.sort()
        ids = self._ids() if self._plan.target == "socket" else {}
        for each in opened:
            group = self._group(self._target(each.number, ids))
            self._members.append(Listener(self._stage.reactor, each, self._stage.findings, group))

    def _target(self, number: int, ids: dict[int, str]) -> str:
        if self._plan.target == "all":
            return "all"
        if self._plan.target == "token":
            return f"token:{self._stage.visitor.token_of(number)}"
        if number not in ids:
            raise PhlowsError(f"the broker does not tell the id of socket {number}")
        return f"socket:{ids[number]}"

    def _ids(self) -> dict[int, str]:
        """Ask which id each socket has: their user agents number them."""
        line = self._stage.line()
        try:
            answer = checked(line.call("GET", f"/presence?host={self._stage.host}"))
        finally:
            line.close()
        start = f"phlows-bench {self._stage.run} "
        return {
            int(each["agent"].removeprefix(start)): each["socket"]
            for each in _sockets_in(answer)
            if each.get("agent", "").startswith(start)
        }

    def _group(self, target: str) -> Group:
        group = self._by_target.get(target)
        if group is None:
            group = Group(len(self._groups), target, self._stage.run, self._plan.size)
            self._by_target[target] = group
            self._groups.append(group)
        return group

    # The casts

    def _settle(self) -> None:
        """Let one cast reach every socket: it is held until a socket is let in."""
        for group in self._groups:
            self._send(group, perf_counter(), is_measured=False)
        self._wait("letting in", len(self._groups))
        self._stage.raise_if_turned_away()
        if not any(member.has_any for member in self._members):
            raise RefusedError(
                f"no socket was reached in {self._stage.where.timeout:g} s: does the host"
                f" {self._stage.host} let them in without --token or --cookie?"
            )
        for group in self._groups:
            group.on_complete = self._complete
            group.delivered = 0
        step = max(1, len(self._members) // SAMPLED)
        for member in self._members[::step]:
            member.sample(self._each)

    @property
    def _is_settled(self) -> bool:
        return self._stage.findings.is_clean and not any(g.under_way for g in self._groups)

    def _send(self, group: Group, due: float, is_measured: bool = True) -> None:
        number = group.next
        payload = group.numbered(due)
        body = cast_body(self._stage.host, group.target, payload)

        def answered(answer: Answer) -> None:
            self._receipt(group, number, answer, is_measured)

        self._bridge.post("/message", body, answered)

    def _receipt(self, group: Group, number: int, answer: Answer, is_measured: bool) -> None:
        """Compare a receipt with the sockets that the cast has to reach."""
        if 400 <= answer.status < 500:
            checked(answer)
        if answer.status != 200:
            self._stage.findings.add("failed", None, number, f"{answer.status} {answer.message}")
            return
        if not is_measured:
            return
        self._receipts += 1
        sent, expected = int(json.loads(answer.body).get("sent", -1)), len(group.members)
        is_alone = self._stage.where.is_own or self._plan.target == "socket"
        if sent < expected or (is_alone and sent > expected):
            self._stage.findings.add("receipts", None, number, f"sent {sent} of {expected}")
        self._others = max(self._others, sent - expected)

    def _complete(self, seconds: float) -> None:
        self._completed += 1
        self._last.add(seconds)

    def _measure(self) -> None:
        if not self._is_settled:
            return
        self._effort = Effort(self._stage.effort.load)
        self._began = perf_counter()
        while self._is_casting():
            wait = self._cast(perf_counter())
            if not self._turn(wait):
                break
        self._wait("the last deliveries", self._started)
        self._ended = perf_counter()

    def _is_casting(self) -> bool:
        if self._plan.casts is not None:
            return self._started < self._plan.casts
        return perf_counter() - self._began < self._plan.seconds

    def _cast(self, now: float) -> float:
        """Cast what is due and has room; returns the seconds until more is."""
        plan = self._plan
        room = plan.outstanding - max(self._bridge.waiting, self._started - self._completed)
        left = room if plan.casts is None else min(room, plan.casts - self._started)
        for _ in range(left):
            due = self._began + self._started / plan.rate if plan.rate else now
            if due > now:
                return min(due - now, 0.1)
            self._send(self._groups[self._started % len(self._groups)], due)
            self._started += 1
        return 0.1

    # The waiting

    @property
    def _delivered(self) -> int:
        return sum(group.delivered for group in self._groups)

    def _turn(self, wait: float) -> bool:
        """Read what has come; returns whether it goes on at all."""
        self._stage.turn(wait)
        if self._started == self._completed:
            self._stage.quiet = 0.0  # nothing is waited for
        expected = self._plan.casts or max(1, self._started)
        self._stage.progress.show("casting", self._completed, expected)
        return not self._stage.is_given_up

    def _wait(self, phase: str, expected: int) -> None:
        """Read until all has come, or nothing has for a while."""
        self._stage.quiet = 0.0
        while self._bridge.waiting or any(group.under_way for group in self._groups):
            self._stage.turn(0.1)
            if self._stage.is_given_up:
                return
            self._stage.progress.show(phase, self._completed, expected)

    # The figures

    def _result(self) -> Result:
        seconds = max(self._ended - self._began, 1e-9) if self._began else 0.0
        deliveries = self._delivered if self._began else 0
        figures: dict[str, float] = {
            "sockets": len(self._members),
            "seconds": round(seconds, 3),
            "casts": self._started,
            "casts_per_second": round(self._started / seconds, 1) if seconds else 0.0,
            "deliveries": deliveries,
            "deliveries_per_second": round(deliveries / seconds, 1) if seconds else 0.0,
            "receipts_checked": self._receipts,
            "ignored_messages": sum(member.ignored for member in self._members),
            "other_sockets_reached": self._others,
        }
        times = {"cast to last client": self._last, "cast to each client": self._each}
        return Result(
            "fanout",
            self._stage.findings,
            figures,
            times,
            machine=self._effort.description(),
            warnings=self._effort.warnings(
                None if self._is_interrupted else self._plan.rate, figures["casts_per_second"]
            ),
            is_interrupted=self._is_interrupted,
        )


def _sockets_in(answer: Answer) -> list[dict[str, str]]:
    value = json.loads(answer.body)
    return list(value.get("sockets", ()) if isinstance(value, dict) else value)
