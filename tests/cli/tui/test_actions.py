from __future__ import annotations

import json

import pytest

from phlows_cli.cli.tui.actions import ACTIONS, QUIT, TYPED_LIMIT, payload_of, press
from phlows_cli.cli.tui.keys import Key
from phlows_cli.cli.tui.legend import last_top
from phlows_cli.cli.tui.state import Deed
from phlows_cli.errors import UsageError
from tests.cli.tui.lively import event, lively


@pytest.fixture
def state():
    return lively()


def typed(state, *keys):
    """Press keys, each named or text; what the last one asked for."""
    asked = None
    for name in keys:
        is_text = len(name) > 1 and name not in ACTIONS and not name.startswith("ctrl-")
        is_named = name in ("enter", "escape", "backspace", "down", "up")
        for key in [name] if is_named or not is_text else name:
            asked = press(state, Key(key, key if len(key) == 1 else ""))
            state.settle()
    return asked


def index(state):
    state.settle()
    return state.index if state.selected else None


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        (("j",), 0),
        (("down", "j", "down"), 2),
        (("j", "j", "k"), 0),
        (("up",), 0),
        (("G",), -1),
        (("G", "up"), -2),
        (("G", "g"), 0),
        (("end", "down"), -1),
        (("pagedown",), "page"),
        (("pagedown", "pageup"), 0),
        (("j", "escape"), None),
    ],
)
def test_keys_move_the_selection(state, keys, at):
    typed(state, *keys)
    page = state.layout.table - 1
    last = len(state.rows)
    assert index(state) == (page if at == "page" else at if at is None or at >= 0 else last + at)


@pytest.mark.parametrize("key", ["j", "G", "pagedown", "enter", "d", "c", "k"])
def test_without_connections_nothing_is_selected(state, key):
    state.tick(2000.0, 0.0)
    state.apply_presence([], 1999.0)
    assert typed(state, key) is None
    assert (state.rows, state.selected, state.is_detail, state.question) == ([], None, False, None)


def test_the_screen_scrolls_with_the_selection(state):
    typed(state, "G")
    assert state.top == len(state.rows) - state.layout.table
    typed(state, "k")
    assert state.top == len(state.rows) - state.layout.table
    typed(state, "g")
    assert state.top == 0


def test_columns_are_sorted_in_turn_and_turned_round(state):
    assert state.order.column.name == "AGE"
    seen = []
    for _ in range(9):
        typed(state, "s")
        seen.append(state.order.column.name)
    assert seen == ["IN", "OUT", "LAST", "SOCKET", "TOKEN", "AGENT", "ADDRESS", "HOST", "AGE"]
    typed(state, "S")
    assert state.order.column.name == "HOST"
    first = state.rows[0].host
    typed(state, "r")
    assert state.rows[0].host != first


def test_the_host_is_no_column_where_there_is_one(state):
    state.apply_health({**state.health, "configured": ["shop.example.com"]})
    typed(state, "S")
    assert state.order.column.name == "ADDRESS"
    typed(state, "s")
    assert state.order.column.name == "AGE"


def test_a_search_narrows_as_it_is_typed(state):
    everyone = len(state.rows)
    typed(state, "/", "kiosk")
    some = len(state.rows)
    assert 0 < some < everyone
    typed(state, "enter")
    assert (state.typing, len(state.rows)) == (None, some)
    typed(state, "/", "x", "x", "x")
    assert state.rows == []
    typed(state, "escape")
    assert len(state.rows) == some
    typed(state, "escape")
    assert len(state.rows) == everyone


def test_what_is_typed_can_be_edited(state):
    typed(state, "/", "one two", "backspace", "ctrl-w")
    assert state.typing.text == "one "
    typed(state, "ctrl-u")
    assert state.typing.text == ""
    press(state, Key("paste", "a\x1b\tb\n漢"))
    assert state.typing.text == "a b漢"
    press(state, Key("paste", "x" * (TYPED_LIMIT + 1)))
    assert len(state.typing.text) == TYPED_LIMIT


def test_details_open_close_and_follow_the_selection(state):
    typed(state, "enter")
    assert (state.is_detail, index(state)) == (True, 0)
    typed(state, "j")
    assert (state.is_detail, index(state)) == (True, 1)
    typed(state, "escape")
    assert (state.is_detail, index(state)) == (False, 1)
    typed(state, "enter", "enter")
    assert not state.is_detail


