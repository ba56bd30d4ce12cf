"""A screen as an SVG: for documents, where no terminal is."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from rich.console import Console

from phlows_cli.cli.tui.paint import paint

if TYPE_CHECKING:
    from phlows_cli.cli.tui.state import State

FONTS: Final = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"


def svg(state: State, title: str) -> str:
    """Draw the screen; nothing in it is loaded from elsewhere.

    Args:
        state: settled, as it would be painted.
        title: of the drawn window.
    """
    console = Console(
        record=True, width=state.width, file=io.StringIO(), force_terminal=True, highlight=False
    )
    for line in paint(state):
        console.print(line, end="\n", no_wrap=True, crop=False)
    drawn = console.export_svg(title=title, unique_id="phlows")
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"font-family: Fira Code[^;]*;", f"font-family: {FONTS};", drawn)
    return "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"
