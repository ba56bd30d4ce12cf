"""A process of its own for one contender's sockets: descriptors are not shared."""

from __future__ import annotations

import contextlib
import multiprocessing
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks import native
from benchmarks.crowd import Listeners
from benchmarks.errors import FAILURES, ContenderError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from benchmarks.crowd import Crowd, Turn
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

_START: Final = 300.0
_ROUND: Final = 300.0
_ATTENTION: Final = 2.0
"""Seconds between two looks for pings, while another contender has its turn."""


class Generator:
    """Holds a crowd in a child process and casts to it when asked."""

    def __init__(self, contender: Contender, crowd: Crowd) -> None:
        context = multiprocessing.get_context("fork")
        self.contender = contender
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_hold, args=(theirs, contender, crowd), daemon=True)
        self._process.start()
        theirs.close()

    def ready(self) -> Self:
        """Wait until all sockets are open."""
        self._answer(_START)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._ours.send(None)
        self._ours.close()
        self._process.join(30)
        if self._process.is_alive():
            self._process.kill()

    def cast(self, turn: Turn) -> Round:
        """One round, as Listeners.cast."""
        self._ours.send(("cast", turn))
        return self._answer(turn.seconds + _ROUND)

    def attend(self, seconds: float) -> Round:
        """Answer pings for so long."""
        self._ours.send(("attend", seconds))
        return self._answer(seconds + _ROUND)

    def _answer(self, seconds: float) -> Round:
        if not self._ours.poll(seconds):
            raise ContenderError(f"the load generator said nothing for {seconds:g} s")
        try:
            answer = self._ours.recv()
        except EOFError as error:
            raise ContenderError("the load generator ended") from error
        if isinstance(answer, Exception):
            raise answer
        outcome: Round = answer
        return outcome


def _hold(pipe: Connection, contender: Contender, crowd: Crowd) -> None:
    with ExitStack() as stack:
        try:
            listeners = stack.enter_context(Listeners(contender, crowd))
        except FAILURES as error:
            pipe.send(error)
            return
        pipe.send(None)
        _serve(pipe, listeners)


def _serve(pipe: Connection, listeners: Listeners) -> None:
    failure: Exception | None = None
    while True:
        if failure is None and not pipe.poll(_ATTENTION):
            if native.is_there():
                failure = _attended(listeners)
            continue
        order = pipe.recv()
        if order is None:
            return
        pipe.send(failure or _done(listeners, *order))


def _attended(listeners: Listeners) -> Exception | None:
    """Answer the pings that have come; what is wrong is told with the next round."""
    answer = _done(listeners, "attend", 0.0)
    return answer if isinstance(answer, Exception) else None


def _done(listeners: Listeners, name: str, argument: Any) -> Round | Exception:
    try:
        outcome: Round = getattr(listeners, name)(argument)
    except FAILURES as error:
        return error
    return outcome
