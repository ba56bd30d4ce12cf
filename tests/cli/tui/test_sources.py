from __future__ import annotations

import threading

import pytest

from phlows_cli.cli.client import BrokerClient
from phlows_cli.cli.tui.sources import Sources
from phlows_cli.cli.tui.state import Deed, State
from tests.cli.recorder import in_turn, send, stream
from tests.cli.tui.lively import HEALTH, ROWS

PATIENCE = 20.0
EVENT = (
    b'{"time":1.5,"type":"auth","host":"h","socket":"3e41eca363bb3073","token":"ba7816bf8f01"}\n'
)


class Follower:
    """A state that takes what the sources tell."""

    def __init__(self, url, host=""):
        self.state = State(url)
        self._woken = threading.Event()
        self.sources = Sources(lambda: BrokerClient(url), host, self._woken.set)

    def until(self, is_so):
        while not is_so(self.state):
            assert self._woken.wait(PATIENCE), self.state
            self._woken.clear()
            for news in self.sources.take():
                news(self.state)


@pytest.fixture
def end():
    """Set at the end: streams that stay open end with it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def follow(recorder, end):
    recorder.answers["/health"] = (200, HEALTH)
    recorder.answers["/presence"] = (200, {"sockets": ROWS})
    recorder.answers["/events"] = stream(EVENT, then=end)
    followers = []

    def make(host=""):
        followers.append(Follower(recorder.url, host))
        return followers[0]

    yield make
    followers[0].sources.stop()


def test_health_presence_and_events_are_told(follow):
    follower = follow()
    follower.sources.start()
    follower.until(lambda s: s.health and s.rows and s.feed.shown)
    assert follower.state.health == HEALTH
    assert len(follower.state.rows) == len(ROWS)
    assert not follower.sources.has_more


def test_one_host_is_asked_for_alone(follow, recorder):
    follower = follow("h")
    follower.sources.start()
    follower.until(lambda s: s.rows and s.feed.shown)
    asked = {request.path: request.query for request in recorder.requests}
    assert asked["/presence"] == asked["/events"] == {"host": "h"}


def test_a_loss_and_a_return_are_told(follow, recorder, end):
    goes_on = threading.Event()
    recorder.answers["/events"] = in_turn(
        stream(EVENT),
        lambda handler: goes_on.wait(PATIENCE) and send(handler, 502, b""),
        stream(EVENT, then=end),
    )
    follower = follow()
    follower.sources.start()
    follower.until(lambda s: "has gone away" in s.problem)
    goes_on.set()
    follower.until(lambda s: not s.problem and len(s.feed.shown) == 2)


def test_a_broker_that_streams_and_does_not_answer_is_told(follow, recorder):
    recorder.answers["/presence"] = (500, {"status": "error", "message": "stuck"})
    follower = follow()
    follower.sources.start()
    follower.until(lambda s: s.problem == "stuck" and s.feed.shown)
    recorder.answers["/presence"] = (200, {"sockets": ROWS})
    follower.until(lambda s: not s.problem)


def test_what_is_done_is_told_with_its_result(follow, recorder):
    receipt = {"status": "ok", "host": "h", "matched": 1, "sent": 1, "dropped": 0, "held": 0}
    recorder.answers["/message"] = (200, receipt)
    recorder.answers["/disconnect"] = (200, {"status": "ok", "host": "h", "disconnected": 1})
    follower = follow()
    follower.sources.do(Deed("h", "ab", b'{"a":1}'))
    follower.until(lambda s: s.message == "sent to 1 of 1 socket of h")
    assert recorder.last.json() == {"host": "h", "target": "socket:ab", "data": {"a": 1}}
    follower.sources.do(Deed("h", "ab"))
    follower.until(lambda s: s.message == "disconnected 1 connection")
    body = {"host": "h", "target": "socket:ab", "reason": "disconnected by an operator"}
    assert recorder.last.json() == body
    assert not follower.state.is_alarming


def test_what_is_refused_is_told_with_the_brokers_words(follow, recorder):
    recorder.answers["/disconnect"] = (400, {"status": "error", "message": "unknown host 'h'"})
    follower = follow()
    follower.sources.do(Deed("h", "ab"))
    follower.until(lambda s: s.message)
    assert (follower.state.message, follower.state.is_alarming) == ("unknown host 'h'", True)
