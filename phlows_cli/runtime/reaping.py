"""How a child ended: looked at, and collected."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Final

_log = logging.getLogger("phlows.runtime")

LOST_STATUS: Final = 255
"""The exit code when the system gave the status to nobody (SIGCHLD ignored)."""


def was_killed(pid: int) -> bool:
    """Whether a child that has not been reaped yet was ended by a signal."""
    if hasattr(os, "waitid"):
        with suppress(ChildProcessError):
            seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            return seen is not None and seen.si_code != os.CLD_EXITED
    return False


def collect(pid: int, flags: int) -> int:
    """Reap; where somebody else did, the status is lost and counts as failure."""
    try:
        _, status = os.waitpid(pid, flags)
    except ChildProcessError:
        _log.warning("exit status of process %d was lost: is SIGCHLD ignored?", pid)
        return LOST_STATUS
    return os.waitstatus_to_exitcode(status)
