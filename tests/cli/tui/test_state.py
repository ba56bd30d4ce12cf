from __future__ import annotations

import pytest

from phlows_cli.cli.event_filter import EventFilter
from phlows_cli.cli.tui import feed as feed_module
from phlows_cli.cli.tui.columns import BY_NAME, short_age, short_count
from phlows_cli.cli.tui.state import State
from phlows_cli.model import token_hash
from tests.cli.tui.lively import HEALTH, ROWS, event, hook, ids, lively, many, row

ONE, TWO, THREE = ROWS[0], ROWS[1], ROWS[2]


@pytest.fixture
def state():
    state = State("http://127.0.0.1:3001")
    state.tick(10.0, ONE["since"] + 5)
    return state


def sockets(state):
    state.settle()
    return {connection.socket for connection in state.rows}


# Who is there


def test_presence_brings_and_takes_connections(state):
    state.apply_presence([ONE, TWO], 9.0)
    assert sockets(state) == {ONE["socket"], TWO["socket"]}
    state.tick(12.0, 0.0)
    state.apply_presence([TWO, THREE], 11.0)
    assert sockets(state) == {TWO["socket"], THREE["socket"]}


def test_events_bring_and_take_connections_at_once(state):
    opened = event("open", **ids(ONE), address="192.0.2.1", agent="a")
    state.apply_event(opened)
    assert sockets(state) == {ONE["socket"]}
    state.apply_event(event("close", **ids(ONE), code=1000, reason=""))
    assert sockets(state) == set()


def test_a_socket_that_opened_after_presence_was_asked_for_stays(state):
    state.apply_event(event("open", **ids(ONE), address="", agent=""))
    state.apply_presence([TWO], 9.0)
    assert sockets(state) == {ONE["socket"], TWO["socket"]}


def test_a_socket_that_left_after_presence_was_asked_for_does_not_come_back(state):
    state.apply_presence([ONE], 9.0)
    state.apply_event(event("close", **ids(ONE), code=1000, reason=""))
    state.apply_presence([ONE], 9.5)
    assert sockets(state) == set()
    state.apply_presence([], 11.0)
    assert state.connections._left == {}


def test_counts_go_on_between_two_answers_of_presence(state):
    state.apply_presence([row(1, **{"in": 7, "out": 2})], 9.0)
    state.apply_event(event("receive", **ids(ONE), bytes=12))
    (connection,) = state.rows
    assert (connection.received, connection.sent, connection.last) == (8, 2, "receive 12 bytes")
    state.apply_presence([row(1, **{"in": 30, "out": 4})], 9.5)
    assert (connection.received, connection.sent) == (30, 4)


def test_a_token_is_a_claim_until_it_is_authenticated(state):
    state.apply_event(event("open", **ids(ONE), address="", agent=""))
    connection = state.connections.find(ONE["socket"])
    assert connection.short_token == ONE["token"][:12] + "?"
    state.apply_event(event("auth", **ids(ONE)))
    assert connection.short_token == ONE["token"][:12]


@pytest.mark.parametrize("token", [token_hash(""), token_hash("")[:12], ""])
def test_no_token_is_told_as_none(state, token):
    state.apply_presence([row(1, token=token)], 9.0)
    assert state.rows[0].short_token == "none"


def test_what_a_client_says_of_itself_does_not_steer_the_terminal(state):
    state.apply_presence([row(1, agent="a\x1b[2J\tb\u202e", address="\x07")], 9.0)
    (connection,) = state.rows
    assert connection.agent == "a\\x1b[2J b\\u202e"
    assert connection.address == "\\x07"


def test_events_about_nobody_who_is_known_change_no_connection(state):
    for happened in (hook(ONE), event("cast", target=["all"]), event("lost", count=3)):
        state.apply_event(happened)
    assert sockets(state) == set()


# Order, search and selection


@pytest.mark.parametrize("name", BY_NAME)
def test_every_column_sorts_both_ways(name):
    state = lively()
    state.order.column = BY_NAME[name]
    state.sort()
    keys = [BY_NAME[name].sort_key(connection) for connection in state.rows]
    assert keys == sorted(keys)
    state.order.is_reversed = True
    state.sort()
    assert [BY_NAME[name].sort_key(c) for c in state.rows] == sorted(keys, reverse=True)


@pytest.mark.parametrize(
    ("search", "found"),
    [("kiosk", "kiosk/7.2"), ("LINUX chrome", "Chrome 142 / Linux"), ("113.7", "kiosk/7.2")],
)
def test_the_search_looks_at_all_columns_for_every_word(search, found):
    state = lively()
    state.order.search = search
    state.sort()
    assert {connection.browser for connection in state.rows} == {found}
    assert 0 < len(state.rows) < len(ROWS)


