"""What a run was measured on, and whether that was the limit."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import Final

from phlows_cli.errors import UsageError
from phlows_cli.system import raise_descriptor_limit

SPARE: Final = 64
"""Descriptors that a run needs beside its sockets."""
BUSY: Final = 0.9
REACHED: Final = 0.95
"""The share of a rate below which it was not kept."""


def allow_sockets(count: int) -> None:
    """Raise the descriptor limit as far as it goes.

    Raises:
        UsageError: that is not enough for so many sockets.
    """
    limit = raise_descriptor_limit()
    if count + SPARE > limit:
        raise UsageError(
            f"{count} sockets need {count + SPARE} descriptors and the hard limit is {limit}:"
            f" {max(0, limit - SPARE)} sockets are possible, or raise it (ulimit -Hn)"
        )


class Effort:
    """What this process and the machine do from where this is made.

    Args:
        load: the machine's load before the run, if it is known already.
    """

    def __init__(self, load: float | None = None) -> None:
        self.load = os.getloadavg()[0] if load is None else load
        self._began = time.monotonic()
        self._ran = time.process_time()

    def cpu(self) -> float:
        """The share of one core that this process has taken so far."""
        seconds = time.monotonic() - self._began
        return (time.process_time() - self._ran) / seconds if seconds > 0 else 0.0

    def warnings(self, rate: float | None = None, reached: float = 0.0) -> list[str]:
        """What makes the figures other than they look.

        Args:
            rate: what was to happen a second, if it was said.
            reached: what did happen.
        """
        found, share, count = [], self.cpu(), cores()
        if rate and reached < REACHED * rate:
            found.append(
                f"the rate was not kept: {reached:,.0f} a second of {rate:,.0f}; what waited is"
                " in the times"
            )
        if share > BUSY:
            found.append(
                f"the load generator itself took {share:.0%} of a core: the broker may do more"
            )
        if self.load > count:
            found.append(
                f"the machine was busy before the run: load {self.load:.1f}, {_cores(count)}"
            )
        return found

    def description(self) -> dict[str, object]:
        """The facts that figures are compared by; nothing that names the machine."""
        return {
            "cores": cores(),
            "load": round(self.load, 2),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "generator_cpu": round(self.cpu(), 3),
        }


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cores(count: int) -> str:
    return f"{count} core" if count == 1 else f"{count} cores"
