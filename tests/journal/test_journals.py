"""What both journals promise, and what only the one in a file does."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from phlows_cli.journal import sqlite as sqlite_module
from phlows_cli.journal.journal import JournalError
from phlows_cli.journal.memory import KEPT, MemoryJournal
from phlows_cli.journal.sqlite import SqliteJournal
from phlows_cli.journal.store import Store
from tests.journal.test_store import entry

pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def entries(path):
    """What the next broker finds."""
    store = Store(path)
    try:
        return store.entries()
    finally:
        store.close()


@pytest.fixture(params=["memory", "sqlite"])
def make(request, path):
    """Makes a journal that adds what it lost to a list."""

    def make(lost=None):
        told = (lambda _count: None) if lost is None else lost.append
        if request.param == "memory":
            return MemoryJournal(told)
        return SqliteJournal(Store(path), told)

    return make


@pytest.fixture
def durable(path):
    def durable(lost=None):
        return SqliteJournal(Store(path), (lambda _count: None) if lost is None else lost.append)

    return durable


async def test_what_was_given_up_is_listed_until_it_is_dropped(make):
    journal = make()
    for number in (1, 2, 3):
        await journal.open(entry(number))
    await journal.begin(entry(1, attempts=1))
    for number in (1, 2):
        journal.give_up(entry(number, attempts=5, reason="client"))
    count, listed = await journal.orphans()
    assert (count, {row.socket for row in listed}) == (2, {entry(1).socket, entry(2).socket})
    assert listed[0].attempts == 5
    assert await journal.drop([entry(1).socket, entry(3).socket]) == 1
    assert await journal.drop([]) == 1
    assert await journal.orphans() == (0, [])
    await journal.stop()


async def test_what_was_removed_is_not_an_orphan(make):
    journal = make()
    journal.give_up(entry(1))
    journal.remove(entry(1).socket)
    journal.remove(entry(2).socket)
    assert await journal.orphans() == (0, [])
    await journal.stop()


async def test_in_memory_the_eldest_go_first_and_at_the_end_all_and_are_counted():
    lost = []
    journal = MemoryJournal(lost.append)
    for number in range(KEPT + 2):
        journal.give_up(entry(number))
    count, listed = await journal.orphans()
    assert (count, len(listed), lost) == (KEPT, 1000, [1, 1])
    assert listed[0] == entry(2)
    await journal.stop()
    assert lost == [1, 1, KEPT]


async def test_a_stopped_journal_has_written_what_it_was_given(durable, path):
    journal = durable()
    await journal.open(entry(1))
    await journal.open(entry(2))
    journal.authenticate(entry(1).socket, "new")
    journal.remove(entry(2).socket)
    await journal.stop()
    assert entries(path) == [entry(1, token="new")]
    assert "phlows-journal" not in {thread.name for thread in threading.enumerate()}


async def test_thousands_of_changes_at_once_are_all_written(durable, path):
    journal = durable()
    await asyncio.gather(*(journal.open(entry(number)) for number in range(3000)))
    for number in range(0, 3000, 2):
        journal.remove(entry(number).socket)
    await journal.stop()
    assert entries(path) == [entry(number) for number in range(1, 3000, 2)]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from phlows_cli.journal.journal import Entry
from phlows_cli.journal.sqlite import SqliteJournal
from phlows_cli.journal.store import Store

async def main():
    journal = SqliteJournal(Store(Path(sys.argv[1])), print)
    for number in range(500):
        await journal.open(Entry(f"{number:016x}", "app.test", "t", 0.0))
        os.write(1, b".")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_was_waited_for_survives_a_kill(path):
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"." * 500
    assert len(entries(path)) == 500


class FullDisk:
    """A store whose disk is full until it is not."""

    def __init__(self, path):
        self._store = Store(path)
        self.is_full = True
        self.write_ended = threading.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write(self, statements):
        try:
            if self.is_full:
                raise sqlite_module.sqlite3.OperationalError("database or disk is full")
            self._store.write(statements)
        finally:
            self.write_ended.set()


async def test_on_a_full_disk_who_waits_is_told_and_the_rest_is_written_later(
    path, monkeypatch, caplog
):
    monkeypatch.setattr(sqlite_module, "RETRY_INTERVAL", 0.01)
    store = FullDisk(path)
    journal = SqliteJournal(store, lambda _count: None)
    with pytest.raises(JournalError, match="the journal cannot be written: database or disk is f"):
        await journal.open(entry(1))
    journal.give_up(entry(2))
    store.is_full = False
    while not (await journal.orphans())[0]:
        store.write_ended.clear()
        await asyncio.to_thread(store.write_ended.wait, 5)
    await journal.open(entry(3))
    await journal.stop()
    assert entries(path) == [entry(2), entry(3)]
    messages = [record.message for record in caplog.records]
    assert messages[0] == "the journal cannot be written: database or disk is full"
    assert len(messages) <= 2


async def test_what_waits_on_a_full_disk_is_bounded_and_what_is_lost_is_counted(path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "HELD", 10)
    lost = []
    store = FullDisk(path)
    journal = SqliteJournal(store, lost.append)
    for number in range(25):
        journal.remove(entry(number).socket)
    with pytest.raises(JournalError):
        await journal.open(entry(99))
    assert sum(lost) == 15
    await journal.stop()


async def test_a_reader_is_told_of_a_journal_that_cannot_be_read(path, monkeypatch):
    store = FullDisk(path)
    store.is_full = False
    journal = SqliteJournal(store, lambda _count: None)
    store._store.close()
    with pytest.raises(JournalError, match="the journal cannot be read"):
        await journal.orphans()
    await journal.stop()


async def test_it_finds_out_by_itself_that_it_can_be_written_again(path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "RETRY_INTERVAL", 0.01)
    store = FullDisk(path)
    journal = SqliteJournal(store, lambda _count: None)
    with pytest.raises(JournalError):
        await journal.open(entry(1))
    assert journal.problem == "the journal cannot be written: database or disk is full"
    store.is_full = False
    while journal.problem:
        store.write_ended.clear()
        await asyncio.to_thread(store.write_ended.wait, 5)
    await journal.open(entry(2))
    await journal.stop()
    assert entries(path) == [entry(2)]
