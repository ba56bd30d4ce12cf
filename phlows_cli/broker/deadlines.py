"""Items that all get the same time; the oldest stands first. No timers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T", bound="Hashable")


class Deadlines(Generic[T]):
    """First in, first due: adding and looking cost the same at any size.

    `seconds` is the time each item gets.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[T, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, item: T) -> bool:
        return item in self._due

    def add(self, item: T, now: float) -> None:
        """Give the item its time from now; a second add starts it anew."""
        self._due.pop(item, None)
        self._due[item] = now + self.seconds

    def discard(self, item: T) -> None:
        """The item made it, or is gone."""
        self._due.pop(item, None)

    def oldest(self) -> T | None:
        """The item that is due first."""
        return next(iter(self._due), None)

    def expired(self, now: float) -> list[T]:
        """Remove and return the items whose time is over, oldest first."""
        late = []
        for item, due in self._due.items():
            if due > now:
                break
            late.append(item)
        for item in late:
            del self._due[item]
        return late
