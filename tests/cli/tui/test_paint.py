from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from phlows_cli.cli.tui.actions import press
from phlows_cli.cli.tui.columns import fit
from phlows_cli.cli.tui.keys import Key
from phlows_cli.cli.tui.legend import rows
from phlows_cli.cli.tui.lines import cut, end_of
from phlows_cli.cli.tui.paint import paint
from phlows_cli.cli.tui.state import State
from tests.cli.tui.lively import HEALTH, ROWS, SHOP, event, hook, ids, lively, many, row

SIZES = [(80, 24), (120, 40), (200, 50), (40, 10), (30, 8)]
TINY = [(29, 8), (30, 7), (20, 5), (5, 1), (1, 1)]


def painted(state):
    """The lines of the screen, which fit it exactly."""
    state.settle()
    lines = paint(state)
    assert len(lines) == state.height
    for line in lines:
        assert line.cell_len <= state.width, line.plain
        assert "\n" not in line.plain
    return [line.plain for line in lines]


def keys(state, *names):
    for name in names:
        press(state, Key(name, name if len(name) == 1 else ""))
    return state


VIEWS = {
    "table": (),
    "selected": ("down", "down"),
    "searched": ("/", "k", "i"),
    "detail": ("enter",),
    "help": ("?",),
    "question": ("down", "d"),
    "typing": ("down", "c", *"toast=" + "x" * 300),
    "problem": ("down", "c", "x", "enter"),
    "paused": ("p",),
}


@pytest.mark.parametrize("size", SIZES + TINY)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_every_screen(size, view):
    state = keys(lively(*size), *VIEWS[view])
    painted(state)
    state.apply_link("no broker answers at http://127.0.0.1:3001 " + "x" * 200)
    painted(state)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 10)])
def test_an_empty_broker_and_one_that_told_nothing_yet_fit(size):
    painted(State("http://127.0.0.1:3001", width=size[0], height=size[1], now=1.0))
    state = State("u", width=size[0], height=size[1], health={"hosts": {}}, now=1.0)
    assert any("no hosts" in line for line in painted(state)) == (size[1] > 12)


def test_it_says_how_large_it_must_be():
    assert [line.strip() for line in painted(lively(29, 7))[:3]] == [
        "29x7 is too small",
        "it takes 30x8",
        "q quits",
    ]


def test_at_80_by_24_all_that_was_asked_for_is_there():
    screen = painted(lively())
    assert screen[0].startswith(" phlows 0.1.0  http://127.0.0.1:3001  up 2 d 4 h")
    assert screen[0].endswith("● connected ")
    assert "events/s" in screen[1]
    assert "deliveries/s" in screen[1]
    assert "deliveries/s  4/8 busy  2 queued" in screen[1]
    assert screen[2].startswith(" shop.example.com")
    assert "34 sockets" in screen[2], "as many as the table has, not as /health last said"
    assert "app.php    3 busy     2 queued" in screen[2]
    assert screen[4].startswith("─ 41 connections  1-10 ──")
    assert screen[5].split() == ["SOCKET", "TOKEN", "AGENT", "ADDRESS", "AGE▲", "IN", "OUT", "LAST"]
    assert screen[16].startswith("─ events ──")
    assert screen[23].startswith(" ? help  q quit")


def test_wide_screens_show_ids_whole_and_hosts():
    screen = painted(lively(200, 50))
    head = next(line for line in screen if "SOCKET" in line)
    assert "HOST" in head
    assert any(ROWS[0]["socket"] in line and "Firefox 145 / Windows" in line for line in screen)


def line_of(state, happened):
    state.apply_event(happened)
    state.settle()
    return next(line for line in reversed(paint(state)[:-1]) if line.plain.strip())


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"outcome": "failed"}, "!"),
        ({"outcome": "timeout"}, "!"),
        ({"outcome": "overloaded"}, "!"),
        ({"outcome": "refused"}, " "),
        ({"ms": 500.0}, "~"),
        ({"ms": 499.0}, " "),
    ],
)
def test_failed_and_slow_hooks_stand_out_without_colours(changes, mark):
    line = line_of(lively(), hook(ROWS[0], **changes))
    assert line.plain[0] == mark
    assert any("bold" in str(span.style) for span in line.spans) == (mark != " ")


def test_slow_is_what_was_asked_for():
    assert line_of(lively(slow=50.0), hook(ROWS[0], ms=60.0)).plain[0] == "~"


def test_lost_events_stand_out():
    assert line_of(lively(), event("lost", count=3)).plain.startswith("! ")


def test_what_is_wrong_is_above_the_hosts():
    state = lively()
    worse = {"problems": {SHOP: "exit code 1"}, "dropped": {"slow consumer": 3}}
    state.apply_health({**HEALTH, **worse})
    screen = painted(state)
    assert "3 dropped" in screen[1]
    assert screen[2].strip() == f"! {SHOP}: exit code 1"
    assert screen[3].strip() == "! dropped: slow consumer 3"[: state.width] or "more" in screen[3]


def test_hosts_that_do_not_fit_are_counted():
    state = lively(80, 24)
    state.apply_health({**HEALTH, "configured": [f"h{n}.test" for n in range(30)]})
    screen = painted(state)
    assert any(line.strip() == "and 30 more" for line in screen)


