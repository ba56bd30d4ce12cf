from __future__ import annotations

import asyncio
import logging

import pytest

from phlows_cli.runtime import backoff
from phlows_cli.runtime.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are asked for; each is over in the next turn."""
    asked = []

    class Loop:
        def call_later(self, delay, function):
            asked.append(delay)
            return asyncio.get_running_loop().call_soon(function)

    monkeypatch.setattr(backoff, "asyncio", FakeAsyncio(Loop()))
    return asked


class FakeAsyncio:
    """asyncio with another loop, whose clock runs at once."""

    Event = asyncio.Event

    def __init__(self, loop):
        self.get_running_loop = lambda: loop


async def fail(waits, *reasons):
    for reason in reasons:
        waits.failed(reason)
        await waits.over()


async def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_success(pauses):
    waits = Backoff("a.test", lambda: None)
    await fail(waits, *["x"] * 8)
    assert pauses == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(8)]
    waits.succeeded()
    await fail(waits, "x")
    assert pauses[-1] == FIRST_PAUSE


async def test_boots_that_fail_together_are_one_failure(pauses):
    waits = Backoff("a.test", lambda: None)
    waits.failed("x")
    waits.failed("x")
    assert len(pauses) == 1
    await waits.over()
    assert not waits.is_on


async def test_the_log_has_a_line_for_a_new_reason_and_one_for_the_end(pauses, caplog):
    caplog.set_level(logging.INFO)
    waits = Backoff("a.test", lambda: None)
    await fail(waits, "x", "x", "x", "y", "y")
    waits.succeeded()
    waits.succeeded()
    told = [(r.message, getattr(r, "reason", None)) for r in caplog.records]
    assert told == [
        ("app does not boot", "x"),
        ("app does not boot", "y"),
        ("app boots again", None),
    ]
    assert caplog.records[-1].failures == 5


async def test_what_the_app_said_is_for_the_log_alone(caplog):
    waits = Backoff("a.test", lambda: None)
    waits.failed("exit code 1", "secret " * 1000)
    assert waits.reason == "exit code 1"
    assert waits.details.startswith("exit code 1: secret ")
    assert len(caplog.records[0].text) == backoff.LOGGED_WORDS
    waits.stop()


async def test_when_a_pause_is_over_it_says_so_but_not_when_it_is_given_up(pauses):
    told = []
    waits = Backoff("a.test", lambda: told.append("over"))
    await fail(waits, "x")
    assert told == ["over"]
    waits.failed("x")
    waits.stop()
    await waits.over()
    await asyncio.sleep(0)
    assert told == ["over"]
    assert waits.reason == "x"
