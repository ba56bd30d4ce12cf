"""A process for each event.

Source: docs/protocol.md, "Calling the app".
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from phlows_cli.model import HookResult, Outcome
from phlows_cli.runtime.answer import LineSplitter, outcome_of
from phlows_cli.runtime.command import (
    ARGUMENT_LIMIT,
    command_for,
    encode_argument,
    environment_for,
    setting_of,
    unfit_arguments,
    unreadable_app,
    why_not_started,
)
from phlows_cli.runtime.process import GRACE, Process
from phlows_cli.runtime.stderr import LineCutter, StderrLog

if TYPE_CHECKING:
    from phlows_cli.model import Hook, Host
    from phlows_cli.runtime.settings import OnLine, OnStderr, RuntimeSettings


class OneShot:
    """Runs each hook of one host in a process of its own."""

    message_limit = ARGUMENT_LIMIT - 1

    def __init__(
        self, host: Host, settings: RuntimeSettings, on_stderr: OnStderr, grace: float = GRACE
    ) -> None:
        """Prepare the calls; nothing is started yet.

        Raises:
            ConfigError: the host has no app, or there is no PHP to run it.
        """
        self._host = host
        self._settings = settings
        self._grace = grace
        self._command = command_for(host, settings.interpreters)
        self._folder = str(Path(host.app).parent)
        self._env = environment_for(host, settings.url)
        self._lane = settings.slots.lane(host.concurrency)
        self._stderr = StderrLog(on_stderr)
        self._processes: set[Process] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._calls = 0
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self._is_stopped = False

    @property
    def busy(self) -> int:
        """How many hooks run."""
        return self._lane.running

    @property
    def queued(self) -> int:
        """How many events wait."""
        return self._lane.waiting

    def is_full(self) -> bool:
        """Whether a new event, unless it is a close, would be refused."""
        return self._lane.waiting >= self._settings.queue

    async def call(self, hook: Hook, on_line: OnLine) -> HookResult:
        """Run one hook; see Runtime.call."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._calls += 1
        self._is_quiet.clear()
        try:
            result = self._refusal(hook) or await self._wait_and_run(hook, on_line)
        finally:
            self._calls -= 1
            if not self._calls:
                self._is_quiet.set()
        return replace(result, seconds=loop.time() - began)

    async def retire(self) -> None:
        """Wait until the hooks that were asked for are done, then stop."""
        await self._is_quiet.wait()
        await self.stop()

    async def stop(self) -> None:
        """Refuse what waits, kill what runs, and wait until it is gone."""
        self._is_stopped = True
        self._lane.refuse_waiting()
        for process in self._processes:
            process.interrupt()
        await self._idle.wait()
        self._stderr.close()

    def _refusal(self, hook: Hook) -> HookResult | None:
        """Why this event cannot even wait."""
        if self._is_stopped:
            return self._stopped()
        if hook.name != "close" and self.is_full():
            waiting, limit = self._lane.waiting, self._settings.queue
            return _overloaded(f"{waiting} events wait already, of {limit} (limits.queue)")
        reason = unfit_arguments(hook)
        return _failed(reason) if reason else None

    def _obstacle(self) -> HookResult | None:
        """Why this event, whose turn has come, cannot be run after all."""
        if self._is_stopped:
            return self._stopped()
        reason = unreadable_app(self._host) if len(self._command) > 1 else ""
        return _failed(reason) if reason else None

    async def _wait_and_run(self, hook: Hook, on_line: OnLine) -> HookResult:
        patience = None if hook.name == "close" else self._host.timeout
        if not await self._lane.acquire(patience):
            return self._stopped() if self._is_stopped else self._waited_too_long()
        self._idle.clear()
        try:
            await self._settings.launcher.turn()
            return self._obstacle() or await self._run(hook, on_line)
        finally:
            self._lane.release()
            if not self._lane.running:
                self._idle.set()

    async def _run(self, hook: Hook, on_line: OnLine) -> HookResult:
        output = LineSplitter(self._settings.output)
        errors = LineCutter()

        def on_stdout(chunk: bytes) -> None:
            for line in output.feed(chunk):
                on_line(line)

        def on_stderr(chunk: bytes) -> None:
            self._stderr.write(hook, errors.feed(chunk))

        try:
            process = Process(
                self._command_line(hook), self._folder, self._env, on_stdout, on_stderr
            )
        except (OSError, ValueError) as error:
            return _failed(why_not_started(error, self._command[0], self._host))
        in_time = await self._see_through(process)
        for line in output.finish():
            on_line(line)
        self._stderr.write(hook, errors.finish())
        return self._result(hook, process, in_time, output)

    def _command_line(self, hook: Hook) -> list[str | bytes]:
        called = f"{self._host.hook_class}::{hook.name}"
        return [*self._command, called, *map(encode_argument, hook.args())]

    async def _see_through(self, process: Process) -> bool:
        """Wait for the process to end, or see to it; True when it did by itself."""
        self._processes.add(process)
        in_time = False
        with closing(process):
            try:
                in_time = await process.finish(self._host.timeout)
            finally:
                self._processes.discard(process)
                if not in_time:
                    await process.end(self._grace)
        return in_time

    def _result(
        self, hook: Hook, process: Process, in_time: bool, output: LineSplitter
    ) -> HookResult:
        code = process.exit_code
        if not in_time or code is None:
            return self._ended(code, output)
        outcome, reason = outcome_of(hook.name, code, output.tail, output.is_truncated)
        return _with_output(HookResult(outcome, reason=reason, exit_code=code), output)

    def _ended(self, code: int | None, output: LineSplitter) -> HookResult:
        """Return the result of a process that was not left to end by itself."""
        outcome, reason = Outcome.TIMEOUT, self._ran_too_long()
        if self._is_stopped:
            outcome, reason = Outcome.FAILED, f"ended while host {self._host.name} was stopping"
        if code is None:
            reason += "; it could not be killed"
        return _with_output(HookResult(outcome, reason=reason, exit_code=code), output)

    def _ran_too_long(self) -> str:
        return f"ran for more than {self._host.timeout:g} s ({setting_of(self._host, 'timeout')})"

    def _stopped(self) -> HookResult:
        return _overloaded(f"host {self._host.name} is stopping")

    def _waited_too_long(self) -> HookResult:
        return _overloaded(
            f"no process was free for {self._host.timeout:g} s "
            f"({setting_of(self._host, 'concurrency')}, limits.concurrency)"
        )


def _overloaded(reason: str) -> HookResult:
    return HookResult(Outcome.OVERLOADED, reason=reason, started=False)


def _failed(reason: str) -> HookResult:
    return HookResult(Outcome.FAILED, reason=reason, started=False)


def _with_output(result: HookResult, output: LineSplitter) -> HookResult:
    return replace(result, dropped=output.dropped, output_limit=output.limit)
