"""A broker's recording as it comes, until something ends it."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from phlows_cli.cli.output import plural
from phlows_cli.errors import BrokerUnreachableError, PhlowsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType
    from typing import Self

    from phlows_cli.cli.recordings.sink import Sink

SHOWN_EVERY: Final = 0.2
"""Seconds between two looks at how far it is, for people."""

INTERRUPTED: Final = "interrupted"


class _Stop(BaseException):
    """A signal ends the wait for a line; nothing on the way catches it."""


class _Interruption:
    """Signals, which end a wait at once and a line that is written after it."""

    def __init__(self, seconds: float | None, progress: _Progress) -> None:
        self.why = ""
        self._ends_at = time.monotonic() + (math.inf if seconds is None else seconds)
        self._seconds = seconds or 0.0
        self._progress = progress
        self._is_waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            self._before[number] = signal.signal(number, self._take)
        if self._progress.shows:
            signal.setitimer(signal.ITIMER_REAL, SHOWN_EVERY, SHOWN_EVERY)
        else:
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def next(self, lines: Iterator[bytes]) -> bytes | None:
        """Wait for a line; None when a signal came, or there are no more."""
        try:
            try:
                self._is_waiting = True
                return None if self.why else next(lines, None)
            finally:
                self._is_waiting = False
        except _Stop:  # also one that came just before it was no more waited
            return None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self.why = self.why or INTERRUPTED
        elif time.monotonic() >= self._ends_at or not self._progress.shows:
            self.why = self.why or "seconds"
        elif self._is_waiting:
            self._progress.show()
        if self.why and self._is_waiting:
            self._is_waiting = False
            raise _Stop


class _Line(msgspec.Struct):
    type: str
    count: int = 0


_line: Final = msgspec.json.Decoder(_Line)


@dataclass(slots=True)
class Captured:
    """What was recorded, and why no more of it.

    `ended` is interrupted, seconds, count, max-size, or broker when it went.
    """

    calls: int = 0
    lost: int = 0
    ended: str = ""


def capture(
    lines: Iterator[bytes], sink: Sink, seconds: float | None, count: int | None
) -> Captured:
    """Write what comes until a bound, a signal or the broker ends it.

    Raises:
        PhlowsError: what comes is no recording, or cannot be written.
    """
    done = Captured()
    progress = _Progress(done)
    with _Interruption(seconds, progress) as interruption:
        try:
            while not done.ended:
                line = interruption.next(lines)
                if line is None:
                    done.ended = interruption.why or "broker"
                elif line:
                    _take(line, sink, done, count)
        except BrokerUnreachableError:
            done.ended = "broker"
        finally:
            progress.end()
            # While signals are ours: an error in a destructor would be shown.
            if isinstance(lines, Generator):
                lines.close()
    return done


def _take(line: bytes, sink: Sink, done: Captured, count: int | None) -> None:
    try:
        told = _line.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        raise PhlowsError("the broker sent a line that is none of a recording") from None
    if not sink.write(line):
        done.ended = "max-size"
        return
    done.calls += told.type == "hook"
    done.lost += told.count if told.type == "lost" else 0
    if done.calls == count:
        done.ended = "count"


class _Progress:
    """How far it is, on a terminal."""

    def __init__(self, done: Captured) -> None:
        self.shows = sys.stderr is not None and sys.stderr.isatty()
        self._done = done

    def show(self) -> None:
        """Write it over what was written before."""
        done = self._done
        lost = f", {done.lost} lost" if done.lost else ""
        click.echo(f"\r\x1b[K{plural(done.calls, 'call')} so far{lost}", err=True, nl=False)

    def end(self) -> None:
        """Leave an empty line for what is said next."""
        if self.shows:
            click.echo("\r\x1b[K", err=True, nl=False)
