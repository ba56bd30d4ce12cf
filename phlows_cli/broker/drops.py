"""What was dropped, counted by reason; nothing is lost without a trace."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger("phlows.drops")


class Drops:
    """Counts by reason since the start; `report` logs what is new."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()

    def count(self, reason: str, number: int = 1) -> None:
        """Add to a reason, such as "slow consumer"."""
        self.totals[reason] += number

    def report(self) -> None:
        """Log what was dropped since the last report, a line a reason.

        The caller keeps it to once a second.
        """
        for reason, total in self.totals.items():
            new = total - self._reported[reason]
            if new:
                self._reported[reason] = total
                log.warning("dropped", extra={"reason": reason, "count": new, "total": total})
