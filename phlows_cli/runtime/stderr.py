"""What apps write to stderr: cut into lines, bounded, the rest counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from phlows_cli.model import Event
    from phlows_cli.runtime.settings import OnStderr

LINE_LIMIT: Final = 4096
"""Bytes of one line that are logged."""

LINES_A_WINDOW: Final = 100
WINDOW: Final = 1.0
"""A host's apps may log so many lines in so many seconds."""


class LineCutter:
    """Chunks in, lines out; what a line has over `limit` bytes is dropped."""

    __slots__ = ("_limit", "_line")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._line = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what was read; return the lines it completes, without newline."""
        first, *others = chunk.split(b"\n")
        self._extend(first)
        if not others:
            return []
        lines = [bytes(self._line), *(line[: self._limit] for line in others[:-1])]
        self._line.clear()
        self._extend(others[-1])
        return lines

    def finish(self) -> list[bytes]:
        """Return the last line, if there was no newline after it."""
        line = bytes(self._line)
        self._line.clear()
        return [line] if line else []

    def _extend(self, piece: bytes) -> None:
        self._line += piece[: self._limit - len(self._line)]


class StderrLog:
    """One host's stderr: at most LINES_A_WINDOW lines in a window.

    The lines over it are counted, and one line at the window's end says how many.
    """

    def __init__(
        self, on_stderr: OnStderr, lines: int = LINES_A_WINDOW, window: float = WINDOW
    ) -> None:
        self._on_stderr = on_stderr
        self._lines = lines
        self._window = window
        self._left = lines
        self._dropped = 0
        self._dropped_from: Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    def write(self, hook: Event, lines: list[bytes]) -> None:
        """Log the lines that are not blank, as far as the window has room."""
        for line in lines:
            if line.strip():
                self._write(hook, line)

    def close(self) -> None:
        """End the window now, and say what it dropped."""
        if self._timer:
            self._timer.cancel()
            self._renew()

    def _write(self, hook: Event, line: bytes) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._window, self._renew)
        if self._left:
            self._left -= 1
            self._on_stderr(hook, line.decode("utf-8", "replace"))
        else:
            self._dropped += 1
            self._dropped_from = hook

    def _renew(self) -> None:
        dropped, self._dropped = self._dropped, 0
        self._left = self._lines
        self._timer = None
        if self._dropped_from:
            notice = f"{dropped} more lines in {self._window:g} s were dropped"
            self._on_stderr(self._dropped_from, notice)
            self._dropped_from = None
