"""The process around the broker: descriptors, the loop, time, a watched file."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

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


CODE: Final = frozenset({".php", ".phlo", ".inc", ".py"})
PACKAGES: Final = frozenset({"node_modules", "vendor", "__pycache__"})
FILES_WATCHED: Final = 5000


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

    def _look(self) -> Hashable | None:
        return None if self._path is None else _state_of(self._path)


class FolderWatch(FileWatch):
    """The same for an app: its file, and the code in its folder and below.

    A look is a stat a file, so it belongs into a thread. Looked at are at most
    FILES_WATCHED files with a suffix of CODE or the app's own; what is hidden
    (an editor's locks) and installed packages are left out.
    """

    def __init__(self, app: Path) -> None:
        self._app = app
        super().__init__(app)

    def _look(self) -> Hashable | None:
        suffixes = {*CODE, self._app.suffix}
        found = []
        for folder, folders, names in os.walk(self._app.parent):
            folders[:] = sorted({name for name in folders if name[0] != "."} - PACKAGES)
            shown = sorted(name for name in names if name[0] != ".")
            found += [Path(folder, name) for name in shown if _suffix(name) in suffixes]
            if len(found) > FILES_WATCHED:
                break
        files = [self._app, *found[:FILES_WATCHED]]
        return tuple((str(file), _state_of(file)) for file in files)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1]  # noqa: PTH122 - a Path for each name is slow


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What is another when a file was changed; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