def test_who_left_is_forgotten_when_the_details_are_closed(state):
    typed(state, "enter")
    left = state.selected
    state.apply_event(event("close", socket=left.socket, code=1000, reason=""))
    state.settle()
    assert typed(state, "d") is None
    assert state.message == f"{left.socket} has left"
    typed(state, "escape")
    assert state.selected is not left
    assert state.selected in state.rows


def test_p_and_space_pause_and_go_on(state):
    typed(state, "p")
    assert state.feed.is_paused
    typed(state, " ")
    assert not state.feed.is_paused


def test_q_leaves_except_where_it_is_text_or_an_answer(state):
    assert typed(state, "q") == QUIT
    assert typed(state, "/", "q") is None
    assert typed(state, "escape", "?", "q") is None
    assert typed(state, "j", "d", "q") is None
    assert typed(state, "q") == QUIT


def test_the_help_scrolls_and_goes(state):
    state.resize(40, 10)
    typed(state, "?", "down", "down", "up")
    assert (state.is_help, state.help_top) == (True, 1)
    typed(state, *["j"] * 50)
    assert state.help_top == last_top(state) > 1
    typed(state, "k")
    assert state.help_top == last_top(state) - 1
    typed(state, "escape")
    assert not state.is_help


# Disconnect and cast


def test_a_connection_is_disconnected_after_a_yes(state):
    typed(state, "j", "d")
    selected = state.selected
    assert typed(state, "x") is None
    assert typed(state, "y") == Deed(selected.host, selected.socket)
    assert state.question is None


@pytest.mark.parametrize("answer", ["n", "escape"])
def test_a_no_does_nothing(state, answer):
    typed(state, "j", "d")
    assert typed(state, answer) is None
    assert (state.question, state.message) == (None, "nothing was done")


def test_a_paste_is_no_answer_and_no_key(state):
    typed(state, "j", "d")
    assert press(state, Key("paste", "y")) is None
    assert state.question is not None
    typed(state, "n")
    assert press(state, Key("paste", "q")) is None


@pytest.mark.parametrize("key", ["d", "c"])
def test_something_must_be_selected(state, key):
    typed(state, key)
    assert (state.question, state.typing) == (None, None)
    assert state.message == "select a connection first, with the arrows"


def test_a_cast_goes_to_who_was_selected_when_it_was_begun(state):
    typed(state, "j", "c", "toast=Hello")
    to = state.selected
    state.select(5)
    typed(state, "enter")
    assert typed(state, "y") == Deed(to.host, to.socket, b'{"toast":"Hello"}')


def test_nothing_is_cast_to_who_left_while_it_was_typed(state):
    typed(state, "j", "c", "a=1")
    to = state.selected
    state.apply_event(event("close", socket=to.socket, code=1000, reason=""))
    typed(state, "enter")
    assert (state.question, state.message) == (None, f"{to.socket} has left")


def test_what_cannot_be_sent_is_said_and_can_be_mended(state):
    typed(state, "j", "c", "enter")
    assert "nothing to send" in state.typing.problem
    typed(state, "a", "enter")
    assert state.typing.problem == "'a' is neither key=text nor key:=json"
    typed(state, "=", "1", "enter")
    assert state.question.payload == b'{"a":"1"}'


@pytest.mark.parametrize(
    ("line", "payload"),
    [
        ("a=1 b:=2", {"a": "1", "b": 2}),
        ("toast='two words' c:='{\"d\":[1]}'", {"toast": "two words", "c": {"d": [1]}}),
        (' {"a": [1, {}]} ', {"a": [1, {}]}),
        ("[1, 2]", [1, 2]),
    ],
)
def test_a_payload_is_items_or_json(line, payload):
    assert json.loads(payload_of(line)) == payload


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "nothing to send"),
        ("{", "what is typed is not JSON"),
        ("a='", "no closing quotation"),
        ("a=1 a=2", "'a' is given twice"),
        ("a:=x", "a:= is not JSON"),
    ],
)
def test_what_is_no_payload_is_a_usage_error(line, said):
    with pytest.raises(UsageError, match=said):
        payload_of(line)


def test_unknown_keys_do_nothing(state):
    for name in ("z", "tab", "delete", "ctrl-x", "é"):
        assert press(state, Key(name, name if len(name) == 1 else "")) is None
    assert index(state) is None
