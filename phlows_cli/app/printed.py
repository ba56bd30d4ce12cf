"""What an app prints in a worker: each whole line is a frame at once."""

from __future__ import annotations

import io
import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from phlows_cli.app.pipes import REPLACED

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

EVENT: ContextVar[object] = ContextVar("phlows_event")
"""The event that this code runs for; threads of the app's own have none."""


class Printed(io.RawIOBase):
    """The bytes under sys.stdout, for as long as the worker lives.

    Events are told apart: what code of an event that has ended still prints is
    dropped, with a note, as it may be meant for another user.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()  # a signal's handler may print as well
        self._event: object = None
        self._on_line: Callable[[str], None] | None = None
        self._rest = b""
        self._older: frozenset[threading.Thread] = frozenset()
        self._has_noted = False
        self._notes = sys.stderr

    def begin(self, event: object, on_line: Callable[[str], None] | None) -> None:
        """Give the lines of this event to `on_line`; None drops them."""
        self._older = frozenset(threading.enumerate()) - {threading.main_thread()}
        self._event, self._on_line = event, on_line
        self._has_noted = False
        # a new text layer, as the last event may have detached or changed its own
        sys.stdout = io.TextIOWrapper(self, "utf-8", REPLACED, write_through=True)

    def end(self) -> None:
        """Hand on the last line, if it is not whole, and take no more."""
        with self._lock:
            if self._rest:
                self._pass_on(b"\n")
            self._event = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes from any thread; each line that they complete goes out."""
        taken = bytes(data)
        with self._lock:
            if self._is_of_this_event():
                self._pass_on(taken)
            elif not self._has_noted:
                self._has_noted = True
                self._notes.write("phlows: output of an event that has ended was dropped\n")
        return len(taken)

    def writable(self) -> bool:
        """Whether this can be written to."""
        return True

    def fileno(self) -> int:
        """Where a child process may write: fd 1, which is stderr in a worker."""
        return 1

    def close(self) -> None:
        """Stay open: the next event prints here, too."""

    def _pass_on(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        if self._on_line is not None:
            for line in lines:
                self._on_line(line.decode("utf-8", "replace"))

    def _is_of_this_event(self) -> bool:
        event = EVENT.get(None)
        if event is not None:
            return event is self._event
        return self._event is not None and threading.current_thread() not in self._older
