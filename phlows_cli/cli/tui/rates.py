"""How often things happen, over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from phlows_cli.cli.event_filter import Event

WINDOW: Final = 5
"""Whole seconds over which rates are taken."""


class PerSecond(NamedTuple):
    """Averages; `is_least` where events were lost, of which only the number is known."""

    events: float = 0.0
    casts: float = 0.0
    deliveries: float = 0.0
    is_least: bool = False


class Rates:
    """Counts by the second; only the window is kept."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW + 1)

    def count(self, event: Event, now: float) -> None:
        """Add one event that came at `now`."""
        if not self._seconds or self._seconds[-1][0] != int(now):
            self._seconds.append((int(now), [0, 0, 0, 0]))
        counts = self._seconds[-1][1]
        is_cast, lost = event["type"] == "cast", event.get("count", 0)
        counts[0] += lost if event["type"] == "lost" else 1
        counts[1] += is_cast
        counts[2] += event.get("sent", 0) if is_cast else 0
        counts[3] += event["type"] == "lost"

    def per_second(self, now: float) -> PerSecond:
        """The averages of the whole seconds before this one."""
        first = int(now) - WINDOW
        recent = [counts for second, counts in self._seconds if first <= second < int(now)]
        events, casts, sent, lost = (sum(column) for column in zip([0] * 4, *recent, strict=True))
        return PerSecond(events / WINDOW, casts / WINDOW, sent / WINDOW, lost > 0)
