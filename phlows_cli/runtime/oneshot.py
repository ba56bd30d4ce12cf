"""A process for each event.

Source: docs/protocol.md, "Calling the app".
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from phlows_cli.model import HookResult, Task
from phlows_cli.runtime.admission import Admission, Workerless, not_started, with_output
from phlows_cli.runtime.answer import LastLine, LineSplitter, outcome_of
from phlows_cli.runtime.command import (
    ARGUMENT_LIMIT,
    command_for,
    encode_argument,
    environment_for,
    unfit_arguments,
    unreadable_app,
    why_not_started,
)
from phlows_cli.runtime.process import GRACE, Process
from phlows_cli.runtime.stderr import LineCutter, StderrLog

if TYPE_CHECKING:
    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.settings import OnLine, OnStderr, RuntimeSettings


class OneShot(Workerless):
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
        super().__init__(Admission(host, settings))
        self._stderr = StderrLog(on_stderr)
        self._processes: set[Process] = set()

    async def call(self, hook: Event, on_line: OnLine) -> HookResult:
        """Run one hook; see Runtime.call."""
        return await self._admission.call(
            hook, partial(self._start, hook, on_line), partial(unfit_arguments, hook)
        )

    async def stop(self) -> None:
        """Refuse what waits, kill what runs, and wait until it is gone."""
        self._admission.stop()
        for process in self._processes:
            process.interrupt()
        await self._admission.idle()
        self._stderr.close()

    async def _start(self, hook: Event, on_line: OnLine) -> HookResult:
        return self._obstacle() or await self._run(hook, on_line)

    def _obstacle(self) -> HookResult | None:
        """Why this event, whose turn has come, cannot be run after all."""
        if stopping := self._admission.stopping():
            return stopping
        reason = unreadable_app(self._host) if len(self._command) > 1 else ""
        return not_started(reason) if reason else None

    async def _run(self, hook: Event, on_line: OnLine) -> HookResult:
        output = LineSplitter(self._settings.output)
        errors = LineCutter()
        last = LastLine(on_line)

        def on_stdout(chunk: bytes) -> None:
            for line in output.feed(chunk):
                last(line)

        def on_stderr(chunk: bytes) -> None:
            self._stderr.write(hook, errors.feed(chunk))

        env = {**self._env, **dict(hook.env)}
        try:
            child = await self._settings.launcher.start(
                self._command_line(hook), self._folder, env, patience=self._host.timeout
            )
            process = Process(child, on_stdout, on_stderr)
        except (OSError, ValueError) as error:
            return not_started(why_not_started(error, self._command[0], self._host))
        process.note_in(self._settings.groups)
        in_time = await self._see_through(process)
        for line in output.finish():
            last(line)
        self._stderr.write(hook, errors.finish())
        result = self._result(hook, process, in_time, output)
        has_result = isinstance(hook, Task) and result.is_accepted and not output.is_truncated
        return result._replace(result=last.result) if has_result else result

    def _command_line(self, hook: Event) -> list[str | bytes]:
        called = hook.command(self._host.hook_class)
        return [*self._command, called, *map(encode_argument, hook.args())]

    async def _see_through(self, process: Process) -> bool:
        """Wait for the process to end, or see to it; True when it did by itself."""
        self._processes.add(process)
        if self._admission.is_stopped:  # while it was started
            process.interrupt()
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
        self, hook: Event, process: Process, in_time: bool, output: LineSplitter
    ) -> HookResult:
        code = process.exit_code
        if not in_time or code is None:
            return self._ended(code, output)
        outcome, reason = outcome_of(hook.name, code, output.tail, output.is_truncated)
        return with_output(HookResult(outcome, reason=reason, exit_code=code), output)

    def _ended(self, code: int | None, output: LineSplitter) -> HookResult:
        """Return the result of a process that was not left to end by itself."""
        result = self._admission.ended()
        reason = result.reason + ("; it could not be killed" if code is None else "")
        return with_output(result._replace(reason=reason, exit_code=code), output)
