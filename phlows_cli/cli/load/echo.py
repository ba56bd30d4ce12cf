"""Messages through the app and back: client, hook, answer, the same client."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.load.audience import Member
from phlows_cli.cli.load.findings import Ledger
from phlows_cli.cli.load.latency import Latencies
from phlows_cli.cli.load.machine import Effort
from phlows_cli.cli.load.result import Result
from phlows_cli.cli.load.wire import client_frame, number_pattern, numbered_payload
from phlows_cli.errors import PhlowsError

if TYPE_CHECKING:
    from phlows_cli.cli.load.dialing import Opened
    from phlows_cli.cli.load.stage import Stage

RATE: Final = 500.0
"""Messages a second, where nothing else is asked for."""
UNDER_WAY: Final = 100_000
"""Messages that may wait for their answers; what is due then waits, and is measured so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be sent; no `rate`: each socket sends when it was answered."""

    sockets: int = 100
    size: int = 128
    seconds: float = 5.0
    rate: float | None = RATE


class Speaker(Member):
    """A socket that sends numbered messages and waits for each."""

    __slots__ = ("_due", "_ledger", "_run", "next")

    def __init__(self, run: Echo, opened: Opened) -> None:
        self.next = 0
        self._due: dict[int, float] = {}
        self._run = run
        self._ledger = Ledger(opened.number, run.stage.findings)
        super().__init__(run.stage.reactor, opened, run.stage.findings)

    def say(self, due: float) -> None:
        """Send the next message, which was due at that time."""
        if not self.is_open:
            return
        self._due[self.next] = due
        size = self._run.plan.size
        payload = numbered_payload(self._run.stage.run, self.number, self.next, size)
        self.next += 1
        self._run.sent += 1
        self.send(client_frame(payload))

    def message(self, payload: bytes) -> None:
        """Enter an answer; count what is none."""
        found = self._run.pattern.search(payload)
        if found is None:
            self._other(payload)
            return
        number = int(found[2])
        if int(found[1]) != self.number:
            self.findings.add("damaged", self.number, number, f"of socket {int(found[1])}")
        elif number >= self.next:
            self.findings.add("damaged", self.number, number, "a number that was never sent")
        else:
            due = self._due.pop(number, None)
            self._ledger.take(number)
            if due is not None:
                self._run.answered(self, perf_counter() - due)

    def _other(self, payload: bytes) -> None:
        if payload.startswith(b'{"error":'):
            why = payload[:200].decode("utf-8", "replace")
            self.findings.add("failed", self.number, None, why)
        else:
            self.ignored += 1

    def finish(self) -> None:
        """Report the answers that have not come."""
        self._ledger.finish(self.next)


class Echo:
    """One run, from the first handshake to the last answer."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage = stage
        self.plan = plan
        self.pattern = number_pattern(stage.run)
        self.sent = 0
        self._back = 0
        self._began = self._ended = self._until = 0.0
        self._speakers: list[Speaker] = []
        self._times = Latencies()
        self._effort = stage.effort
        self._is_interrupted = False

    def run(self) -> Result:
        """Do it; Ctrl-C ends it early, with what was measured."""
        try:
            self.stage.open_all(self.plan.sockets, self._join)
            self._settle()
            self._measure()
        except KeyboardInterrupt:
            self._is_interrupted = True
        finally:
            self._ended = self._ended or perf_counter()
            for speaker in self._speakers:
                if not self._is_interrupted:
                    speaker.finish()
                speaker.close()
        return self._result()

    def _join(self, opened: Opened) -> None:
        self._speakers.append(Speaker(self, opened))

    def _settle(self) -> None:
        """Let each socket be answered once, before anything is measured."""
        for speaker in self._speakers:
            speaker.say(perf_counter())
        self._wait("letting in")
        self.stage.raise_if_turned_away()
        if not self._back:
            raise PhlowsError(self._why_no_answer())

    def _why_no_answer(self) -> str:
        """Say what the app has to do, and what came in place of an answer."""
        told = next((str(found["why"]) for found in self._failures()), "")
        instead = f", and the broker says {told}" if told else ""
        return (
            f"no message was answered in {self.stage.where.timeout:g} s{instead}: the app has to"
            " send each message of bench echo back as it is, with its fields bench, g and n"
            " (`phlows hook receive` shows what it does)"
        )

    def _failures(self) -> list[dict[str, object]]:
        return [found for found in self.stage.findings.examples if "why" in found]

    def _measure(self) -> None:
        if not self.stage.findings.is_clean or self._back < self.sent:
            return
        self.sent = self._back = 0
        self._effort = Effort(self.stage.effort.load)
        self._began = perf_counter()
        self._until = self._began + self.plan.seconds
        if self.plan.rate:
            self._at_a_rate(self.plan.rate)
        else:
            for speaker in self._speakers:
                speaker.say(perf_counter())
        self._wait("echoing")
        self._ended = perf_counter()

    def _at_a_rate(self, rate: float) -> None:
        total = max(1, int(rate * self.plan.seconds))
        self.stage.quiet = 0.0
        for number in range(total):
            due = self._began + number / rate
            while (now := perf_counter()) < due or self.sent - self._back >= UNDER_WAY:
                self.stage.turn(min(due - now if due > now else 0.001, 0.1))
                self._show("echoing", total)
                if self._back == self.sent:
                    self.stage.quiet = 0.0  # nothing is waited for
                if self.stage.is_given_up:
                    return
            self._speakers[number % len(self._speakers)].say(due)
            if not number % 64:
                self.stage.reactor.turn(0)  # late: what is due must not keep from reading

    def answered(self, speaker: Speaker, seconds: float) -> None:
        """Count an answer; without a rate the next message follows it."""
        self._back += 1
        if self._began:
            self._times.add(seconds)
            now = perf_counter()
            if not self.plan.rate and now < self._until:
                speaker.say(now)

    def _wait(self, phase: str) -> None:
        """Read until all is answered, or nothing has come for a while."""
        self.stage.quiet = 0.0
        while self._back < self.sent and any(s.is_open for s in self._speakers):
            self.stage.turn(0.1)
            if self.stage.is_given_up:
                return
            self._show(phase, self.sent)

    def _show(self, phase: str, expected: int) -> None:
        self.stage.progress.show(phase, self._back, expected)

    def _result(self) -> Result:
        is_measured = self._began > 0
        seconds = self._ended - self._began if is_measured else 0.0
        figures: dict[str, float] = {
            "sockets": len(self._speakers),
            "seconds": round(seconds, 3),
            "messages": self.sent if is_measured else 0,
            "answers": self._back if is_measured else 0,
            "answers_per_second": round(self._back / seconds, 1) if seconds else 0.0,
            "ignored_messages": sum(speaker.ignored for speaker in self._speakers),
        }
        return Result(
            "echo",
            self.stage.findings,
            figures,
            {"message to answer": self._times},
            machine=self._effort.description(),
            warnings=self._effort.warnings(
                None if self._is_interrupted else self.plan.rate, figures["answers_per_second"]
            ),
            is_interrupted=self._is_interrupted,
        )
