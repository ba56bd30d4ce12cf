"""Handshakes a second: sockets opened side by side, each answered with a 101."""

from __future__ import annotations

import os
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from benchmarks import native
from benchmarks.crowd import Crowd
from benchmarks.sockets import allow_descriptors

if TYPE_CHECKING:
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

UNDER_WAY: Final = 64
_SETTLE: Final = 5.0
_LOOK: Final = 0.1


def measure(contender: Contender, _seconds: float, count: int) -> Round:
    """One round: so many are opened, on the clock, and closed, off it.

    The processor time that the contender takes is of both.
    """
    allow_descriptors(count)
    request = contender.speech.upgrade(Crowd(count), 0)
    outcome, opened = native.shake(contender.port, request, count, UNDER_WAY)
    for each in opened:
        os.close(each)
    _settle(contender)
    return outcome


def _settle(contender: Contender) -> None:
    """Wait until the contender has done with the sockets that were closed."""
    deadline, last = monotonic() + _SETTLE, -1.0
    while (ran := contender.processor_time()) > last and monotonic() < deadline:
        last = ran
        sleep(_LOOK)
