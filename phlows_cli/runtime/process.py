"""One child process: its own group, its output as it comes, its end.

Nothing here is asyncio's or uvloop's subprocess: both fork a big broker slowly,
and wait for the end of files that a background child may hold open for ever.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import struct
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias, TypeVar

from phlows_cli.runtime.reaping import collect, was_killed
from phlows_cli.runtime.spawn import Child, end_at_once

GRACE: Final = 1.0
"""Seconds between TERM and KILL."""

_CHUNK: Final = 65536

_T = TypeVar("_T")

OnChunk: TypeAlias = Callable[[bytes], None]
"""Takes bytes as they were read from a child's output."""


class Groups(Protocol):
    """Who notes which process groups run, for the case that we are killed."""

    def add(self, group: int) -> None:
        """A group was started."""

    def discard(self, group: int) -> None:
        """Its leader has ended and was reaped."""


class Process:
    """A running child, which has no descriptor but 0, 1, 2.

    Its stdin is empty, or a pipe that write() feeds. Every Process needs one
    close(). Chunks are handed on until then, on the event loop, in the order
    they were read.
    """

    def __init__(self, child: Child, on_stdout: OnChunk, on_stderr: OnChunk) -> None:
        """Take charge of a process that was started.

        Raises:
            OSError: it cannot be watched; it is ended, and nothing is left behind.
        """
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[bool] = self._loop.create_future()
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._silent: asyncio.Future[None] = self._loop.create_future()
        self._groups: Groups | None = None
        self._is_ending = False
        self._child = child
        self._pidfd: int | None = None
        self._pipes: list[_Pipe] = []
        self._stdin = _Inlet(self._loop, self._child.stdin) if self._child.stdin else None
        try:
            self._read_from(self._child.stdout, on_stdout)
            self._read_from(self._child.stderr, on_stderr)
            self._watch()
        except BaseException:
            self._give_up()
            raise

    @property
    def pid(self) -> int:
        """The process's id, which is its group's as well."""
        return self._child.pid

    @property
    def memory(self) -> int | None:
        """Bytes of its resident memory; None where the system does not say."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return None
        return int(pages) * resource.getpagesize()

    @property
    def exit_code(self) -> int | None:
        """None until close() after the exit; negative for a signal."""
        return self._child.returncode

    @property
    def exited(self) -> asyncio.Future[None]:
        """Done when the process has exited, and what it had printed was handed on."""
        return self._exited

    def note_in(self, groups: Groups | None) -> None:
        """Note this process, until it is reaped."""
        if groups is not None and not self._exited.done():
            self._groups = groups
            groups.add(self._child.pid)

    def write(self, data: bytes) -> None:
        """Feed stdin; what the pipe does not take at once follows when it does.

        Raises:
            BrokenPipeError: nobody reads any more, and none of it was written.
        """
        if self._stdin is None:
            raise BrokenPipeError("stdin is closed")
        self._stdin.write(data)

    def close_stdin(self) -> None:
        """End stdin, as a sign to end."""
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None

    def read_errors(self) -> None:
        """Hand on what the process has written to stderr by now."""
        self._pipes[1].drain()

    async def finish(self, patience: float) -> bool:
        """Wait for the exit, and for what stdout held by then.

        Returns:
            False after `patience` seconds, or at once when interrupted.
        """
        timer = self._loop.call_later(patience, self.interrupt)
        try:
            return await self._finished
        finally:
            timer.cancel()

    def interrupt(self) -> None:
        """Let finish() return False, unless the process has exited."""
        _settle(self._finished, False)

    async def end(self, grace: float = GRACE) -> None:
        """Kill the whole group: TERM, a grace, KILL, also when cancelled."""
        self._is_ending = True
        try:
            self._signal(signal.SIGTERM)
            await asyncio.wait((self._silent,), timeout=grace)
        finally:
            # before anyone reaps the leader: its id is the group's name until then
            self._signal(signal.SIGKILL)
        await asyncio.wait((self._exited,), timeout=grace)

    def close(self) -> None:
        """Let go of the pipes and reap; a process that runs on is reaped later."""
        self.close_stdin()
        for pipe in self._pipes:
            pipe.close()
        # They refer to us: without this, each hook would be left to the garbage collector.
        self._pipes.clear()
        if self._exited.done():
            self._reap()
        else:
            self._exited.add_done_callback(lambda _: self._reap())

    def _read_from(self, file: IO[bytes] | None, on_chunk: OnChunk) -> None:
        assert file is not None  # noqa: S101 - Popen was asked for a pipe
        self._pipes.append(_Pipe(self._loop, file, on_chunk, self._check_silence))

    def _give_up(self) -> None:
        self._unwatch()
        self.close_stdin()
        for pipe in self._pipes:
            pipe.close()
        end_at_once(self._child)

    def _watch(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self._child.pid)
        except (AttributeError, OSError):  # not Linux, or none left: a thread needs no descriptor
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._on_exit)

    def _wait_in_thread(self) -> None:
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._child.returncode = collect(self._child.pid, 0)
        with suppress(RuntimeError):  # the loop was closed before the process ended
            self._loop.call_soon_threadsafe(self._on_exit)

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_exit(self) -> None:
        self._unwatch()
        if not self._is_ending and was_killed(self.pid):
            self._signal(signal.SIGKILL)  # nobody left its children behind on purpose
        try:
            for pipe in self._pipes:
                pipe.drain()
        finally:
            _settle(self._exited, None)
            _settle(self._finished, True)
            self._check_silence()

    def _check_silence(self) -> None:
        """Nobody is thought to be left once the leader and both pipes are gone."""
        if self._exited.done() and not any(pipe.is_open for pipe in self._pipes):
            _settle(self._silent, None)

    def _signal(self, number: signal.Signals) -> None:
        # gone already, or by now another user's, which only its own timeout can end
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _reap(self) -> None:
        if self._groups is not None:
            self._groups.discard(self._child.pid)
        if self._child.returncode is None:
            self._child.returncode = collect(self._child.pid, os.WNOHANG)


class _Inlet:
    """The end of a child's stdin that we write to; it never blocks."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: IO[bytes]) -> None:
        self._loop = loop
        self._file = file
        self._waiting = b""
        os.set_blocking(file.fileno(), False)

    def write(self, data: bytes) -> None:
        """See Process.write()."""
        if self._waiting:
            self._waiting += data
            return
        written = self._write(data)
        if written < len(data):
            self._waiting = data[written:]
            self._loop.add_writer(self._file.fileno(), self._continue)

    def close(self) -> None:
        """Let the child see the end; what still waits is dropped."""
        self._forget()
        self._file.close()

    def _continue(self) -> None:
        try:
            self._waiting = self._waiting[self._write(self._waiting) :]
        except OSError:  # it has begun the job and is gone: its exit tells
            self._forget()
        if not self._waiting:
            self._forget()

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._file.fileno(), data)
        except BlockingIOError:
            return 0

    def _forget(self) -> None:
        self._waiting = b""
        self._loop.remove_writer(self._file.fileno())


class _Pipe:
    """The end of a child's output that we read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        file: IO[bytes],
        on_chunk: OnChunk,
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._file = file
        self._on_chunk = on_chunk
        self._on_end = on_end
        os.set_blocking(file.fileno(), False)
        loop.add_reader(file.fileno(), self._read, _CHUNK)

    @property
    def is_open(self) -> bool:
        """Whether someone may still write to it."""
        return not self._file.closed

    def drain(self) -> None:
        """Read what is there now, but not what is written meanwhile."""
        if not self.is_open:
            return
        answer = fcntl.ioctl(self._file.fileno(), termios.FIONREAD, bytes(4))
        (held,) = struct.unpack("i", answer)
        while held > 0 and self.is_open:
            held -= self._read(min(held, _CHUNK))

    def close(self) -> None:
        """Stop reading and give the descriptor back."""
        if self.is_open:
            self._loop.remove_reader(self._file.fileno())
            self._file.close()

    def _read(self, limit: int) -> int:
        try:
            chunk = os.read(self._file.fileno(), limit)
        except BlockingIOError:
            return 0
        if chunk:
            self._on_chunk(chunk)
        else:
            self.close()
            self._on_end()
        return len(chunk)


def _settle(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
