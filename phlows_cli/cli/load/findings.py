"""What went wrong with the messages: each kind counted, the first ones named."""

from __future__ import annotations

from collections import Counter
from typing import Final

KINDS: Final = ("lost", "duplicated", "reordered", "damaged", "closed", "receipts", "failed")
EXAMPLES: Final = 20
"""How many are named; more say nothing new."""
_MISSING_LIMIT: Final = 4096
"""Numbers of one socket that may still come late; an older one is lost for good."""


class Findings:
    """Counts of what must not be, over all sockets of a run."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.examples: list[dict[str, object]] = []

    def add(self, kind: str, socket: int | None, number: int | None = None, why: str = "") -> None:
        """Count one, and keep it if it is among the first."""
        self.counts[kind] += 1
        if len(self.examples) < EXAMPLES:
            facts = {"socket": socket, "number": number, "why": why or None}
            told = {name: fact for name, fact in facts.items() if fact is not None}
            self.examples.append({"kind": kind, **told})

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())


class Ledger:
    """The numbers that one socket has had, of those it has to have in order."""

    __slots__ = ("_findings", "_missing", "next", "socket")

    def __init__(self, socket: int, findings: Findings) -> None:
        self.socket = socket
        self.next = 0
        self._missing: dict[int, None] | None = None
        self._findings = findings

    def take(self, number: int) -> bool:
        """Enter a number that came; returns whether it came in time and once."""
        if number == self.next:
            self.next += 1
            return True
        if number > self.next:
            self._skip(number)
            return True
        if self._missing and number in self._missing:
            del self._missing[number]
            self._findings.add("reordered", self.socket, number)
        else:
            self._findings.add("duplicated", self.socket, number)
        return False

    def _skip(self, number: int) -> None:
        missing = self._missing = self._missing or {}
        missing.update(dict.fromkeys(range(self.next, number)))
        self.next = number + 1
        while len(missing) > _MISSING_LIMIT:
            self._lose(next(iter(missing)))

    def _lose(self, number: int) -> None:
        if self._missing is not None:
            self._missing.pop(number, None)
        self._findings.add("lost", self.socket, number)

    def finish(self, end: int) -> None:
        """Report what has not come of the numbers below `end`."""
        for number in (*(self._missing or ()), *range(self.next, end)):
            self._lose(number)
        self.next = max(self.next, end)
