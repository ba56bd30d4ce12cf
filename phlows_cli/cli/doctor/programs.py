"""A program run within a limit of time and output, with all it starts."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from phlows_cli.errors import TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OUTPUT_LIMIT: Final = 256 * 1024
"""Bytes that are kept of stdout, and of stderr."""

CHUNK: Final = 65_536

_running: Final[set[int]] = set()
"""The groups of programs that run now: threads that were given up may have some."""


class Finished(NamedTuple):
    """How a program ended: its exit code, what it printed, and its time."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def words(self) -> str:
        """What it said of itself, on one line."""
        said = self.stderr.strip() or self.stdout.strip()
        if said.startswith("Traceback "):  # Python's own words come last
            said = said.rpartition("\n")[2]
        return " ".join(said.split())[:300]


def run(
    command: Sequence[str],
    timeout: float,
    *,
    is_enough: Callable[[bytes], bool] | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program in a process group of its own, of which nothing stays.

    Args:
        command: the program and its arguments; its stdin stays open and empty.
        timeout: seconds.
        is_enough: is given each piece of stdout; True ends the program.
        cwd: its folder.
        env: its whole environment.

    Raises:
        OSError: it cannot be started.
        TimedOutError: it took longer.
    """
    began = time.monotonic()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=cwd, env=env, start_new_session=True
    ) as process:
        _running.add(process.pid)
        try:
            out, err, is_cut = _read(process, began + timeout, is_enough)
            code = 0 if is_cut else _wait(process, began + timeout)
        finally:
            _end(process.pid)
            _running.discard(process.pid)
    return Finished(code, out, err, time.monotonic() - began)


def end_all() -> None:
    """End what still runs for checks that nobody waits for any more."""
    for group in tuple(_running):
        _end(group)


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _read(
    process: subprocess.Popen[bytes], deadline: float, is_enough: Callable[[bytes], bool] | None
) -> tuple[str, str, bool]:
    """Read both outputs to their end, or until it is enough."""
    out, err = _Output(process.stdout, is_enough), _Output(process.stderr)
    with selectors.DefaultSelector() as selector:
        for output in (out, err):
            selector.register(output.fd, selectors.EVENT_READ, output)
        while selector.get_map() and not out.is_enough:
            _read_ready(selector, max(0.0, deadline - time.monotonic()))
            if time.monotonic() > deadline and not out.is_enough:
                raise _too_slow(process)
        if out.is_enough:  # what was said on stderr before that is there by now
            _read_ready(selector, 0.0)
    return out.text, err.text, out.is_enough


def _read_ready(selector: selectors.BaseSelector, timeout: float) -> None:
    for key, _ in selector.select(timeout):
        if not key.data.read():
            selector.unregister(key.fd)


class _Output:
    """What was read of one pipe."""

    def __init__(
        self, pipe: IO[bytes] | None, judge: Callable[[bytes], bool] | None = None
    ) -> None:
        self.fd = pipe.fileno() if pipe else -1
        self._judge = judge
        self._kept = bytearray()
        self.is_enough = False

    def read(self) -> bool:
        """Read what is there; False at the end."""
        chunk = os.read(self.fd, CHUNK)
        self._kept += chunk[: OUTPUT_LIMIT - len(self._kept)]
        if chunk and self._judge is not None and self._judge(chunk):
            self.is_enough = True
        return bool(chunk)

    @property
    def text(self) -> str:
        """All that was kept."""
        return self._kept.decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], deadline: float) -> int:
    try:
        return process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _too_slow(process) from None


def _shown(process: subprocess.Popen[bytes]) -> str:
    return str(process.args[0]) if isinstance(process.args, list) else "the program"


def _too_slow(process: subprocess.Popen[bytes]) -> TimedOutError:
    return TimedOutError(f"{_shown(process)} did not answer in time and was ended")
