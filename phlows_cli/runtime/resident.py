"""A pool of workers for each app.

Source: docs/protocol.md, "Resident workers".
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec

from phlows_cli.model import HookResult, Outcome, Task
from phlows_cli.runtime.admission import Admission, Admitting, not_started
from phlows_cli.runtime.answer import outcome_of_result
from phlows_cli.runtime.backoff import Backoff
from phlows_cli.runtime.command import (
    command_for,
    environment_for,
    setting_of,
    unreadable_app,
    why_not_started,
)
from phlows_cli.runtime.errand import Errand
from phlows_cli.runtime.process import GRACE
from phlows_cli.runtime.protocol import WORKER_COMMAND
from phlows_cli.runtime.stderr import StderrLog
from phlows_cli.runtime.timeouts import Timeouts
from phlows_cli.runtime.worker import Job, State, Worker, WorkerCommand
from phlows_cli.tasks import Tasks

if TYPE_CHECKING:
    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.settings import OnLine, OnStderr, RuntimeSettings
    from phlows_cli.runtime.worker import Ended, WorkerReport


HEALTHY: Final = 1.0
"""Seconds after its boot until which the end of an unused worker is a failed boot."""


class Resident(Admitting):
    """Runs the hooks of one host in workers that stay.

    A worker is booted when an event finds none idle. Who has its turn but no
    worker yet is a taker: there is a boot, or a worker at work, for each.
    """

    message_limit = sys.maxsize

    def __init__(
        self, host: Host, settings: RuntimeSettings, on_stderr: OnStderr, grace: float = GRACE
    ) -> None:
        """Prepare the pool; only its spare workers are booted, from the next turn on.

        Raises:
            ConfigError: the host has no app, or there is no PHP to run it.
        """
        self._loop = asyncio.get_running_loop()
        self._host = host
        self._settings = settings
        self._grace = grace
        command = [*command_for(host, settings.interpreters), WORKER_COMMAND]
        folder, env = str(Path(host.app).parent), environment_for(host, settings.url)
        self._how = WorkerCommand(host, command, folder, env, settings.output, settings.groups)
        super().__init__(Admission(host, settings, "worker"))
        self._stderr = StderrLog(on_stderr)
        self._workers: set[Worker] = set()
        self._idle: deque[Worker] = deque()
        self._timeouts: Timeouts[Job] = Timeouts(host.timeout, Job.time_out)
        self._takers: deque[asyncio.Future[Worker | str]] = deque()
        self._booting = 0
        self._starting = 0
        self._backoff = Backoff(host.name, self._tend)
        self._tasks = Tasks()
        self._reaper: asyncio.TimerHandle | None = None
        self._loop.call_soon(self._tend)

    # What the runtime promises

    @property
    def worker_count(self) -> int:
        """How many workers there are, with those whose process is being started."""
        return len(self._workers) + self._starting

    @property
    def problem(self) -> str:
        """Why no worker boots; "" when that is not known to fail."""
        return self._backoff.reason

    def workers(self) -> list[WorkerReport]:
        """Tell of every worker, the eldest first."""
        return sorted((worker.report() for worker in self._workers), key=lambda it: -it.age)

    async def call(self, event: Event, on_line: OnLine) -> HookResult:
        """Run one hook; see Runtime.call.

        A close hook that finds no worker to boot is tried again, for the
        host's timeout: an app that is being deployed is back by then.
        """
        errand = Errand(self, event, on_line)
        if event.name != "close":
            return await self._admission.call(event, errand.run, starter=errand)
        began = perf_counter()
        with self._admission.calls:
            while True:
                result = await self._admission.call(event, errand.run, starter=errand)
                result = result.after(perf_counter() - began)
                if not self._may_try_again(result):
                    return result
                await self._backoff.over()
                errand = Errand(self, event, on_line)

    async def warm(self, count: int) -> str:
        """Boot so many workers ahead; returns why none boots, "" when they did.

        At most as many as may be at work and be kept spare together.
        """
        wanted = min(count, self._host.concurrency + self._host.spare)
        while len(self._idle) + self._booting < wanted:
            self._boot()
        await self._tasks.settle(self._host.timeout + 3 * self._grace)
        return self._backoff.details

    async def retire(self) -> None:
        """Wait until the hooks that were asked for are done, then stop."""
        await self._admission.quiet()
        self._admission.stop()
        while self._idle:
            self._dismiss(self._idle.pop())
        await self.stop()

    async def stop(self) -> None:
        """Refuse what waits, kill what runs, and wait until it is gone."""
        self._admission.stop()
        self._backoff.stop()
        if self._reaper is not None:
            self._reaper.cancel()
        for worker in self._workers:
            is_idle = worker.state is State.IDLE
            self._tasks.spawn(self._end(worker, gently=is_idle, leaves_children=False))
        self._fail_takers(f"host {self._host.name} is stopping")
        await self._admission.idle()
        while len(self._tasks):
            await self._tasks.settle(self._host.timeout)
        self._timeouts.close()
        self._stderr.close()

    # What an errand asks for

    def start(self, errand: Errand) -> None:
        """Give an errand to a worker that is idle now, if there is one."""
        if self._idle and not self._admission.is_stopped:
            self._give(errand, self._idle.pop())

    async def run(self, errand: Errand) -> HookResult:
        """Give an errand to a worker, and see to its end."""
        while (job := errand.job) is None:
            worker = self._admission.stopping() or await self._take()
            if isinstance(worker, HookResult):
                return worker
            if isinstance(worker, str):
                return self._admission.stopping() or not_started(worker)
            self._give(errand, worker)
        return await self._see_through(errand, job)

    async def abandon(self, errand: Errand) -> None:
        """End a worker whose errand nobody waits for any more."""
        if errand.worker is not None and not (errand.job and errand.job.is_over):
            await self._end(errand.worker, gently=False, leaves_children=False)

    def _give(self, errand: Errand, worker: Worker) -> None:
        try:
            errand.job = worker.give(errand.event, errand.on_line, errand)
            errand.worker = worker
        except BrokenPipeError:
            # "A lost worker's unstarted job is tried again"
            self._lose(worker)

    async def _see_through(self, errand: Errand, job: Job) -> HookResult:
        """Wait for a job's end, or see to it; then the worker is free, or gone."""
        self._timeouts.start(job)
        try:
            ended = await job.ended
        finally:
            self._timeouts.stop(job)
            if not job.is_over:
                await self.abandon(errand)
            errand.forget()
        return self._result(job, ended)

    def _result(self, job: Job, ended: Ended | None) -> HookResult:
        dropped, limit = job.dropped, self._how.output
        if ended is None or (ended.is_lost and self._admission.is_stopped):
            return self._admission.ended()._replace(dropped=dropped, output_limit=limit)
        outcome, reason = Outcome.FAILED, ended.reason
        said = msgspec.json.encode(ended.message) if ended.message else b""
        if ended.result is not None:
            outcome, reason = outcome_of_result(job.event.name, ended.result)
            said = ended.result
        if not isinstance(job.event, Task):
            said = b""
        return HookResult(outcome, reason=reason, dropped=dropped, output_limit=limit, result=said)

    def _may_try_again(self, result: HookResult) -> bool:
        """Whether an event was not started because no worker boots just now."""
        is_unstarted = result.outcome is Outcome.FAILED and not result.started
        has_time = self._settings.tries_again and result.seconds < self._host.timeout
        return is_unstarted and has_time and not self._admission.is_stopped

    # Workers and those who wait for one

    async def _take(self) -> Worker | str:
        """Wait for a worker; returns why there is none when none boots."""
        if self._idle:
            return self._idle.pop()
        taker: asyncio.Future[Worker | str] = self._loop.create_future()
        self._takers.append(taker)
        self._tend()
        try:
            return await taker
        except asyncio.CancelledError:
            if taker in self._takers:
                self._takers.remove(taker)
            elif not taker.cancelled() and isinstance(worker := taker.result(), Worker):
                self._free(worker)
            raise

    def release(self, worker: Worker, errand: Errand) -> None:
        """See Owner: the worker and the slot are the next event's, at once.

        To wait for who called would leave the worker idle for two turns of the loop.
        """
        if errand.job is None or not errand.job.is_over:
            return  # its caller has left, or its time is up: abandon() follows
        self._free(worker)
        if errand.place is not None:
            errand.place.leave()

    def _free(self, worker: Worker) -> None:
        """Give a worker that has nothing to do to a taker, or let it wait."""
        if worker.state is not State.IDLE:
            return
        is_spent = worker.is_leaving or worker.jobs >= self._host.max_jobs
        if is_spent or self._admission.is_stopped:
            self._dismiss(worker)
        elif self._takers:
            self._takers.popleft().set_result(worker)
        else:
            self._idle.append(worker)
            self._await_idleness()
        self._tend()

    def _tend(self) -> None:
        """See that there is a boot for each taker, and enough spare workers."""
        if self._admission.is_stopped:
            return
        if self._backoff.is_on:
            if not self._booting and not self._is_at_work():
                self._fail_takers(f"the app does not boot: {self._backoff.reason}")
            return
        missing = len(self._takers) + self._host.spare - len(self._idle) - self._booting
        for _ in range(missing):
            self._boot()

    def _is_at_work(self) -> bool:
        # idle while someone waits: its job has just ended, and it is yet to be freed
        return any(worker.state in (State.BUSY, State.IDLE) for worker in self._workers)

    def _fail_takers(self, reason: str) -> None:
        while self._takers:
            self._takers.popleft().set_result(reason)

    def _boot(self) -> None:
        self._booting += 1
        self._starting += 1
        self._tasks.spawn(self._see_booted())

    async def _see_booted(self) -> None:
        try:
            worker = await self._booted()
        finally:
            self._booting -= 1
        if worker is not None:
            self._backoff.succeeded()
            self._free(worker)
        self._tend()

    async def _booted(self) -> Worker | None:
        """Boot a worker; None when that failed, which the backoff knows then."""
        try:
            worker = await self._started()
        finally:
            self._starting -= 1
        if worker is None:
            return None
        if self._admission.stopping():  # while it was started
            await self._end(worker, gently=False, leaves_children=False)
            return None
        await asyncio.wait((worker.booted,), timeout=self._host.timeout)
        if not worker.booted.done():
            worker.booted.set_result(self._too_slow())
            await self._end(worker, gently=False, leaves_children=False)
        failure = worker.booted.result()
        if failure and not self._admission.is_stopped:
            self._backoff.failed(failure, worker.last_words)
        return None if failure else worker

    async def _started(self) -> Worker | None:
        """Start a worker's process; None when that failed, or is not to be."""
        if self._admission.is_stopped:
            return None
        try:
            worker = await self._start()
        except _CannotStartError as error:
            self._backoff.failed(str(error))
            return None
        self._workers.add(worker)
        return worker

    def _too_slow(self) -> str:
        limit = setting_of(self._host, "timeout")
        return f"it was not ready within {self._host.timeout:g} s ({limit})"

    async def _start(self) -> Worker:
        how = self._how
        reason = unreadable_app(self._host) if how.command[0] != self._host.app else ""
        if reason:
            raise _CannotStartError(reason)
        try:
            child = await self._settings.launcher.start(
                how.command, how.folder, how.env, patience=self._host.timeout, has_stdin=True
            )
            return Worker(child, how, self, self._stderr)
        except (OSError, ValueError) as error:
            program = how.command[0]
            raise _CannotStartError(why_not_started(error, program, self._host)) from error

    def worker_left(self, worker: Worker) -> None:
        """See Owner: it has exited, or is not to be trusted."""
        if worker in self._idle:
            self._idle.remove(worker)
        was_booted = worker.booted.done() and not worker.booted.result()
        is_young = self._loop.time() - worker.idle_since < HEALTHY
        if was_booted and not worker.jobs and is_young:
            self._backoff.failed("a worker ended before its first job")
        self._lose(worker)
        self._tend()

    def _lose(self, worker: Worker) -> None:
        self._tasks.spawn(self._end(worker, gently=False, leaves_children=False))

    def _dismiss(self, worker: Worker) -> None:
        """Let a worker end that has done its work; what it left running stays."""
        self._tasks.spawn(self._end(worker, gently=True, leaves_children=True))

    async def _end(self, worker: Worker, *, gently: bool, leaves_children: bool) -> None:
        await worker.end(self._grace, gently=gently, leaves_children=leaves_children)
        self._workers.discard(worker)
        self._tend()

    # Idle workers

    def _await_idleness(self) -> None:
        if self._reaper is None and len(self._idle) > self._host.spare:
            due = self._idle[0].idle_since + self._host.idle_timeout
            self._reaper = self._loop.call_at(due, self._reap)

    def _reap(self) -> None:
        """End the workers that were idle too long, the eldest first."""
        self._reaper = None
        before = self._loop.time() - self._host.idle_timeout
        while len(self._idle) > self._host.spare and self._idle[0].idle_since <= before:
            self._dismiss(self._idle.popleft())
        self._await_idleness()


class _CannotStartError(Exception):
    """A worker's process could not be started; the text says why."""
