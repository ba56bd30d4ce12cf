"""What a replay came to, in bounded memory however long it was."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

STEP: Final = math.log(1.01)
"""Times are kept to 1 %: so few different ones are remembered."""

MASKS: Final = 3
"""Masks that are remembered of tokens that nobody gave."""

LEAST: Final = 0.001
"""Milliseconds below which times are not told apart."""


class Times:
    """Milliseconds, of which only percentiles are asked."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()

    def add(self, ms: float) -> None:
        """Take one."""
        self._steps[round(math.log(max(ms, LEAST)) / STEP)] += 1

    def percentile(self, share: int) -> float | None:
        """The time that so many in a hundred do not exceed; None of none."""
        wanted = -(-self._steps.total() * share // 100)
        for step in sorted(self._steps):
            wanted -= self._steps[step]
            if wanted <= 0:
                return round(math.exp(step * STEP), 3)
        return None

    def summary(self) -> dict[str, float | None]:
        """The two that are told."""
        return {"p50": self.percentile(50), "p99": self.percentile(99)}


class Figures:
    """Counts by verdict, why calls were skipped, and both sides' times.

    `casts` are those that the app has made, compared where `has_compared_casts`;
    `unknown` are masks of tokens for want of which calls were skipped.
    """

    def __init__(self, *, has_compared_casts: bool = False) -> None:
        self.casts = 0
        self.has_compared_casts = has_compared_casts
        self.unknown: list[str] = []
        self.verdicts: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.then, self.now = Times(), Times()

    @property
    def count(self) -> int:
        """How many calls were replayed."""
        return self.verdicts.total()

    def add(self, verdict: str, then_ms: float, now_ms: float) -> None:
        """Count one call."""
        self.verdicts[verdict] += 1
        self.then.add(then_ms)
        self.now.add(now_ms)

    def miss(self, mask: str) -> None:
        """Remember the mask of a token that was not given, if there are few."""
        if mask not in self.unknown and len(self.unknown) < MASKS:
            self.unknown.append(mask)

    def summary(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "type": "summary",
            "calls": self.count,
            "same": self.verdicts["same"],
            "different": self.verdicts["different"],
            "failed": self.verdicts["failed"],
            "skipped": dict(self.skipped),
            "casts": {"made": self.casts, "compared": self.has_compared_casts},
            "ms": {"then": self.then.summary(), "now": self.now.summary()},
        }
