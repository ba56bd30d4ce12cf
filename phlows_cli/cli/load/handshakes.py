"""Handshakes a second, and how long each takes; with a token, until it is let in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from phlows_cli.cli.load.audience import Member
from phlows_cli.cli.load.dialing import BATCH, Opened, Refused
from phlows_cli.cli.load.latency import Latencies
from phlows_cli.cli.load.line import checked
from phlows_cli.cli.load.result import Result
from phlows_cli.cli.load.wire import cast_body
from phlows_cli.errors import BrokerUnreachableError, RefusedError

if TYPE_CHECKING:
    from phlows_cli.cli.load.stage import Stage
    from phlows_cli.cli.load.wire import Answer


@dataclass(frozen=True, slots=True)
class Plan:
    """How many handshakes there are to be, and how many at once."""

    count: int = 1000
    concurrency: int = 50


class Guest(Member):
    """An open socket that waits for the sign that it was let in."""

    __slots__ = ("_began", "_run")

    def __init__(self, run: Handshakes, opened: Opened) -> None:
        self._run = run
        self._began = perf_counter()
        super().__init__(run.stage.reactor, opened, run.stage.findings)

    def message(self, payload: bytes) -> None:
        """Any cast of ours means that the broker takes it for authenticated."""
        if self._run.sign in payload:
            self._run.let_in(self, perf_counter() - self._began)

    def gone(self, code: int, reason: str) -> None:
        """It is turned away, which is a refusal like one before the upgrade."""
        if self.is_open:
            self.close()
            self._run.refused(self, f"close {code} {reason}".rstrip())

    def sweep(self, timeout: float) -> bool:
        """Give it up once it has waited for so long; returns whether it was."""
        if perf_counter() - self._began < timeout:
            return False
        self.gone(0, f"not let in within {timeout:g} s")
        return True


class Handshakes:
    """One run: each socket is closed as soon as it is in."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage = stage
        self.plan = plan
        self.sign = b'"bench":"%s"' % stage.run.encode()
        self._opening, self._auth = Latencies(), Latencies()
        self._refusals: Counter[str] = Counter()
        self._guests: dict[Guest, None] = {}
        self._begun = self._in = self._ended = 0
        self._is_unreachable = True
        self._line = stage.line() if stage.visitor.token is not None else None
        self._dialer = stage.dialer(self._end)

    def run(self) -> Result:
        """Do it; Ctrl-C ends it early, with what was measured.

        Raises:
            BrokerUnreachableError: not one was answered.
            RefusedError: not one got in.
        """
        began, is_interrupted = perf_counter(), False
        try:
            while self._ended < self.plan.count:
                self._turn()
        except KeyboardInterrupt:
            is_interrupted = True
        finally:
            seconds = perf_counter() - began
            self._close()
        if not self._in and not is_interrupted:
            raise self._all_failed()
        return self._result(seconds, is_interrupted)

    def _turn(self) -> None:
        room = self.plan.concurrency - (self._begun - self._ended)
        batch = min(room, BATCH, self.plan.count - self._begun)
        for _ in range(batch):
            self._begun += 1
            self._dialer.dial(self._begun - 1)
        self.stage.reactor.turn(0 if batch == BATCH else 0.1)
        self._dialer.sweep()
        while self._guests and next(iter(self._guests)).sweep(self.stage.where.timeout):
            pass
        self.stage.progress.show("connecting", self._ended, self.plan.count)

    def _end(self, end: Opened | Refused) -> None:
        if isinstance(end, Refused):
            self._is_unreachable = self._is_unreachable and not end.status
            self._refuse(end.number, f"{end.status} {end.why}" if end.status else end.why)
            return
        self._is_unreachable = False
        self._opening.add(end.seconds)
        if self._line is None:
            end.sock.close()
            self._in += 1
            self._ended += 1
            return
        self.stage.introduce(end)
        guest = Guest(self, end)
        if guest.is_open:
            self._guests[guest] = None
            self._knock(end.number)

    def _knock(self, number: int) -> None:
        """Cast to the token: the broker holds it until the socket is authenticated."""
        target = f"token:{self.stage.visitor.token_of(number)}"
        body = cast_body(self.stage.host, target, b"{%s}" % self.sign)
        if self._line is not None:
            self._line.post("/message", body, _take_receipt)

    def let_in(self, guest: Guest, seconds: float) -> None:
        """Count a socket that is authenticated, and let it go."""
        if self._guests.pop(guest, guest) is None:
            self._auth.add(seconds)
            self._in += 1
            self._ended += 1
        guest.close()

    def refused(self, guest: Guest, why: str) -> None:
        """Count a socket that was turned away after its upgrade."""
        self._guests.pop(guest, None)
        self._refuse(guest.number, why)

    def _refuse(self, number: int, why: str) -> None:
        self._ended += 1
        key = why if why in self._refusals or len(self._refusals) < 50 else "other"
        self._refusals[key] += 1
        self.stage.findings.add("failed", number, None, why)

    def _close(self) -> None:
        self._dialer.close()
        for guest in self._guests:
            guest.close()
        if self._line is not None:
            self._line.close()

    def _all_failed(self) -> Exception:
        why = next(iter(self._refusals), "nothing was tried")
        if self._is_unreachable:
            return BrokerUnreachableError(f"{self.stage.sockets.shown} cannot be reached: {why}")
        return RefusedError(f"every handshake was refused: {why}")

    def _result(self, seconds: float, is_interrupted: bool) -> Result:
        figures = {
            "handshakes": self._begun,
            "let_in": self._in,
            "refused": sum(self._refusals.values()),
            "seconds": round(seconds, 3),
            "handshakes_per_second": round(self._in / seconds, 1),
        }
        times = {"connect to upgrade": self._opening}
        times |= {"upgrade to let in": self._auth} if self._line is not None else {}
        return Result(
            "connect",
            self.stage.findings,
            figures,
            times,
            dict(self._refusals),
            machine=self.stage.effort.description(),
            warnings=self.stage.effort.warnings(),
            is_interrupted=is_interrupted,
        )


def _take_receipt(answer: Answer) -> None:
    checked(answer)
