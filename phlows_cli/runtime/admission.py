"""How events get their turn with one host's app, whatever runs them.

An event is refused at once, waits in the host's lane, or runs; it is counted
from the call to the result, so that a runtime can retire and stop.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from phlows_cli.model import HookResult, Outcome
from phlows_cli.runtime.command import setting_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.answer import LineSplitter
    from phlows_cli.runtime.settings import RuntimeSettings
    from phlows_cli.runtime.slots import Place
    from phlows_cli.runtime.worker import WorkerReport


class Starter(Protocol):
    """Starts an event in the very moment that it has its slot, if it can."""

    def begin(self, place: Place) -> None:
        """Start it now: run() is called a turn of the loop later."""

    async def abandon(self) -> None:
        """End what was begun: its caller has left, and run() is not called."""


class Admission:
    """The queue of one host, its bounds, and its end.

    Args:
        host: `concurrency` bounds what runs, `timeout` how long an event waits.
        settings: `queue` bounds how many wait; `slots` are shared by all hosts.
        place: what an event waits for, as its refusal names it.
    """

    def __init__(self, host: Host, settings: RuntimeSettings, place: str = "process") -> None:
        self._host = host
        self._queue = settings.queue
        self._place = place
        self._lane = settings.slots.lane(host.concurrency, host.timeout)
        self._running = _Count()
        self.calls = _Count()
        self.is_stopped = False

    @property
    def busy(self) -> int:
        """How many events run."""
        return self._lane.running

    @property
    def queued(self) -> int:
        """How many events wait."""
        return self._lane.waiting

    def is_full(self, coming: int = 0) -> bool:
        """Whether a new event, unless it is a close, would be refused.

        Those that are coming take free slots first, and then wait.
        """
        waiting = self._lane.waiting
        return waiting >= self._queue or waiting + coming >= self._queue + self._lane.room

    async def call(
        self,
        hook: Event,
        run: Callable[[], Awaitable[HookResult]],
        unfit: Callable[[], str] = lambda: "",
        starter: Starter | None = None,
    ) -> HookResult:
        """Run an event in its turn; the result's seconds count from here.

        Args:
            hook: the event.
            run: runs it, with a slot of the lane, unless it is stopping(); not called
                for a refused event.
            unfit: why the app cannot be given this event at all; "" when it can.
            starter: is told of the slot before `run` is called.
        """
        began = perf_counter()  # uvloop's own time goes by milliseconds
        with self.calls:
            result = self._refusal(hook, unfit) or await self._wait_and_run(hook, run, starter)
        return result.after(perf_counter() - began)

    def stop(self) -> None:
        """Refuse what waits and what comes; what runs is the runtime's to end."""
        self.is_stopped = True
        self._lane.refuse_waiting()

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._running.none.wait()

    async def quiet(self) -> None:
        """Wait until every event that was asked for has its result."""
        await self.calls.none.wait()

    def stopping(self) -> HookResult | None:
        """Why an event whose turn has come cannot be started after all."""
        return self._stopped() if self.is_stopped else None

    def ended(self) -> HookResult:
        """Return the result of an event that was not left to end by itself."""
        if self.is_stopped:
            reason = f"ended while host {self._host.name} was stopping"
            return HookResult(Outcome.FAILED, reason=reason)
        return HookResult(Outcome.TIMEOUT, reason=ran_too_long(self._host))

    def _refusal(self, hook: Event, unfit: Callable[[], str]) -> HookResult | None:
        """Why this event cannot even wait."""
        if self.is_stopped:
            return self._stopped()
        if hook.name != "close" and self.is_full():
            return _overloaded(
                f"{self._lane.waiting} events wait already, of {self._queue} (limits.queue)"
            )
        reason = unfit()
        return not_started(reason) if reason else None

    async def _wait_and_run(
        self, hook: Event, run: Callable[[], Awaitable[HookResult]], starter: Starter | None
    ) -> HookResult:
        place = self._lane.enter(starter.begin) if starter else self._lane.enter()
        try:
            if not await place.wait(for_ever=hook.name == "close"):
                return self._stopped() if self.is_stopped else self._waited_too_long()
            with self._running:
                return await run()
        except asyncio.CancelledError:
            if starter:
                await starter.abandon()
            raise
        finally:
            place.leave()

    def _stopped(self) -> HookResult:
        return _overloaded(f"host {self._host.name} is stopping")

    def _waited_too_long(self) -> HookResult:
        return _overloaded(
            f"no {self._place} was free for {self._host.timeout:g} s "
            f"({setting_of(self._host, 'concurrency')}, limits.concurrency)"
        )


class Admitting:
    """What every runtime tells of the events that it was given."""

    def __init__(self, admission: Admission) -> None:
        """Let events in as `admission` says."""
        self._admission = admission

    @property
    def busy(self) -> int:
        """How many events run."""
        return self._admission.busy

    @property
    def queued(self) -> int:
        """How many events wait."""
        return self._admission.queued

    def is_full(self, coming: int = 0) -> bool:
        """Whether a new event, unless it is a close, would be refused."""
        return self._admission.is_full(coming)


class Workerless(Admitting, ABC):
    """A runtime in which nothing stays between two events."""

    worker_count = 0
    problem = ""

    def workers(self) -> list[WorkerReport]:
        """There is none to tell of."""
        return []

    async def warm(self, count: int) -> str:  # noqa: ARG002 - as every runtime takes it
        """Nothing can be started ahead."""
        return ""

    async def retire(self) -> None:
        """Wait until the events that were asked for are done, then stop."""
        await self._admission.quiet()
        await self.stop()

    @abstractmethod
    async def stop(self) -> None:
        """See Runtime.stop()."""


class _Count:
    """Counts who is inside, and tells when nobody is."""

    __slots__ = ("_inside", "none")

    def __init__(self) -> None:
        self._inside = 0
        self.none = asyncio.Event()
        self.none.set()

    def __enter__(self) -> None:
        self._inside += 1
        self.none.clear()

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        if not self._inside:
            self.none.set()


def ran_too_long(host: Host) -> str:
    """Say that an event was ended by its host's timeout."""
    return f"ran for more than {host.timeout:g} s ({setting_of(host, 'timeout')})"


def not_started(reason: str) -> HookResult:
    """Return the failure of an event that its app never saw."""
    return HookResult(Outcome.FAILED, reason=reason, started=False)


def with_output(result: HookResult, output: LineSplitter) -> HookResult:
    """Add what was dropped of the output, and the limit it was held to."""
    return result._replace(dropped=output.dropped, output_limit=output.limit)


def _overloaded(reason: str) -> HookResult:
    return HookResult(Outcome.OVERLOADED, reason=reason, started=False)
