"""Single lines of text, exactly as wide as they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    Part = str | tuple[str, str]

QUIET: Final = "dim"
GOOD: Final = "green"
WARN: Final = "bold yellow"
BAD: Final = "bold red"


def cut(text: str, width: int, *, is_number: bool = False) -> str:
    """Make text exactly `width` cells wide; what is cut off leaves a mark."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    space = " " * (width - size)
    return space + text if is_number else text + space


def end_of(text: str, width: int) -> str:
    """Keep the end of a text that is too long, with a mark before it."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return "…" + text if width > 0 else ""


def line(parts: Iterable[Part], width: int, style: str = "") -> Text:
    """Join parts, each with a style or without, into a line of `width` cells."""
    text = Text(style=style, no_wrap=True, end="")
    for part in parts:
        text.append(*((part, None) if isinstance(part, str) else part))
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def two_ends(left: Iterable[Part], right: Part, width: int, style: str = "") -> Text:
    """Put one part at the right end of a line; it is never cut in favour of the others."""
    last = right if isinstance(right, str) else right[0]
    free = width - cell_len(last)
    if free < 2:
        return line([right], width, style)
    text = line(left, free, style)
    text.append(*((right, None) if isinstance(right, str) else right))
    return text


def rule(title: Iterable[Part], width: int) -> Text:
    """Draw a line with a title in it."""
    text = Text("─ ", style=QUIET, no_wrap=True, end="")
    for part in title:
        text.append(
            *((part, "not dim") if isinstance(part, str) else (part[0], f"not dim {part[1]}"))
        )
    text.append(" " + "─" * width)
    text.truncate(width, overflow="crop")
    return text
