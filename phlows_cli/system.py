"""The process around the broker: descriptors, the loop, time, a watched file."""

from __future__ import annotations

import asyncio
import gc
import resource
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_DESCRIPTORS: Final = 1_048_576
"""Where the system names no limit: more than one broker can use."""


def raise_descriptor_limit() -> int:
    """Use all descriptors that this process may have; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS caps it below what it names as hard
            return soft
    return wanted


def quiet_garbage_collection() -> None:
    """What exists now stays: collections look at what came since."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class Ticker:
    """Calls `every_tick` each interval and `every_second` once a second.

    `lag` is by how many seconds the last tick was late: how long the loop was
    busy with something else.
    """

    def __init__(
        self, interval: float, every_tick: Callable[[], None], every_second: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.interval = interval
        self.lag = 0.0
        self._every_tick = every_tick
        self._every_second = every_second
        self._second = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)

    def stop(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self.lag = max(0.0, now - self._timer.when())
        # First of all the next one: what fails below is logged by the loop.
        self._timer = self._loop.call_later(self.interval, self._tick)
        if now - self._second >= 1.0:
            self._second = now
            self._every_second()
        self._every_tick()


class FileWatch:
    """Tells when a file was changed or replaced, and is at rest again.

    A look is one stat: editors and deployments replace files by renaming, and
    no watch on an inode would see that. A file that changed since the last
    look is still being written: half of it may be valid, with hosts missing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.accept()

    def accept(self) -> None:
        """Take the file as it is now for known."""
        self._known = self._last = self._look()

    def has_changed(self) -> bool:
        """Whether the file is another than the known one; it is known then."""
        before, self._last = self._last, self._look()
        if self._last is None or self._last != before or self._last == self._known:
            return False
        self._known = self._last
        return True

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
