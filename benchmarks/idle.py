"""Resident memory that one idle socket costs."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from time import sleep
from typing import TYPE_CHECKING, Final

from benchmarks.crowd import Crowd
from benchmarks.sockets import upgraded

if TYPE_CHECKING:
    from benchmarks.contenders import Start
    from benchmarks.process import Contender

SOCKETS: Final = 5000
_FIRST: Final = 500
"""Sockets opened before the first reading: what the first ones cost once."""
_STEADY: Final = 65536
_PAUSE: Final = 0.5
_READINGS: Final = 12


def measure(start: Start, count: int) -> float:
    """Bytes a socket in a fresh process, from its first 500 to `count` more."""
    with ExitStack() as stack:
        contender = stack.enter_context(start())
        handshake = contender.speech.upgrade(Crowd(count), 0)
        request = partial(_alike, handshake)
        stack.enter_context(upgraded(contender.port, _FIRST, request))
        before = _settled(contender)
        stack.enter_context(upgraded(contender.port, count, request))
        return (_settled(contender) - before) / count


def _alike(handshake: bytes, _: int) -> bytes:
    return handshake


def _settled(contender: Contender) -> int:
    last = contender.memory()
    for _ in range(_READINGS):
        sleep(_PAUSE)
        reading = contender.memory()
        if abs(reading - last) < _STEADY:
            return reading
        last = reading
    return last
