"""What can go wrong in a benchmark: it ends a figure, or leaves a peer out of it."""

from __future__ import annotations

from typing import Final


class BenchmarkError(Exception):
    """The run cannot go on, or its figures would not be true."""


class MissingToolError(BenchmarkError):
    """A program that a contender needs is not on this machine."""


class ContenderError(BenchmarkError):
    """A contender did not start, ended early or answered wrongly."""


class StartError(ContenderError):
    """A contender was started and did not come up."""

    def __init__(self, contender: str, problem: str) -> None:
        super().__init__(problem)
        self.contender = contender


class CountError(BenchmarkError):
    """A delivery is missing, too many, out of order or altered."""


FAILURES: Final = (BenchmarkError, OSError)
"""How a contender can fail: what it did is wrong, or its connections end."""
