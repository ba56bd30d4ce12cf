"""One resident worker: a process that is given a job at a time.

Source: docs/protocol.md, "Resident workers".
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from phlows_cli.model import Hook
from phlows_cli.runtime.answer import describe_exit
from phlows_cli.runtime.process import Process
from phlows_cli.runtime.protocol import (
    Done,
    Failed,
    Fatal,
    Frame,
    FrameReader,
    Line,
    Noise,
    Ready,
    job_line,
)
from phlows_cli.runtime.stderr import LINE_LIMIT, LineCutter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.process import Groups
    from phlows_cli.runtime.settings import OnLine
    from phlows_cli.runtime.spawn import Child
    from phlows_cli.runtime.stderr import StderrLog

ESCAPED: Final = 6
"""Bytes that one byte of output takes at most as JSON: \\u0000."""

STACK_TRACE: Final = b"Stack trace:"
"""What PHP writes between an error and how it came about: neither is its reason."""

FRAME_ROOM: Final = 1024
"""Bytes of a frame besides its output."""


class State(Enum):
    """What a worker does. From BUSY it goes back to IDLE, from ENDING nowhere."""

    BOOTING = auto()
    IDLE = auto()
    BUSY = auto()
    ENDING = auto()


class WorkerReport(NamedTuple):
    """A worker as `phlows workers` shows it; `age` is seconds, `memory` bytes."""

    pid: int
    state: str
    jobs: int
    age: float
    memory: int | None


class WorkerCommand(NamedTuple):
    """How the workers of a host are started; `output` is bytes (limits.output)."""

    host: Host
    command: Sequence[str]
    folder: str
    env: Mapping[str, str]
    output: int
    groups: Groups | None = None


class Owner(Protocol):
    """Who is told what a worker does by itself."""

    def worker_left(self, worker: Worker) -> None:
        """It has exited, or must not be used any more."""


class Client(Protocol):
    """Who has given a worker a job."""

    def job_ended(self, worker: Worker) -> None:
        """The worker has told how it ended, and is idle: it may be given the next."""


class Ended(NamedTuple):
    """How a job ended.

    `result` is JSON, None when the job failed; `is_lost` when its worker is;
    `message` is what the app said of its failure.
    """

    result: bytes | None
    reason: str = ""
    is_lost: bool = False
    message: str = ""


class Job:
    """An event that a worker has been given, and what it has printed."""

    __slots__ = ("_left", "_on_line", "client", "dropped", "ended", "event", "id")

    def __init__(self, id_: str, event: Event, on_line: OnLine, limit: int, client: Client) -> None:
        self.id = id_
        self.event = event
        self.client = client
        self._on_line = on_line
        self._left = limit
        self.dropped = 0
        self.ended: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()

    @property
    def is_over(self) -> bool:
        """Whether its worker has told how it ended."""
        return self.ended.done() and not self.ended.cancelled() and self.ended.result() is not None

    def print(self, data: bytes, lost: int) -> None:
        """Hand on what was printed; from the line that crosses the limit on, nothing."""
        for line in data.split(b"\n"):
            size = len(line) + 1 + lost
            if size > self._left:
                self._left = 0
                self.dropped += size
            else:
                self._left -= size
                self._on_line(line)

    def time_out(self) -> None:
        """It has run too long."""
        self.end(None)

    def end(self, ended: Ended | None) -> None:
        """Settle the job, unless it is; None: it ran too long."""
        if not self.ended.done():
            self.ended.set_result(ended)


class Worker:
    """A process that boots, is given jobs, and is ended.

    Every Worker needs one end().
    """

    def __init__(self, child: Child, how: WorkerCommand, owner: Owner, stderr: StderrLog) -> None:
        """Take charge of a process that was started as `how` says.

        Raises:
            OSError: it cannot be watched; it is ended.
        """
        self._loop = asyncio.get_running_loop()
        self._how = how
        self._owner = owner
        self._stderr = stderr
        self._errors = LineCutter()
        self._frames = FrameReader(ESCAPED * how.output + FRAME_ROOM)
        self._nobody = Hook("boot", how.host.name, "", "")
        self._job: Job | None = None
        self._done: Job | None = None
        self._failed_id = ""
        self._takes_env = False
        self._is_ending = False
        self._last_words = ""
        self._started = self._loop.time()
        self.state = State.BOOTING
        self.jobs = 0
        self.is_leaving = False
        self.idle_since = 0.0
        self.booted: asyncio.Future[str] = self._loop.create_future()
        self._process = Process(child, self._on_stdout, self._on_stderr)
        self._process.note_in(how.groups)
        self._process.exited.add_done_callback(self._on_exit)

    @property
    def last_words(self) -> str:
        """What it last wrote to stderr, or said of its failed boot: for the log."""
        return self._last_words

    def report(self) -> WorkerReport:
        """Tell how it is."""
        process, age = self._process, round(self._loop.time() - self._started, 3)
        state = self.state.name.lower()
        return WorkerReport(process.pid, state, self.jobs, age, process.memory)

    def give(self, event: Event, on_line: OnLine, client: Client) -> Job:
        """Give an idle worker its next job, which has started with that.

        Raises:
            BrokenPipeError: it is gone, and has not seen the job.
        """
        if self.state is not State.IDLE:
            raise BrokenPipeError("the worker has left")
        job = Job(f"a{self.jobs + 1}", event, on_line, self._how.output, client)
        hook_class = self._how.host.hook_class
        self._process.write(job_line(job.id, event, hook_class, takes_env=self._takes_env))
        self.jobs += 1
        self._job = job
        self.state = State.BUSY
        return job

    async def end(self, grace: float, *, gently: bool, leaves_children: bool = False) -> None:
        """End the process: stdin's end, then TERM, then KILL to its group.

        Args:
            grace: seconds between these.
            gently: begin with stdin's end; else with TERM.
            leaves_children: if that was enough, leave the rest of its group alone.
        """
        if self._is_ending:
            return
        self._is_ending = True
        self._quit("its worker was ended")
        self._process.close_stdin()
        exited = self._process.exited
        try:
            if gently:
                await asyncio.wait((exited,), timeout=grace)
            if not (leaves_children and exited.done()):
                await self._process.end(grace)
        finally:
            self._process.close()

    def _on_stdout(self, chunk: bytes) -> None:
        for frame in self._frames.receive_data(chunk):
            self._on_frame(frame)
        done, self._done = self._done, None
        if done is not None and self.state is State.IDLE:
            done.client.job_ended(self)

    def _on_stderr(self, chunk: bytes) -> None:
        self._write_errors(self._errors.feed(chunk))

    def _write_errors(self, lines: list[bytes]) -> None:
        if self.state is State.BOOTING:
            telling = [line for line in lines if line[:1].strip(b" \t#") and line != STACK_TRACE]
            self._last_words = (
                telling[-1].decode("utf-8", "replace") if telling else self._last_words
            )
        self._stderr.write(self._job.event if self._job else self._nobody, lines)

    def _on_frame(self, frame: Frame) -> None:
        if self.state is State.BUSY:
            self._on_job_frame(frame)
        elif self.state is State.BOOTING:
            self._on_boot_frame(frame)
        elif self.state is State.IDLE and not self._is_late(frame):
            self._desync(frame)

    def _is_late(self, frame: Frame) -> bool:
        """Whether it is of the job that an empty line has ended."""
        return bool(self._failed_id) and getattr(frame, "id", "") == self._failed_id

    def _on_boot_frame(self, frame: Frame) -> None:
        """Text before `ready` is logged and skipped."""
        if isinstance(frame, Ready):
            self._takes_env = frame.takes_env
            self._become_idle()
            self._settle_boot("")
        elif isinstance(frame, Fatal):
            self._last_words = frame.message
            self._leave("the app said that it cannot boot")
        elif isinstance(frame, Noise):
            self._stderr.write(self._nobody, [frame.text])
        else:
            self._desync(frame)

    def _on_job_frame(self, frame: Frame) -> None:
        job = self._job
        if job is None or getattr(frame, "id", job.id) != job.id:
            if not self._is_late(frame):
                self._desync(frame)
        elif isinstance(frame, Line):
            job.print(frame.data, frame.lost)
        elif isinstance(frame, Done):
            self.is_leaving = frame.is_last
            job.dropped += frame.lost
            self._finish(job, Ended(frame.result))
        elif isinstance(frame, Failed):
            self.is_leaving = frame.is_last
            self._fail(job, frame.message)
        elif isinstance(frame, Noise) and not frame.text:
            # "An empty line is the failure of the job in flight."
            self._failed_id = job.id
            self._finish(job, Ended(None, "the app printed an empty line for a result"))
        else:
            self._desync(frame)

    def _fail(self, job: Job, message: str) -> None:
        """The app's own words are for the log, and for who dispatched a task."""
        if isinstance(job.event, Hook):
            said = message.encode("utf-8", "replace").replace(b"\n", b" ")
            self._stderr.write(job.event, [said[:LINE_LIMIT]])
        self._finish(job, Ended(None, "the app answered with an error", message=message))

    def _finish(self, job: Job, ended: Ended) -> None:
        self._process.read_errors()  # what it wrote to stderr belongs to this job
        self._write_errors(self._errors.finish())
        self._job = None
        self._done = job  # what else came with its end is looked at before the next is given
        self._become_idle()
        job.end(ended)

    def _become_idle(self) -> None:
        self.state = State.IDLE
        self.idle_since = self._loop.time()

    def _desync(self, frame: Frame) -> None:
        """A line out of place: nothing that follows could be trusted."""
        event = self._job.event if self._job else self._nobody
        text = frame.text if isinstance(frame, Noise) else type(frame).__name__.lower().encode()
        self._stderr.write(event, [b"out of the protocol: " + text[:200]])
        self._leave("the worker printed a line that is not of the protocol")

    def _on_exit(self, _exited: asyncio.Future[None]) -> None:
        self._write_errors(self._errors.finish())
        if self.state is State.ENDING:
            return  # end() reaps it, after its group
        self._is_ending = True
        self._process.close()
        code = self._process.exit_code
        self._leave("the worker ended" + (f": {describe_exit(code)}" if code is not None else ""))

    def _leave(self, reason: str) -> None:
        """Quit, and let the owner know."""
        if self.state is not State.ENDING:
            self._quit(reason)
            self._owner.worker_left(self)

    def _quit(self, reason: str) -> None:
        """Take no more jobs; the one in flight fails."""
        self.state = State.ENDING
        self._settle_boot(reason)
        job, self._job = self._job, None
        if job is not None:
            job.end(Ended(None, reason, is_lost=True))

    def _settle_boot(self, failure: str) -> None:
        if not self.booted.done():
            self.booted.set_result(failure)
