from __future__ import annotations

import json
import threading

import pytest

from tests.cli.recorder import stream


@pytest.fixture
def stopping(recorder):
    """A broker that drains."""
    recorder.answers["/drain"] = (200, {"status": "ok"})
    return recorder


def test_it_asks_and_returns_at_once(phlows, stopping):
    done = phlows("drain", "--url", stopping.url)
    assert (done.exit_code, done.stdout) == (0, "the broker is stopping\n")
    assert [(request.method, request.path) for request in stopping.requests] == [("POST", "/drain")]


def test_as_json_it_is_the_brokers_answer(phlows, stopping):
    done = phlows("drain", "--url", stopping.url, "--json")
    assert json.loads(done.stdout) == {"status": "ok"}


@pytest.mark.parametrize("is_whole", [True, False], ids=["in order", "cut"])
def test_with_wait_it_returns_when_the_stream_of_events_ends(phlows, stopping, is_whole):
    ended = threading.Event()
    lines = stream(b'{"type":"lost","count":1}\n', then=ended, is_whole=is_whole)

    def answer(handler):
        threading.Timer(0.05, ended.set).start()
        lines(handler)

    stopping.answers["/events"] = answer
    done = phlows("drain", "--url", stopping.url, "--wait")
    assert ended.is_set()
    assert (done.exit_code, done.stdout) == (0, "the broker has ended\n")
    assert stopping.last.query == {"type": "lost"}


def test_with_wait_a_broker_that_has_ended_already_is_no_error(phlows, stopping):
    def gone(handler):
        handler.close_connection = True

    stopping.answers["/events"] = gone
    done = phlows("drain", "--url", stopping.url, "--wait")
    assert (done.exit_code, done.stdout) == (0, "the broker has ended\n")


def test_a_refusal_is_told(program, recorder):
    recorder.answers["/drain"] = (401, {"status": "error", "message": "this route needs the key"})
    done = program("drain", "--url", recorder.url)
    assert (done.returncode, done.stdout) == (4, "")
    assert "this route needs the key" in done.stderr
