"""The state as the lines of a screen."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.tui import layout, legend
from phlows_cli.cli.tui.actions import SEARCH
from phlows_cli.cli.tui.connection import shown
from phlows_cli.cli.tui.header import header
from phlows_cli.cli.tui.lines import BAD, QUIET, WARN, end_of, line
from phlows_cli.cli.tui.panes import connections, detail, events

if TYPE_CHECKING:
    from rich.text import Text

    from phlows_cli.cli.tui.lines import Part
    from phlows_cli.cli.tui.state import State, Typing

KEYS: Final = (
    ("?", "help"),
    ("q", "quit"),
    ("↑↓", "select"),
    ("Enter", "details"),
    ("/", "search"),
    ("s", "sort"),
    ("r", "reverse"),
    ("p", "pause"),
    ("d", "disconnect"),
    ("c", "cast"),
)

PROBLEM_LINES: Final = 4
"""Lines at most in which the last line's text is told, where it needs more than one."""


def paint(state: State) -> list[Text]:
    """Paint the whole screen: as many lines as it has, none wider than it."""
    if state.layout.is_too_small:
        return _too_small(state)
    top = header(state)
    last = _footer(state)
    room = state.height - len(top) - 1
    return [*top, *_body(state, room)[: room + 1 - len(last)], *last]


def _body(state: State, room: int) -> list[Text]:
    if state.is_help:
        return legend.body(state, room)
    if state.is_detail and state.selected is not None:
        return [*detail(state, state.selected), *events(state)]
    return [*connections(state), *events(state)]


def _too_small(state: State) -> list[Text]:
    least = f"{layout.LEAST_WIDTH}x{layout.LEAST_HEIGHT}"
    words = (f"{state.width}x{state.height} is too small", f"it takes {least}", "q quits")
    blank = [line([], state.width)] * state.height
    return [*(line([row], state.width) for row in words), *blank][: state.height]


def _footer(state: State) -> list[Text]:
    if state.question is not None:
        return [line([(f" {state.question}? ", WARN), ("y/n", "bold")], state.width)]
    if state.typing is not None:
        return [_typed(state, state.typing)]
    if state.message:
        return _told(state, state.message, BAD if state.is_alarming else "bold")
    if state.is_help:
        return [legend.footer(state)]
    if state.problem:
        return _told(state, state.problem, BAD)
    return [_keys(state)]


def _told(state: State, text: str, style: str) -> list[Text]:
    """Tell all of a text: what needs more than a line covers the lines above."""
    most = max(1, min(PROBLEM_LINES, state.height // 4))
    parts = wrap(shown(text), state.width - 1, max_lines=most, placeholder=" …")
    return [line([(f" {part}", style)], state.width) for part in parts]


def _keys(state: State) -> Text:
    """The keys that fit, each with its word."""
    parts: list[Part] = [" "]
    left = state.width - 1
    for key, what in KEYS:
        left -= len(key) + len(what) + 3
        if left < -2:  # the last one needs no space behind it
            break
        parts += [(key, "bold"), (f" {what}  ", QUIET)]
    return line(parts, state.width)


def _typed(state: State, typing: Typing) -> Text:
    if typing.problem:
        return line([(f" {shown(typing.problem)}", BAD)], state.width)
    label = " search: " if typing.purpose == SEARCH else " cast (key=text or JSON): "
    text = end_of(typing.text, state.width - len(label) - 1)
    return line([(label, "bold"), text, (" ", "reverse")], state.width)
