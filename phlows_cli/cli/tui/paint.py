"""The state as the lines of a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from phlows_cli.cli.tui import layout
from phlows_cli.cli.tui.actions import SEARCH
from phlows_cli.cli.tui.connection import shown
from phlows_cli.cli.tui.header import header
from phlows_cli.cli.tui.lines import BAD, QUIET, WARN, end_of, line, rule
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

HELP: Final = (
    ("arrows, j k", "select a connection"),
    ("PgUp PgDn g G", "a page on; the first, the last"),
    ("Enter", "its details and events; again: back"),
    ("s S, > <", "sort by the next column, the one before"),
    ("r", "reverse the order"),
    ("/", "search all columns; words narrow it down"),
    ("Esc", "back; end the search; select nothing"),
    ("p, Space", "stop the events, which wait; go on"),
    ("d", "disconnect the selected one, after a question"),
    ("c", 'cast to it: key=text key:=json or {"key": 1}'),
    ("q, Ctrl-C", "leave"),
    ("", ""),
    ("! in events", "a hook failed, timed out or found no room"),
    ("~ in events", "a slow hook"),
    ("? at a token", "not verified: a mere claim"),
)


def paint(state: State) -> list[Text]:
    """Paint the whole screen: as many lines as it has, none wider than it."""
    if state.layout.is_too_small:
        return _too_small(state)
    top = header(state)
    room = state.height - len(top) - 1
    return [*top, *_body(state, room)[:room], _footer(state)]


def _body(state: State, room: int) -> list[Text]:
    if state.is_help:
        return _help(state, room)
    if state.is_detail and state.selected is not None:
        return [*detail(state, state.selected), *events(state)]
    return [*connections(state), *events(state)]


def _help(state: State, room: int) -> list[Text]:
    top = max(0, min(state.help_top, len(HELP) - room + 1))
    rows = [line([(f"  {keys:<14} ", "bold"), what], state.width) for keys, what in HELP[top:]]
    blank = [line([], state.width)] * room
    return [rule(["keys"], state.width), *rows, *blank]


def _too_small(state: State) -> list[Text]:
    least = f"{layout.LEAST_WIDTH}x{layout.LEAST_HEIGHT}"
    words = (f"{state.width}x{state.height} is too small", f"it takes {least}", "q quits")
    blank = [line([], state.width)] * state.height
    return [*(line([row], state.width) for row in words), *blank][: state.height]


def _footer(state: State) -> Text:
    if state.question is not None:
        return line([(f" {state.question}? ", WARN), ("y/n", "bold")], state.width)
    if state.typing is not None:
        return _typed(state, state.typing)
    if state.message:
        return line(
            [(f" {shown(state.message)}", BAD if state.is_alarming else "bold")], state.width
        )
    if state.problem:
        return line([(f" {shown(state.problem)}", BAD)], state.width)
    parts: list[Part] = [" "]
    for key, what in KEYS:
        parts += [(key, "bold"), (f" {what}  ", QUIET)]
    return line(parts, state.width)


def _typed(state: State, typing: Typing) -> Text:
    if typing.problem:
        return line([(f" {shown(typing.problem)}", BAD)], state.width)
    label = " search: " if typing.purpose == SEARCH else " cast (key=text or JSON): "
    text = end_of(typing.text, state.width - len(label) - 1)
    return line([(label, "bold"), text, (" ", "reverse")], state.width)
