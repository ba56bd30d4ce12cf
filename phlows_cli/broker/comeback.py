"""When clients that are sent away are to come back: not all at once. Pure."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST: Final = 10
"""Seconds over which those who are refused are spread, however few they are."""

LONGEST: Final = 60
"""Seconds after which anybody may ask again, however many there are."""

PACE: Final = 500.0
"""Clients a second that are to come back, where no limit says how many may."""


class Comeback:
    """Chances of a time to come back, over a span that grows with the crowd.

    The crowd is an estimate: each refusal adds one, and as many leave it a
    second as are to come back in one.

    Args:
        now: seconds, monotonic.
        pace: clients a second that may come back; 0 where no limit says.
        chance: a number from 0 to 1, which differs each time.
    """

    def __init__(self, now: float, pace: float = 0.0, chance: Callable[[], float] = random) -> None:
        self.pace = pace
        self._chance = chance
        self._crowd = 0.0
        self._then = now

    def after_refusal(self, now: float) -> int:
        """Whole seconds that one more client is to wait."""
        pace = self.pace or PACE
        self._crowd = max(0.0, self._crowd - (now - self._then) * pace) + 1
        self._then = now
        return self._within(min(max(SHORTEST, self._crowd / pace), LONGEST))

    def after_restart(self, sockets: int) -> int:
        """Whole seconds for one of so many sockets that are closed together."""
        return self._within(min(max(1.0, sockets / (self.pace or PACE)), LONGEST))

    def _within(self, seconds: float) -> int:
        """One of the whole seconds from 1 up to a span."""
        return 1 + min(int(self._chance() * seconds), int(seconds) - 1)
