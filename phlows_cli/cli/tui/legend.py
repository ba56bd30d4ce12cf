"""The keys and what they do, as wide as the screen is, and how far that scrolls."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.tui.lines import QUIET, line, rule

if TYPE_CHECKING:
    from rich.text import Text

    from phlows_cli.cli.tui.lines import Part
    from phlows_cli.cli.tui.state import State

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
MARGIN: Final = 2
NAMES: Final = 14
"""Cells of the keys, beside which the words are wrapped."""

AROUND: Final = 4
"""Lines that are there besides the hosts: two above, a title, the line of keys."""


def rows(width: int) -> list[tuple[str, str]]:
    """The keys with words that fit beside them; a further line has no key."""
    room = max(1, width - MARGIN - NAMES - 1)
    return [
        (keys if number == 0 else "", part)
        for keys, what in HELP
        for number, part in enumerate(textwrap.wrap(what, room) or [""])
    ]


def last_top(state: State) -> int:
    """The furthest that it can be scrolled: its end is in sight then."""
    return max(0, len(rows(state.width)) - _room(state))


def _room(state: State) -> int:
    return max(1, state.height - AROUND - state.layout.hosts)


def body(state: State, room: int) -> list[Text]:
    """Paint the title, and the keys that are in sight."""
    top = min(state.help_top, last_top(state))
    painted = [
        line([(f"{'':{MARGIN}}{keys:<{NAMES}} ", "bold"), what], state.width)
        for keys, what in rows(state.width)[top:]
    ]
    return [rule(["keys"], state.width), *painted, *[line([], state.width)] * room]


def footer(state: State) -> Text:
    """Say how to go on reading, and how to leave."""
    count, room = len(rows(state.width)), _room(state)
    if count <= room:
        return line([" ", ("any key", "bold"), " back"], state.width)
    top = min(state.help_top, last_top(state))
    place = f"  {top + 1}-{top + room} of {count}"
    keys: list[Part] = [("↑↓", "bold"), " scroll  ", ("other keys", "bold"), " back"]
    return line([" ", *keys, (place, QUIET)], state.width)
