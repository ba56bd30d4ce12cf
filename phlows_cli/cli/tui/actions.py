"""What each key does to the state; what is to be done outside is returned."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.items import merge, parse_items, parse_json
from phlows_cli.cli.tui.columns import COLUMNS
from phlows_cli.cli.tui.legend import last_top
from phlows_cli.cli.tui.state import Deed, State, Typing
from phlows_cli.errors import PhlowsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.tui.connection import Connection
    from phlows_cli.cli.tui.keys import Key

QUIT: Final = "quit"
TYPED_LIMIT: Final = 65536
"""Characters of a typed line; a message is no longer by default."""

SEARCH, CAST = "search", "cast"


def press(state: State, key: Key) -> Deed | str | None:
    """Do what a key means here.

    Returns:
        QUIT, or what the person has said yes to; None for all else.
    """
    if state.question is not None:
        return _answer(state, key)
    if state.typing is not None:
        _type(state, state.typing, key)
        return None
    state.say("")
    if state.is_help:
        _read_help(state, key)
    elif key.name == "q":
        return QUIT
    elif key.name in ACTIONS:
        ACTIONS[key.name](state)
    return None


# A question, and a line that is typed


def _answer(state: State, key: Key) -> Deed | None:
    deed = state.question
    if key.name in ("y", "Y"):
        state.question = None
        state.say(f"{deed} ...")
        return deed
    if key.name in ("n", "N", "escape", "q"):
        state.question = None
        state.say("nothing was done")
    return None


def _type(state: State, typing: Typing, key: Key) -> None:
    typing.problem = ""
    if key.name == "escape":
        _cancel(state, typing)
    elif key.name == "enter":
        _finish(state, typing)
    else:
        typing.text = _edited(typing.text, key)
    if typing.purpose == SEARCH and state.order.search != typing.text and state.typing:
        _search(state, typing.text)


def _edited(text: str, key: Key) -> str:
    if key.name == "backspace":
        return text[:-1]
    if key.name == "ctrl-u":
        return ""
    if key.name == "ctrl-w":
        return re.sub(r"\S*\s*$", "", text)
    added = "".join(c for c in key.text.replace("\t", " ") if c.isprintable())
    return (text + added)[:TYPED_LIMIT]


def _cancel(state: State, typing: Typing) -> None:
    state.typing = None
    if typing.purpose == SEARCH:
        _search(state, typing.before)


def _finish(state: State, typing: Typing) -> None:
    if typing.purpose == SEARCH:
        state.typing = None
        return
    try:
        payload = payload_of(typing.text)
    except PhlowsError as error:
        typing.problem = str(error)
        return
    state.typing = None
    _ask(state, typing.to, payload)


def payload_of(line: str) -> bytes:
    """Read what is to be cast: an object or array, else items as a shell splits them.

    Raises:
        UsageError: it is neither.
    """
    line = line.strip()
    if not line:
        raise UsageError('nothing to send: type key=text, key:=json or {"key": "value"}')
    if line[0] in "{[":
        payload = line.encode()
        parse_json(payload, "what is typed")
        return payload
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{line!r}: {str(error).lower()}") from None
    return merge(None, parse_items(words))


def _search(state: State, text: str) -> None:
    state.order.search = text
    state.sort()


# Moving and looking


def _move(count: int) -> Callable[[State], None]:
    def move(state: State) -> None:
        # The first move selects what is marked by its place alone until then.
        state.select(state.index + count if state.selected else max(0, count - 1))

    return move


def _page(pages: int) -> Callable[[State], None]:
    def move(state: State) -> None:
        state.select(state.index + pages * max(1, state.layout.table - 1))

    return move


def _next_column(step: int) -> Callable[[State], None]:
    def change(state: State) -> None:
        columns = [c for c in COLUMNS if state.has_hosts or c.name != "HOST"]
        at = columns.index(state.order.column) if state.order.column in columns else 0
        state.order.column = columns[(at + step) % len(columns)]
        state.sort()

    return change


def _reverse(state: State) -> None:
    state.order.is_reversed = not state.order.is_reversed
    state.sort()


def _open(state: State) -> None:
    if state.selected is None:
        state.select(state.index)
    state.is_detail = not state.is_detail and state.selected is not None
    if not state.is_detail:
        _leave_gone(state)


def _back(state: State) -> None:
    """Close what is open, else end the search, else select nothing."""
    if state.is_detail:
        state.is_detail = False
        _leave_gone(state)
    elif state.order.search:
        _search(state, "")
    else:
        state.selected = None


def _leave_gone(state: State) -> None:
    if state.selected is not None and state.selected.left:
        state.select(state.index)


def _start_search(state: State) -> None:
    state.typing = Typing(SEARCH, state.order.search, before=state.order.search)


def _pause(state: State) -> None:
    state.feed.pause()


def _show_help(state: State) -> None:
    state.is_help, state.help_top = True, 0


def _read_help(state: State, key: Key) -> None:
    steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 5, "pageup": -5}
    if key.name in steps:
        state.help_top = max(0, min(state.help_top + steps[key.name], last_top(state)))
    else:
        state.is_help = False


# Doing something to a connection


def _disconnect(state: State) -> None:
    _ask(state, state.selected, None)


def _start_cast(state: State) -> None:
    if _is_there(state, state.selected):
        state.typing = Typing(CAST, to=state.selected)


def _ask(state: State, to: Connection | None, payload: bytes | None) -> None:
    if _is_there(state, to) and to is not None:
        state.question = Deed(to.host, to.socket, payload)


def _is_there(state: State, connection: Connection | None) -> bool:
    if connection is None:
        state.say("select a connection first, with the arrows")
    elif connection.left:
        state.say(f"{connection.socket} has left")
    return connection is not None and not connection.left


ACTIONS: Final[dict[str, Callable[[State], None]]] = {
    **dict.fromkeys(("down", "j"), _move(1)),
    **dict.fromkeys(("up", "k"), _move(-1)),
    **dict.fromkeys(("pagedown", "ctrl-f"), _page(1)),
    **dict.fromkeys(("pageup", "ctrl-b"), _page(-1)),
    **dict.fromkeys(("home", "g"), lambda state: state.select(0)),
    **dict.fromkeys(("end", "G"), lambda state: state.select(len(state.rows) - 1)),
    **dict.fromkeys(("s", ">", "right"), _next_column(1)),
    **dict.fromkeys(("S", "<", "left"), _next_column(-1)),
    "r": _reverse,
    "enter": _open,
    "escape": _back,
    "/": _start_search,
    **dict.fromkeys(("p", " "), _pause),
    **dict.fromkeys(("?", "h"), _show_help),
    "d": _disconnect,
    "c": _start_cast,
}
