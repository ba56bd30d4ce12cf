from __future__ import annotations

import pytest

from phlows_cli.broker import events as module
from phlows_cli.broker.events import BACKLOG, Events, Watch
from phlows_cli.model import token_hash


class Reader(Watch):
    """A watch that counts how often it was woken."""

    def __init__(self, **filters):
        self.woken = 0
        super().__init__(self.wake_up, filters)

    def wake_up(self):
        self.woken += 1


@pytest.fixture
def events():
    return Events()


def watched(events, **filters):
    reader = Reader(**filters)
    events.add(reader)
    return reader


def types(reader):
    return [event["type"] for event in reader.take()]


def test_unwatched_nothing_is_built(events, monkeypatch):
    def must_not_run(*_):
        raise AssertionError("an event was built for nobody")

    monkeypatch.setattr(module, "token_hash", must_not_run)
    assert not events.is_watched
    events.publish("open", "a.test", {}, "secret")


def test_watching_begins_with_add_and_ends_with_discard(events):
    reader = Reader()
    events.publish("before", "a.test", {})
    events.add(reader)
    assert events.is_watched
    events.publish("open", "a.test", {})
    events.discard(reader)
    events.discard(reader)
    assert not events.is_watched
    events.publish("after", "a.test", {})
    assert types(reader) == ["open"]


def test_an_event_carries_time_type_host_its_fields_and_the_token_as_12_hex(events):
    reader = watched(events)
    events.publish("open", "a.test", {"socket": "s"}, "secret")
    (event,) = reader.take()
    assert event.pop("time") > 1e9
    assert event == {
        "type": "open",
        "host": "a.test",
        "token": token_hash("secret")[:12],
        "socket": "s",
    }


def test_the_empty_token_is_a_token_and_no_token_is_none(events):
    reader = watched(events)
    events.publish("open", "a.test", {}, "")
    events.publish("cast", "a.test", {})
    first, second = reader.take()
    assert first["token"] == token_hash("")[:12]
    assert "token" not in second


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, [0, 1, 2, 3]),
        ({"host": "a.test"}, [0, 2, 3]),
        ({"type": "open"}, [0, 1]),
        ({"socket": "s2"}, [2]),
        ({"token": token_hash("alice")[:12]}, [0, 2]),
        ({"token": token_hash("alice")}, [0, 2]),
        ({"token": token_hash("nobody")}, []),
        ({"host": "a.test", "type": "open"}, [0]),
        ({"host": "c.test"}, []),
    ],
)
def test_filters_let_pass_what_agrees_with_all_of_them(events, filters, wanted):
    reader = watched(events, **filters)
    events.publish("open", "a.test", {"socket": "s0"}, "alice")
    events.publish("open", "b.test", {"socket": "s1"}, "bob")
    events.publish("close", "a.test", {"socket": "s2"}, "alice")
    events.publish("cast", "a.test", {"number": 3})
    seen = [event.get("number", int(event.get("socket", "s0")[1:])) for event in reader.take()]
    assert seen == wanted


def test_a_reader_is_woken_once_until_it_takes(events):
    reader = watched(events)
    for _ in range(3):
        events.publish("open", "a.test", {})
    assert reader.woken == 1
    assert len(reader.take()) == 3
    events.publish("open", "a.test", {})
    assert reader.woken == 2


def test_a_filtered_event_wakes_nobody(events):
    reader = watched(events, type="close")
    events.publish("open", "a.test", {})
    assert reader.woken == 0
    assert reader.take() == []


def test_a_slow_reader_loses_events_and_is_told_how_many(events):
    reader, quick = watched(events), watched(events)
    for number in range(BACKLOG + 7):
        events.publish("open", "a.test", {"number": number})
        quick.take()
    *kept, lost = reader.take()
    assert [event["number"] for event in kept] == list(range(BACKLOG))
    assert (lost["type"], lost["count"]) == ("lost", 7)
    events.publish("close", "a.test", {})
    assert types(reader) == ["close"], "told once"
    assert quick.lost == 0


def test_events_that_a_reader_does_not_want_are_not_lost(events):
    reader = watched(events, type="close")
    for _ in range(BACKLOG):
        events.publish("close", "a.test", {})
    events.publish("open", "a.test", {})
    assert "lost" not in types(reader)
