"""A terminal: messages in colour, above the line that is being typed."""

from __future__ import annotations

import os
import sys
from io import StringIO
from typing import TYPE_CHECKING, Final

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from phlows_cli.cli.dialogue.happenings import Message, Opened
from phlows_cli.cli.dialogue.screens import one_line, remark_of
from phlows_cli.cli.output import plural, visible
from phlows_cli.errors import PhlowsError

if TYPE_CHECKING:
    from phlows_cli.cli.dialogue.happenings import Happening

LONGEST: Final = 16384
"""Characters of one message that are shown; a pipe has all of it."""

MOST_ROWS: Final = 400
_INCOMING: Final = "< "
_MORE: Final = "  "
# Save the cursor, make room below, go back, push the typed row down, print, restore, go down:
# readline, which knows nothing of it, finds its row as it left it.
_ABOVE: Final = "\x1b7\n\x1b[A\r\x1b[L{row}\x1b8\x1b[B"


class Terminal:
    """Shows what happens to a person.

    Args:
        is_typed_at: whether there is a line that must stay the last one.
        is_verbose: pings, too, are told of.
    """

    def __init__(self, *, is_typed_at: bool, is_verbose: bool) -> None:
        self._is_typed_at = is_typed_at
        self._is_verbose = is_verbose
        self._is_plain = "NO_COLOR" in os.environ

    def show(self, one: Happening) -> None:
        """Show a message, or remark on another thing."""
        if isinstance(one, Message):
            self._put(self._rows(one.content))
        elif isinstance(one, Opened) and self._is_typed_at:
            self.remark(f"connected to {one.url} at {one.address}; /help shows what can be typed")
        else:
            told = remark_of(one, is_verbose=self._is_verbose)
            if told:
                self.remark(told)

    def remark(self, text: str) -> None:
        """Say something that is no message."""
        self._put([f"{_MORE}{row}" for row in self._printed(Text(visible(text), style="dim"))])

    def _rows(self, content: str | bytes) -> list[str]:
        rows = self._printed(self._painted(content))
        return [f"{_MORE if index else _INCOMING}{row}" for index, row in enumerate(rows)]

    def _painted(self, content: str | bytes) -> Text:
        if isinstance(content, bytes):
            return Text(f"a binary message of {plural(len(content), 'byte')}", style="dim")
        raw = one_line(content)
        if raw is None:
            return Text("\n".join(map(visible, _cut(content).split("\n"))))
        text = _shaped(raw, _width())
        painted = Text("\n".join(map(visible, _cut(text).split("\n"))))
        JSONHighlighter().highlight(painted)
        return painted

    def _printed(self, text: Text) -> list[str]:
        """Lay a text out in rows that the terminal does not break again."""
        # NO_COLOR of rich keeps bold and dim; here it is plain text.
        console = Console(
            file=StringIO(),
            width=_width(),
            force_terminal=not self._is_plain,
            color_system=None if self._is_plain else "auto",
            markup=False,
            emoji=False,
        )
        with console.capture() as captured:
            console.print(text, overflow="fold", crop=False)
        rows = captured.get().removesuffix("\n").split("\n")
        left = len(rows) - MOST_ROWS
        return rows if left <= 0 else [*rows[:MOST_ROWS], f"... and {plural(left, 'row')} more"]

    def _put(self, rows: list[str]) -> None:
        form = _ABOVE if self._is_typed_at else "{row}\n"
        data = "".join(form.format(row=row) for row in rows).encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(sys.stdout.fileno(), data) :]
        except OSError as error:
            raise PhlowsError(f"cannot write to the terminal: {error.strerror}") from None


def _cut(text: str) -> str:
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]}\n... and {plural(left, 'character')} more"


def _shaped(raw: bytes, width: int) -> str:
    """JSON in one row where it fits, else indented; a huge one stays as it is."""
    if len(raw) > 4 * LONGEST or len(raw) <= width:
        return raw.decode()
    return msgspec.json.format(raw, indent=2).decode()


def _width() -> int:
    """Columns for a text beside its mark; the last column is left to the cursor."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        columns = 80
    return max(columns - len(_INCOMING) - 1, 20)
