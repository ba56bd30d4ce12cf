"""What a replay came to, in bounded memory however long it was."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

STEP: Final = math.log(1.01)
"""Times are kept to 1 %: so few different ones are remembered."""

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
    """Counts by verdict, why calls were skipped, and both sides' times."""

    def __init__(self) -> None:
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

    def summary(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "type": "summary",
            "events": self.count,
            "same": self.verdicts["same"],
            "different": self.verdicts["different"],
            "failed": self.verdicts["failed"],
            "skipped": dict(self.skipped),
            "ms": {"then": self.then.summary(), "now": self.now.summary()},
        }