def test_the_selection_stays_with_its_socket_when_rows_move():
    state = lively()
    state.select(3)
    selected = state.selected
    state.order.is_reversed = True
    state.sort()
    assert state.selected is selected
    assert state.rows[state.index] is selected
    state.settle()
    assert state.top <= state.index < state.top + state.layout.table


def test_the_next_one_is_selected_when_the_selected_one_leaves():
    state = lively()
    state.select(3)
    left, following = state.rows[3], state.rows[4]
    state.apply_event(event("close", socket=left.socket, code=1000, reason=""))
    state.settle()
    assert state.selected is following


def test_details_stay_open_when_their_connection_leaves():
    state = lively()
    state.select(3)
    state.is_detail, left = True, state.rows[3]
    state.apply_event(event("close", socket=left.socket, code=1001, reason="going"))
    state.settle()
    assert (state.selected, left.left) == (left, "close 1001: going")


def test_ten_thousand_are_sorted_by_presence_and_not_by_each_event():
    state = many(10_000)
    first, sorted_rows = state.rows[0], list(state.rows)
    state.apply_event(event("open", socket="new", token="", address="", agent=""))
    state.apply_event(event("close", socket=first.socket, code=1000, reason=""))
    state.settle()
    assert state.rows == sorted_rows[1:]
    state.apply_presence([row(n, socket=f"{n:016x}") for n in range(10_001)], 1002.0)
    assert len(state.rows) == 10_001


# Events


def test_events_wait_while_it_is_paused():
    state = State("u", EventFilter(failed=True))
    state.feed.pause()
    for ms in range(3):
        state.apply_event(hook(ONE, ms=ms, outcome="failed"))
        state.apply_event(hook(ONE, ms=ms))
    assert (len(state.feed.shown), state.feed.waited) == (0, 6)
    state.feed.pause()
    assert [happened["ms"] for happened in state.feed.shown] == [0, 1, 2]
    assert state.feed.waited == 0
    assert [happened["ms"] for happened in state.feed.of_socket(ONE["socket"], 3)] == [1, 2, 2]


def test_what_waits_is_bounded_and_the_rest_is_counted():
    state = State("u")
    state.feed.pause()
    for _ in range(feed_module.WAITING + 3):
        state.apply_event(hook(ONE))
    assert (state.feed.waited, state.feed.forgotten) == (feed_module.WAITING + 3, 3)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (EventFilter(), True),
        (EventFilter(socket=ONE["socket"]), True),
        (EventFilter(socket="other"), False),
        (EventFilter(token=ONE["token"]), True),
        (EventFilter(token=ONE["token"][:12], type="hook"), True),
        (EventFilter(type="cast"), False),
        (EventFilter(slow=3.4), True),
        (EventFilter(slow=3.5), False),
        (EventFilter(failed=True), False),
    ],
)
def test_filters_choose_events(wanted, passes):
    assert wanted.passes(hook(ONE)) == passes
    assert wanted.passes(event("lost", count=1))


def test_rates_are_of_the_last_whole_seconds(state):
    for second in range(10):
        state.tick(100.0 + second, 0.0)
        for _ in range(10):
            state.apply_event(event("cast", target=["all"], sent=4))
    state.tick(110.0, 0.0)
    assert state.rates.per_second(110.0) == (10.0, 10.0, 40.0, False)
    state.apply_event(event("lost", count=45))
    assert state.rates.per_second(111.0) == (17.0, 8.0, 32.0, True)
    assert state.rates.per_second(130.0) == (0.0, 0.0, 0.0, False)


def test_the_time_of_a_loss_is_that_of_the_first_failure(state):
    state.apply_link("gone")
    state.tick(15.0, 0.0)
    state.apply_link("still gone")
    assert (state.problem, state.problem_since) == ("still gone", 10.0)
    state.apply_link("")
    assert (state.problem, state.problem_since) == ("", 15.0)


def test_hosts_are_told_apart_only_where_there_are_several(state):
    state.apply_health(HEALTH)
    assert state.has_hosts
    assert not State("u", EventFilter(host="h"), health=HEALTH).has_hosts
    assert not State("u", health={**HEALTH, "configured": ["h"]}).has_hosts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (59.9, "59s"), (60, "1m"), (3600, "1h"), (345_599, "95h"), (345_600, "4d")],
)
def test_ages_are_short(seconds, text):
    assert short_age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0"), (99_999, "99999"), (100_000, "100k")),
        *((2_540_000, "2.5M"), (99_000_000, "99M"), (10**10, "many")),
    ],
)
def test_counts_are_short(count, text):
    assert short_count(count) == text
