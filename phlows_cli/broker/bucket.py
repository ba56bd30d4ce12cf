"""A token bucket: how often something may happen. Pure."""

from __future__ import annotations


class TokenBucket:
    """Allows `rate` a second, and a burst of twice that (at least one)."""

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._burst = max(1.0, 2 * rate)
        self._level = self._burst
        self._then = now

    def take(self, now: float, number: int = 1) -> bool:
        """Take from the bucket; false, and nothing is taken, when it holds too little."""
        self._level = min(self._level + (now - self._then) * self._rate, self._burst)
        self._then = now
        if number > self._level:
            return False
        self._level -= number
        return True

    def put_back(self) -> None:
        """Return one that was taken in vain."""
        self._level = min(self._level + 1, self._burst)
