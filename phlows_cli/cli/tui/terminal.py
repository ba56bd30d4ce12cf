"""The terminal: taken over, painted, and given back as it was found."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType

    from rich.text import Text

ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J"
"""The other screen, no cursor, pastes told apart from keys."""

LEAVE: Final = "\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l"

BEGIN: Final = "\x1b[?2026h\x1b[?7l"
"""Show the changes at once where that is understood; never wrap a line."""

END: Final = "\x1b[0m\x1b[?7h\x1b[?2026l"

PLAIN: Final = str.maketrans("─…▲▼●○≥↑↓", "-~^v*o>^v")
"""What stands for our signs where the terminal's encoding has none."""

DEADLY: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
NOTICED: Final = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


class EndedError(BaseException):
    """A signal asks this process to end; first the terminal is given back."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Terminal:
    """stdin and stdout between enter and leave; use it in a `with`.

    Signals that end a program raise EndedError; those of size and of being
    stopped wait in `noticed`, and wake `wait`.
    """

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._found: list[Any] | None = None
        self._painted: list[str] = []
        self._handlers: dict[int, Any] = {}
        self._wake_end, self._wake_start = os.pipe()
        self._console: Any = None
        self.noticed: set[int] = set()

    def __enter__(self) -> Self:
        for end in (self._wake_end, self._wake_start):
            os.set_blocking(end, False)
        for number in DEADLY:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks
                self._handlers[number] = signal.signal(number, _end)
        for number in NOTICED:
            self._handlers[number] = signal.signal(number, self._notice)
        try:
            self._enter()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        # An impatient Ctrl-C does not keep the terminal. The pipe stays open: a
        # thread may still wake us, and its number could be another file's by then.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._leave()
        finally:
            self._handlers[signal.SIGINT] = interrupt
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    def _enter(self) -> None:
        self._found = termios.tcgetattr(self._in)
        self._take()

    def _take(self) -> None:
        """Read key by key, without an echo; Ctrl-C and Ctrl-Z stay signals."""
        mode = termios.tcgetattr(self._in)
        mode[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR)
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        mode[6] = [*mode[6]]
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._in, termios.TCSADRAIN, mode)
        self._write(ENTER)
        self._painted = []

    def _leave(self) -> None:
        # A terminal that is gone needs nothing back.
        with suppress(OSError):
            self._write(LEAVE)
        if self._found is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._in, termios.TCSADRAIN, self._found)

    def _notice(self, number: int, _frame: FrameType | None) -> None:
        self.noticed.add(number)
        self.wake()

    # Waiting and reading

    def wake(self) -> None:
        """End `wait` now; may be called by any thread."""
        with suppress(OSError):  # full: it will wake; closed: nobody sleeps
            os.write(self._wake_start, b"w")

    def wait(self, seconds: float) -> bytes:
        """Wait for keys, a wake or the time; returns the keys' bytes.

        Raises:
            EndedError: the terminal is gone.
        """
        ready, _, _ = select.select([self._in, self._wake_end], [], [], max(0.0, seconds))
        if self._wake_end in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_end, 4096)
        return self._read() if self._in in ready else b""

    def _read(self) -> bytes:
        try:
            data = os.read(self._in, 4096)
        except OSError:
            data = b""
        if not data:
            raise EndedError(signal.SIGHUP)
        return data

    # Stopping and going on

    def suspend(self) -> None:
        """Stop, as Ctrl-Z asks, with the terminal as it was; returns when it goes on."""
        self._leave()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        try:
            os.kill(os.getpid(), signal.SIGTSTP)
        finally:
            signal.signal(signal.SIGTSTP, ours)
        self.noticed.discard(signal.SIGCONT)
        self._enter()

    def resume(self) -> None:
        """Take the terminal again: who stopped us without asking has changed it."""
        self._take()

    # Painting

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        columns, lines = os.get_terminal_size(self._out)
        return columns or 80, lines or 24

    def forget(self) -> None:
        """Paint all of the next screen: the size has changed."""
        self._painted = []

    def paint(self, lines: Sequence[Text]) -> None:
        """Write the lines that have changed, in one go."""
        texts = [self._coded(line) for line in lines]
        known = self._painted if len(self._painted) == len(texts) else []
        changes = [
            f"\x1b[{number};1H\x1b[0m{text}\x1b[0m\x1b[K"
            for number, text in enumerate(texts, 1)
            if not known or known[number - 1] != text
        ]
        if changes:
            clear = "" if known else "\x1b[2J"
            self._write(BEGIN + clear + "".join(changes) + END)
        self._painted = texts

    def _coded(self, line: Text) -> str:
        if self._console is None:
            from rich.console import Console

            self._console = Console(force_terminal=True, legacy_windows=False, highlight=False)
        with self._console.capture() as written:
            self._console.print(line, end="", no_wrap=True, crop=False, overflow="ignore")
        return str(written.get())

    def _write(self, text: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        if not encoding.lower().startswith("utf"):
            text = text.translate(PLAIN)
        data = text.encode(encoding, "replace")
        while data:
            data = data[os.write(self._out, data) :]


def _end(number: int, _frame: FrameType | None) -> None:
    # Once: what asks again while the terminal is given back is obeyed at once.
    for other in DEADLY:
        if signal.getsignal(other) is _end:
            signal.signal(other, signal.SIG_DFL)
    raise EndedError(number)
