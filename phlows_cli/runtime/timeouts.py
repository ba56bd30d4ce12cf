"""One timer for many waits that may all take equally long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Timeouts(Generic[T]):
    """Tells of each item that was started `seconds` ago and not stopped since.

    A timer of its own for each would cost more than many an event: here it is
    set for the eldest, and again for whoever is the eldest then.
    """

    __slots__ = ("_due", "_expire", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float, expire: Callable[[T], None]) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seconds = seconds
        self._expire = expire
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, item: T) -> None:
        """Give an item its time from now on."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        due = loop.time() + self._seconds
        self._due[item] = due
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def stop(self, item: T) -> None:
        """Tell nothing of an item any more; it may be out of time already."""
        self._due.pop(item, None)

    def close(self) -> None:
        """Tell nothing of anyone any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Expire who is due; the first who is not has the timer next."""
        self._timer = None
        now = loop.time()
        late = []
        for item, due in self._due.items():
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                break
            late.append(item)
        for item in late:
            if self._due.pop(item, None) is not None:  # else stopped by the one before
                self._expire(item)
