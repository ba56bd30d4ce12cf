"""What can go wrong in a benchmark; each ends the run."""

from __future__ import annotations


class BenchmarkError(Exception):
    """The run cannot go on, or its figures would not be true."""


class MissingToolError(BenchmarkError):
    """A program that a contender needs is not on this machine."""


class ContenderError(BenchmarkError):
    """A contender did not start, ended early or answered wrongly."""


class CountError(BenchmarkError):
    """A delivery is missing, too many, out of order or altered."""
