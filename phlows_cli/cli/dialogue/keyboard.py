"""Lines that a person types, with editing and history, while messages come."""

from __future__ import annotations

import os
import signal
import socket
import sys
import termios
import threading
from contextlib import suppress
from queue import Empty, Queue
from typing import Final

from phlows_cli.cli.dialogue.sources import Line

PROMPT: Final = "> "
HISTORY: Final = 1000
"""Lines kept in memory for the arrow keys; they are never written to a file."""

_PLAIN_PASTE: Final = "\x1b[?2004l"


class Keyboard:
    """Asks for a line at a time, in a thread that only ever does that.

    input() is the one way to readline, and it waits; so the connection is
    looked after by the main thread, which Ctrl-C interrupts, too.
    """

    is_typed = True

    def __init__(self) -> None:
        self.is_over = False
        self._lines: Queue[str | None] = Queue(1)
        self._ready = threading.Semaphore(0)
        self._ours, self._theirs = socket.socketpair()
        self._settings = termios.tcgetattr(sys.stdin.fileno())
        self._has_editor = _set_up_editor()
        self._asks = False
        threading.Thread(target=self._ask, daemon=True).start()

    def fileno(self) -> int:
        """Readable when a line was typed."""
        return self._ours.fileno()

    def lines(self) -> list[Line]:
        """Take the line that was typed; the end of typing is none."""
        self._ours.recv(1)
        try:
            line = self._lines.get_nowait()
        except Empty:
            return []
        self._asks = False
        if line is None:
            self.is_over = True
            return []
        return [Line(line)] if line.strip() else []

    def ready(self) -> None:
        """Ask for the next line."""
        if not self._asks and not self.is_over:
            self._asks = True
            self._ready.release()

    def close(self) -> None:
        """Give the terminal back as it was; the thread ends with the program."""
        left = (_PLAIN_PASTE if self._has_editor else "") + ("\r\n" if self._asks else "")
        with suppress(OSError):
            os.write(sys.stdout.fileno(), left.encode())
        self._ours.close()
        self._theirs.close()
        with suppress(termios.error):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._settings)

    def _ask(self) -> None:
        """Ask for lines until there are no more."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        while True:
            self._ready.acquire()
            try:
                line: str | None = input(PROMPT)
            except (EOFError, OSError, UnicodeDecodeError):
                line = None
            self._lines.put(line)
            with suppress(OSError):
                self._theirs.send(b"\n")
            if line is None:
                return


def _set_up_editor() -> bool:
    """Let readline keep to one row, which others can write above; false without it."""
    try:
        import readline
    except ImportError:
        return False
    if "libedit" in (readline.__doc__ or ""):
        return False
    readline.set_history_length(HISTORY)
    readline.parse_and_bind("set horizontal-scroll-mode on")
    readline.parse_and_bind("set enable-bracketed-paste on")
    return True