def test_a_loss_of_the_broker_is_in_the_first_line_and_the_reason_in_the_last():
    state = lively()
    state.apply_link("connection refused")
    state.tick(state.now + 4, state.clock)
    screen = painted(state)
    assert "gone for 4 s, reconnecting" in screen[0]
    assert "connected" not in screen[0].replace("reconnecting", "")
    assert screen[-1].strip() == "connection refused"


def test_numbers_of_a_broker_that_is_gone_are_marked_and_until_then_are_those_of_the_table():
    one = row(1, authenticated=True)
    state = State("u", width=120, height=24, now=1.0)
    told = {"hosts": {SHOP: {"tokens": 2, "sockets": 2}}, "pools": {"a": {}}}
    state.apply_health({**HEALTH, **told, "configured": [SHOP]})
    state.apply_presence([one], 1.0)
    counts = ["1", "socket", "1", "token", "a", "0", "workers"]
    assert painted(state)[2].split()[1:8] == counts
    state.apply_link("gone")
    screen = painted(state)
    counts = ["1?", "socket", "1?", "token", "a", "0?", "workers", "0?", "busy"]
    assert screen[2].split()[1:10] == counts
    assert "0?/8 busy  0? queued" in screen[1]
    assert screen[3].startswith("─ 1? connection ")


def test_an_error_that_is_longer_than_the_line_is_told_whole():
    why = "no broker answers at http://127.0.0.1:3001 (connection refused): start it with"
    why += " `phlows serve`, or name another with --url"
    for size in ((80, 24), (120, 40), (40, 16)):
        state = lively(*size)
        state.apply_link(why)
        assert why in " ".join(line.strip() for line in painted(state))


def test_the_keys_fit_a_narrow_screen_and_the_help_says_how_to_read_on():
    assert painted(lively(40, 10))[-1].strip() == "? help  q quit  ↑↓ select"
    state = keys(lively(40, 10), "?")
    count = len(rows(40))
    seen = []
    for _ in range(count):
        *_, last = screen = painted(state)
        assert last.strip().startswith("↑↓ scroll  other keys back  ")
        seen += [line.strip() for line in screen if line.strip() not in seen]
        keys(state, "down")
    assert painted(state)[-1].strip().endswith(f"-{count} of {count}")
    for names, words in rows(40):
        assert " ".join(f"{names:<14} {words}".split()) in [" ".join(one.split()) for one in seen]
    assert painted(keys(lively(80, 24), "?"))[-1].strip() == "any key back"


def test_details_show_all_that_is_known_and_its_events():
    state = lively(120, 40)
    state.apply_event(hook(ROWS[0], outcome="failed", reason="exit code 9"))
    state.select(next(i for i, c in enumerate(state.rows) if c.socket == ROWS[0]["socket"]))
    state.is_detail = True
    text = "\n".join(painted(state))
    counts = f"{state.selected.received} in, {state.selected.sent} out"
    for known in (ROWS[0]["token"], ROWS[0]["agent"], ROWS[0]["address"], counts):
        assert known in text
    assert "receive failed in 3.4 ms: exit code 9" in text
    assert "its events" in text


def test_what_a_broker_answers_does_not_steer_the_terminal():
    state = lively()
    state.say("no\x1b[2J\r\n", is_alarming=True)
    assert painted(state)[-1].strip() == r"no\x1b[2J\r\n"
    state.say("")
    state.apply_link("gone\x07")
    assert painted(state)[-1].strip() == r"gone\x07"


def test_a_pause_tells_how_many_wait():
    state = keys(lively(), "p")
    state.apply_event(hook(ROWS[0]))
    assert any("paused: 1 event waiting" in line for line in painted(state))


def test_the_question_names_what_will_be_done():
    state = keys(lively(), "down", "d")
    assert painted(state)[-1].strip() == f"disconnect {state.selected.socket}? y/n"


WIDE = [
    "漢字漢字漢字漢字漢字漢字漢字漢字",
    "👨‍👩‍👧 family",
    "e\u0301" * 40,
    "\u202eright to left",
    "ﷺ" * 20,
]


@pytest.mark.parametrize("agent", WIDE)
@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
def test_wide_and_strange_characters_stay_within_their_column(agent, size):
    state = lively(*size)
    state.apply_presence([row(1, agent=agent, address=agent), *ROWS[1:]], 1000.5)
    state.apply_event(event("open", **ids(ROWS[0]), address=agent, agent=agent))
    painted(state)
    painted(keys(state, "down", "enter"))


def test_only_the_rows_in_sight_are_painted(monkeypatch):
    from phlows_cli.cli.tui import panes

    cells = []
    monkeypatch.setattr(panes, "_row", lambda *args: cells.append(args) or panes.line([], 80))
    state = many(10_000)
    state.select(9_000)
    painted(state)
    assert len(cells) == state.layout.table


@given(st.integers(1, 220), st.booleans())
def test_columns_with_their_spaces_are_never_wider_than_the_row(width, with_host):
    columns = fit(width, with_host=with_host)
    assert columns[0][0].name == "SOCKET"
    assert sum(size + 1 for _, size in columns) - 1 <= width


@settings(max_examples=50)
@given(st.text(max_size=40), st.integers(0, 30))
def test_cut_text_is_as_wide_as_it_was_asked_for(text, width):
    assert cell_len(cut(text, width)) == width
    assert cell_len(end_of(text, width)) <= width
