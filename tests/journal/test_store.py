from __future__ import annotations

import sqlite3
import stat

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.journal.journal import Entry
from phlows_cli.journal.store import DELETE, TOKEN, Store, insertion, token_bytes


def entry(number=1, **changes):
    made = Entry(f"{number:016x}", "app.test", f"t{number}", float(number))
    return made._replace(**changes)


@pytest.fixture
def opened(tmp_path):
    """Opens the one journal of a test; closed at its end."""
    stores = []

    def open_store():
        stores.append(Store(tmp_path / "state" / "journal.db"))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def test_what_was_written_is_there_after_it_is_opened_again(opened):
    store = opened()
    rows = [entry(2, attempts=3, reason="client"), entry(1, token="\ud800 \x00 é")]
    store.write([insertion(row) for row in rows])
    store.close()
    assert opened().entries() == rows[::-1]


def test_a_journal_that_is_there_is_opened_without_a_write(opened, tmp_path):
    opened().close()
    file = tmp_path / "state" / "journal.db"
    before = file.read_bytes()
    assert opened().entries() == []
    assert file.read_bytes() == before
    assert not (tmp_path / "state" / "journal.db-wal").stat().st_size


def test_an_entry_is_replaced_given_another_token_and_removed(opened):
    store = opened()
    store.write([insertion(entry(1)), insertion(entry(1, attempts=1)), insertion(entry(2))])
    store.write([(TOKEN, (token_bytes("new"), entry(1).socket)), (DELETE, (entry(2).socket,))])
    assert store.entries() == [entry(1, attempts=1, token="new")]


def test_a_change_that_fails_takes_the_others_of_its_transaction_along(opened):
    store = opened()
    with pytest.raises(sqlite3.Error):
        store.write([insertion(entry(1)), ("INSERT INTO nowhere VALUES (1)", ())])
    assert store.entries() == []
    store.write([insertion(entry(1))])
    assert store.entries() == [entry(1)]


def test_orphans_are_those_that_were_given_up(opened):
    store = opened()
    store.write([insertion(entry(n), given_up=n % 2 == 1) for n in range(5)])
    assert store.orphans() == (2, [entry(1), entry(3)])
    assert store.drop([entry(1).socket, entry(2).socket]) == 1
    assert store.orphans() == (1, [entry(3)])
    assert store.drop([]) == 1
    assert [row.socket for row in store.entries()] == [entry(n).socket for n in (0, 2, 4)]


def test_at_most_a_thousand_orphans_are_listed(opened):
    store = opened()
    store.write([insertion(entry(n), given_up=True) for n in range(1200)])
    count, listed = store.orphans()
    assert (count, len(listed), listed[-1]) == (1200, 1000, entry(999))


def test_the_file_and_its_folder_are_for_their_owner_alone(opened, tmp_path):
    opened().write([insertion(entry(1))])
    state = tmp_path / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600}


def test_a_second_broker_is_told_so(opened):
    opened()
    with pytest.raises(ConfigError, match=r"another broker uses it; set server\.state_dir"):
        opened()


@pytest.mark.parametrize(
    ("content", "why"), [(b"no database at all" * 100, "not a database"), (None, "Is a directory")]
)
def test_what_is_no_journal_is_an_error_that_names_it(tmp_path, content, why):
    path = tmp_path / "journal.db"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"(?s)journal {path}: .*{why}"):
        Store(path)


def test_a_journal_of_a_later_version_is_left_alone(tmp_path):
    path = tmp_path / "journal.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(ConfigError, match="it is of version 7, this phlows knows 1"):
        Store(path)
