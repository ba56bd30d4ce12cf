"""Close hooks that fail, and those that a dead broker owed."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.broker import closings
from phlows_cli.errors import RequestError
from phlows_cli.journal.journal import Entry, JournalError
from phlows_cli.journal.memory import MemoryJournal
from phlows_cli.model import CloseCode, Outcome
from tests.builders import HOST, Stage
from tests.fakes import turns

BUT_CLOSE = ("connect", "auth", "receive")
ALL = (*BUT_CLOSE, "close")


class NotingJournal(MemoryJournal):
    """Notes what it is asked, in order; fails when it is told to."""

    def __init__(self):
        super().__init__()
        self.notes = []
        self.is_full = False

    async def open(self, entry):
        self._note("open", entry.socket, entry.token)

    def authenticate(self, socket, token):
        self._note("authenticate", socket, token)

    async def begin(self, entry):
        self._note("begin", entry.socket, entry.attempts, entry.reason)

    def remove(self, socket):
        super().remove(socket)
        self.notes.append(("remove", socket))

    def _note(self, *note):
        if self.is_full:
            raise JournalError("the journal cannot be written: full")
        self.notes.append(note)


@pytest.fixture
def swift(monkeypatch):
    """Pauses between attempts are over at once."""
    monkeypatch.setattr(closings, "FIRST_PAUSE", 0.0)


def entries(count, host=HOST):
    return [Entry(f"{number:016x}", host, f"t{number}", float(number)) for number in range(count)]


def told(call):
    return dict(call.hook.env)


async def test_a_socket_is_journaled_before_connect_and_until_its_close_has_succeeded():
    journal = NotingJournal()
    stage = Stage(journal=journal)
    session, _ = stage.connect()
    connect = await stage.runtime.started("connect")
    assert journal.notes == [("open", session.id, "")]
    connect.accepts()
    session.receive('{"token":"alice"}')
    (await stage.runtime.started("auth")).accepts()
    await stage.settle()
    assert journal.notes[1:] == [("authenticate", session.id, "alice")]
    session.left(1000, "")
    close = await stage.runtime.started("close")
    assert journal.notes[2:] == [("begin", session.id, 1, "client")]
    close.accepts()
    await stage.settle()
    assert journal.notes[3:] == [("remove", session.id)]


async def test_a_socket_that_connect_refused_is_forgotten_without_a_close():
    journal = NotingJournal()
    stage = Stage(journal=journal)
    session, _ = stage.connect()
    (await stage.runtime.started("connect")).refuses()
    await stage.settle()
    assert journal.notes == [("open", session.id, ""), ("remove", session.id)]
    assert stage.runtime.names == ["connect"]


async def test_sockets_of_a_host_without_close_are_not_journaled():
    journal = NotingJournal()
    stage = Stage(journal=journal, automatic=ALL, hooks=frozenset({"connect", "auth"}))
    session, _ = await stage.live()
    session.left(1000, "")
    await stage.settle()
    assert journal.notes == []


async def test_nobody_is_let_in_while_the_journal_cannot_be_written():
    journal = NotingJournal()
    journal.is_full = True
    stage = Stage(journal=journal, automatic=ALL)
    _, peer = stage.connect("alice")
    await stage.settle()
    assert peer.closed[0] == CloseCode.OVERLOAD
    assert "journal" in peer.closed[1]
    assert stage.runtime.calls == []
    assert stage.broker.drops.totals["socket that the journal could not take"] == 1


async def test_close_runs_though_the_journal_cannot_be_marked():
    journal = NotingJournal()
    stage = Stage(journal=journal, automatic=ALL)
    session, _ = await stage.live()
    journal.is_full = True
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.names[-1] == "close"
    assert stage.broker.drops.totals["mark in the journal"] == 1


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMEOUT])
async def test_a_failing_close_hook_is_run_again_until_it_succeeds(swift, outcome):
    stage = Stage(automatic=BUT_CLOSE)
    session, _ = await stage.live()
    session.left(1000, "")
    for attempt in ("1", "2"):
        close = await stage.runtime.started("close")
        assert told(close)["PHLOWS_CLOSE_ATTEMPT"] == attempt
        close.ends(outcome)
    (await stage.runtime.started("close")).accepts()
    await stage.settle()
    assert stage.runtime.names.count("close") == 3
    assert stage.broker.drops.totals[f"close {outcome}"] == 2
    assert await stage.broker.journal.orphans() == (0, [])


async def test_a_close_hook_that_always_fails_is_given_up_and_shown(swift, caplog):
    stage = Stage(automatic=BUT_CLOSE)
    session, _ = await stage.live()
    session.left(1000, "")
    for _ in range(closings.ATTEMPTS):
        (await stage.runtime.started("close")).fails()
    await stage.settle()
    assert stage.runtime.not_started()
    count, (orphan,) = await stage.broker.journal.orphans()
    assert (count, orphan.socket, orphan.token) == (1, session.id, "alice")
    assert (orphan.attempts, orphan.reason) == (closings.ATTEMPTS, "client")
    assert stage.broker.drops.totals["close hook given up"] == 1
    assert [r.attempts for r in caplog.records if r.message == "close hook given up"] == [5]


async def test_a_drain_waits_for_no_pause_but_tries_once_more():
    stage = Stage(automatic=BUT_CLOSE)
    session, _ = await stage.live()
    session.left(1000, "")
    (await stage.runtime.started("close")).fails()
    draining = asyncio.create_task(stage.broker.drain(30))
    (await stage.runtime.started("close")).fails()
    assert await draining == 0
    count, (orphan,) = await stage.broker.journal.orphans()
    assert (count, orphan.attempts) == (1, 2)


async def test_only_so_many_wait_for_their_next_attempt(monkeypatch):
    monkeypatch.setattr(closings, "RETRIES_WAITING", 1)
    stage = Stage(automatic=BUT_CLOSE)
    first, second = (await stage.live())[0], (await stage.live("bob"))[0]
    first.left(1000, "")
    (await stage.runtime.started("close")).fails()
    second.left(1000, "")
    (await stage.runtime.started("close")).fails()
    await turns()
    assert [entry.socket for entry in (await stage.broker.journal.orphans())[1]] == [second.id]
    stage.broker.draining.set()
    (await stage.runtime.started("close")).accepts()
    await stage.settle()


async def test_an_app_that_is_removed_stays_until_its_close_hooks_have_succeeded(swift):
    stage = Stage(automatic=BUT_CLOSE)
    await stage.live()
    stage.broker.remove_host(HOST)
    (await stage.runtime.started("close")).fails()
    last = await stage.runtime.started("close")
    assert not stage.runtime.is_stopped
    last.accepts()
    await stage.settle()
    await stage.runtime.ended.wait()


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (lambda stage, session: session.left(1000, ""), "client"),
        (lambda stage, session: session.left(1006, "", "timeout"), "timeout"),
        (lambda stage, session: session.end(CloseCode.SLOW_CONSUMER, ""), "limit"),
        (lambda stage, session: session.end(CloseCode.INVALID_TEXT, ""), "protocol"),
        (lambda stage, session: session.end(CloseCode.AUTH_EXPECTED, ""), "refused"),
        (lambda stage, session: session.end(CloseCode.HOOK_FAILED, ""), "failed"),
        (lambda stage, session: session.end(4321, ""), "disconnect"),
        (lambda stage, session: session.end(1000, ""), "disconnect"),
        (lambda stage, session: stage.broker.remove_host(HOST), "removed"),
        (lambda stage, session: session.end(CloseCode.DRAIN, ""), "drain"),
    ],
)
async def test_a_close_hook_is_told_why_its_socket_was_closed(ends, why):
    stage = Stage(automatic=ALL)
    session, _ = await stage.live()
    ends(stage, session)
    await stage.settle()
    close = stage.runtime.calls[-1]
    assert told(close) == {"PHLOWS_CLOSE_REASON": why, "PHLOWS_CLOSE_ATTEMPT": "1"}


# What a dead broker left


async def test_what_a_dead_broker_owed_is_run_before_anyone_is_let_in():
    journal = NotingJournal()
    left = entries(2)
    stage = Stage(journal=journal, left_behind=left)
    closes = [await stage.runtime.started("close") for _ in left]
    assert [call.hook.args() for call in closes] == [[HOST, e.token, e.socket] for e in left]
    assert told(closes[0]) == {"PHLOWS_CLOSE_REASON": "crash", "PHLOWS_CLOSE_ATTEMPT": "1"}
    closes[0].accepts()
    with pytest.raises(RequestError, match="closing sockets from before a crash") as refused:
        stage.broker.admit(stage.app)
    assert refused.value.status == 503
    closes[1].accepts()
    await stage.settle()
    stage.broker.admit(stage.app)
    assert [note for note in journal.notes if note[0] == "remove"] == [
        ("remove", entry.socket) for entry in left
    ]


async def test_they_run_no_more_at_once_than_the_host_may_and_all_of_them():
    stage = Stage(left_behind=entries(10), concurrency=3)
    for _ in range(3):
        await stage.runtime.started("close")
    await asyncio.sleep(0)
    assert stage.runtime.not_started()
    for call in stage.runtime.calls:
        call.accepts()
    for _ in range(7):
        (await stage.runtime.started("close")).accepts()
    await stage.settle()
    assert len(stage.runtime.calls) == 10


async def test_one_that_fails_keeps_nobody_out_and_is_run_again(swift):
    stage = Stage(left_behind=entries(1))
    (await stage.runtime.started("close")).fails()
    second = await stage.runtime.started("close")
    assert told(second)["PHLOWS_CLOSE_ATTEMPT"] == "2"
    stage.broker.admit(stage.app)
    second.accepts()
    await stage.settle()


async def test_an_attempt_that_a_crash_cut_is_counted():
    (left,) = entries(1)
    stage = Stage(left_behind=[left._replace(attempts=2, reason="client")])
    close = await stage.runtime.started("close")
    assert told(close) == {"PHLOWS_CLOSE_REASON": "client", "PHLOWS_CLOSE_ATTEMPT": "3"}
    close.accepts()
    await stage.settle()


async def test_one_that_was_given_up_is_tried_once_more_and_given_up_again():
    (left,) = entries(1)
    stage = Stage(left_behind=[left._replace(attempts=closings.ATTEMPTS)])
    (await stage.runtime.started("close")).fails()
    await stage.settle()
    count, (orphan,) = await stage.broker.journal.orphans()
    assert (count, orphan.attempts) == (1, closings.ATTEMPTS + 1)


async def test_what_is_owed_by_a_host_that_is_not_served_waits_for_it():
    stage = Stage(left_behind=entries(2, "other.test"))
    await stage.settle()
    assert stage.runtime.calls == []
    assert len(stage.broker.closings.owed_to("other.test")) == 2
    stage.broker.admit(stage.app)


async def test_a_drain_leaves_what_it_has_no_time_for_in_the_journal_and_says_how_many(caplog):
    journal = NotingJournal()
    stage = Stage(journal=journal, left_behind=entries(5), concurrency=1)
    (await stage.runtime.started("close")).accepts()
    await stage.runtime.started("close")
    assert await stage.broker.drain(0) == 4, "one that runs, three that never began"
    assert [r.count for r in caplog.records if "hooks were cut" in r.message] == [4]
    await stage.broker.stop()
    assert [note[0] for note in journal.notes] == ["begin", "remove", "begin"]
    caplog.clear()


async def test_what_waits_for_a_host_is_shown_and_can_be_dropped():
    left = entries(3, "other.test")
    stage = Stage(left_behind=left)
    stage.broker.closings.shelve()
    assert (await stage.broker.journal.orphans())[0] == 3
    stage.broker.closings.forget([left[0].socket])
    assert stage.broker.closings.owed_to("other.test") == left[1:]
    stage.broker.closings.forget([])
    assert stage.broker.closings.owed_to("other.test") == []
