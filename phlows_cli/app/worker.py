"""An app as a resident worker: one process, one event after the other.

The broker starts `app.py phlo_serve` and writes a JSON object a line:
{"id", "target", "args", "stream"}. The worker answers with frames, a line
each: "line" for what is printed, one "done" or "error" at the end.

Between events sys.stdout and sys.stderr, the folder, the alarm clock and the
locale are put back, context variables begin as they were at the boot, and
tasks left behind are cancelled. What an app must not keep is what nobody puts
back: globals, class attributes, caches and os.environ last from one user's
event to the next one's, so nothing of a user, a token least of all, may stay
in them. docs/apps-python.md says more.
"""

from __future__ import annotations

import json
import locale
import os
import signal
import sys
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from phlows_cli.app.hooks import Call, Current, find_call
from phlows_cli.app.pipes import Pipes, encode, job_frame
from phlows_cli.app.printed import EVENT, Printed
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Context

    from phlows_cli.app.eventloop import EventLoop

LEAVE_TIMEOUT = 5.0
"""Seconds for atexit functions and threads, once the broker is done with us."""


class Job(NamedTuple):
    """What the broker asks for."""

    id: object
    target: str
    args: list[Any]
    is_streamed: bool
    env: dict[str, str]


def serve(app: Mapping[str, Any]) -> NoReturn:
    """Answer the broker until it closes stdin; never returns."""
    pipes = Pipes()
    worker = Worker(app, pipes)
    pipes.send(encode({"t": "ready", "env": True}))
    for line in pipes.lines():
        if line.strip():
            worker.run(_job_in(line))
    worker.leave(0)


def _job_in(line: bytes) -> Job:
    """Read a job; a line that is none cannot be answered, as it has no id."""
    try:
        value = json.loads(line)
        is_streamed, env = value.get("stream") is True, dict(value.get("env") or {})
        job = Job(value["id"], value["target"], value["args"], is_streamed, env)
        if isinstance(job.target, str) and isinstance(job.args, list):
            return job
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    sys.stderr.write("phlows: a line on stdin is no job\n")
    sys.exit(1)


class Worker:
    """Runs jobs and puts back what they have changed."""

    def __init__(self, app: Mapping[str, Any], pipes: Pipes) -> None:
        self._app = app
        self._pipes = pipes
        self._printed = Printed()
        self._loop: EventLoop | None = None
        self._boot = copy_context()
        self._stderr = sys.stderr
        self._folder = os.open(".", os.O_RDONLY)
        self._locale = locale.setlocale(locale.LC_ALL)

    def run(self, job: Job) -> None:
        """Run one job: lines as they are printed, then its last frame."""
        context = self._boot.copy()
        event = object()
        context.run(EVENT.set, event)
        self._printed.begin(event, self._line_sender(job) if job.is_streamed else None)
        leaving: BaseException | None = None
        os.environ.update(job.env)
        try:
            frame = job_frame(job.id, "done", result=self._result(job, context))
        except (SystemExit, KeyboardInterrupt) as error:
            frame, leaving = self._last_frame(job, error), error
        except BaseException as error:  # noqa: BLE001 - CancelledError is no Exception
            frame = self._error_frame(job, error)
        self._printed.end()
        self._pipes.send(frame)
        self._restore(job)
        if leaving is not None:
            self.leave(_exit_code(leaving))

    def leave(self, code: int) -> NoReturn:
        """End: atexit functions and threads get LEAVE_TIMEOUT, no more."""
        if self._loop is not None:
            self._loop.close()
        clock = threading.Timer(LEAVE_TIMEOUT, os._exit, (code,))
        clock.daemon = True
        clock.start()
        sys.exit(code)

    def _line_sender(self, job: Job) -> Callable[[str], None]:
        return lambda line: self._pipes.send(job_frame(job.id, "line", data=line))

    def _result(self, job: Job, context: Context) -> object:
        try:
            call = find_call(self._app, job.target, job.args)
        except UsageError as error:
            raise _NoCallError(str(error)) from error
        return context.run(call.answer, self._value(call, context))

    def _value(self, call: Call, context: Context) -> object:
        Current.host = call.host
        value: Any = context.run(call.start)
        if not hasattr(value, "__await__"):
            return value
        if self._loop is None:
            from phlows_cli.app.eventloop import EventLoop

            self._loop = EventLoop()
        return self._loop.settled(value, context)

    def _error_frame(self, job: Job, error: BaseException) -> str:
        """Name the exception's class; its text may hold secrets."""
        if isinstance(error, _NoCallError):
            return job_frame(job.id, "error", message=str(error))
        sys.__excepthook__(type(error), error, error.__traceback__)
        return job_frame(job.id, "error", message=type(error).__name__)

    def _last_frame(self, job: Job, error: BaseException) -> str:
        """Answer for a hook that ends the process: no other job may come here."""
        if not isinstance(error, SystemExit):
            return job_frame(job.id, "error", last=True, message=type(error).__name__)
        code = _exit_code(error)
        if not isinstance(error.code, int | None):
            self._stderr.write(f"{error.code}\n")
        if code:
            return job_frame(job.id, "error", last=True, message=f"exit code {code}")
        return job_frame(job.id, "done", last=True, result=None)

    def _restore(self, job: Job) -> None:
        for name in job.env:
            os.environ.pop(name, None)
        Current.host = ""
        sys.stderr = self._stderr
        os.fchdir(self._folder)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)


class _NoCallError(Exception):
    """There is nothing to call; the text is ours and may be shown."""


def _exit_code(error: BaseException) -> int:
    """Tell what the process would exit with."""
    if not isinstance(error, SystemExit):
        return 130
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1
