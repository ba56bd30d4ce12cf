"""The events that are kept: those shown, those of everything, those that wait."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from phlows_cli.cli.event_filter import Event, EventFilter

SHOWN: Final = 1000
"""Events of the pane; more lines than any screen has."""

KEPT: Final = 5000
"""Events among which those of a connection are looked for."""

WAITING: Final = 5000
"""Events that wait at most while it is paused; the eldest go first."""


class Feed:
    """What happened lately. Paused, events wait and are counted."""

    def __init__(self, wanted: EventFilter) -> None:
        self.wanted = wanted
        self.is_paused = False
        self.waited = 0
        self.shown: deque[Event] = deque(maxlen=SHOWN)
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._waiting: deque[Event] = deque(maxlen=WAITING)

    def add(self, event: Event) -> None:
        """Take one event."""
        if self.is_paused:
            self.waited += 1
            self._waiting.append(event)
            return
        self._kept.append(event)
        if self.wanted.passes(event):
            self.shown.append(event)

    def pause(self) -> None:
        """Stop, or go on with what has waited."""
        self.is_paused = not self.is_paused
        if self.is_paused:
            return
        waiting, self.waited = list(self._waiting), 0
        self._waiting.clear()
        for event in waiting:
            self.add(event)

    @property
    def forgotten(self) -> int:
        """How many of those that waited are gone."""
        return self.waited - len(self._waiting)

    def of_socket(self, socket: str, limit: int) -> list[Event]:
        """The latest events of one connection, the eldest first."""
        found: list[Event] = []
        for event in reversed(self._kept):
            if len(found) >= limit:
                break
            if event.get("socket") == socket:
                found.append(event)
        return found[::-1]
