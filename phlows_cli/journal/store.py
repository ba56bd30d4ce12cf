"""The journal's table in SQLite. Used by one thread at a time, never by the loop."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeAlias

from phlows_cli.errors import ConfigError, JournalInUseError
from phlows_cli.journal.journal import SHOWN_ORPHANS, Entry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sockets (
    socket TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    token BLOB NOT NULL,
    since REAL NOT NULL,
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    given_up INTEGER NOT NULL
) WITHOUT ROWID
"""
_COLUMNS: Final = "socket, host, token, since, attempts, reason"

INSERT: Final = "INSERT OR REPLACE INTO sockets VALUES (?,?,?,?,?,?,?)"
TOKEN: Final = "UPDATE sockets SET token = ? WHERE socket = ?"  # noqa: S105 - a statement
DELETE: Final = "DELETE FROM sockets WHERE socket = ?"

PROBE: Final = (f"PRAGMA user_version = {VERSION}", ())
"""Writes what is there already, to see whether that can be done."""

Statement: TypeAlias = tuple[str, tuple[object, ...]]
"""One change: a statement, and the values for its question marks."""


def insertion(entry: Entry, *, given_up: bool = False) -> Statement:
    """Keep an entry as it is now, new or not."""
    token = token_bytes(entry.token)
    values = (entry.socket, entry.host, token, entry.since, entry.attempts, entry.reason, given_up)
    return INSERT, values


def token_bytes(token: str) -> bytes:
    """A token as it is stored: it may hold what no UTF-8 can."""
    return token.encode("utf-8", "surrogatepass")


class Store:
    """One journal file, locked against a second broker.

    Write-ahead log, synchronous=NORMAL: a commit survives the end of the
    process; the end of the machine may take the last moments along.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if missing, with mode 0600.

        Raises:
            ConfigError: it cannot be opened, or is no journal.
            JournalInUseError: another broker has it.
        """
        self._path = path
        try:
            self._make_file()
            self._database = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=1.0
            )
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(str(error)) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise self._unusable(str(error)) from error

    def entries(self) -> list[Entry]:
        """Every entry, the eldest first."""
        return self._select("1 ORDER BY since")

    def orphans(self) -> tuple[int, list[Entry]]:
        """Count the entries that were given up, and list the eldest."""
        query = "SELECT count(*) FROM sockets WHERE given_up"
        (count,) = self._database.execute(query).fetchone()
        return count, self._select(f"given_up ORDER BY since LIMIT {SHOWN_ORPHANS}")

    def drop(self, sockets: Sequence[str]) -> int:
        """Forget entries that were given up: those named, or all."""
        everything = "DELETE FROM sockets WHERE given_up"
        if not sockets:
            return self._database.execute(everything).rowcount
        one = f"{everything} AND socket = ?"
        return sum(self._database.execute(one, (socket,)).rowcount for socket in sockets)

    def write(self, statements: Sequence[Statement]) -> None:
        """Make all changes, or none.

        Raises:
            sqlite3.Error: none was made.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for statement, values in statements:
                self._database.execute(statement, values)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _make_file(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # it holds tokens, whoever made it; SQLite's -wal follows it
        os.close(descriptor)

    def _prepare(self) -> None:
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
            self._database.execute(f"PRAGMA {pragma}")
        with closing(self._database.execute("PRAGMA user_version")) as rows:
            (version,) = rows.fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"it is of version {version}, this phlows knows {VERSION}")
        if version == 0:  # one that is there is not written to: its disk may be full
            self._database.execute(_SCHEMA)
            self._database.execute(f"PRAGMA user_version = {VERSION}")

    def _select(self, condition: str) -> list[Entry]:
        query = f"SELECT {_COLUMNS} FROM sockets WHERE {condition}"  # noqa: S608 - our own text
        return [
            Entry(socket, host, token.decode("utf-8", "surrogatepass"), *rest)
            for socket, host, token, *rest in self._database.execute(query)
        ]

    def _unusable(self, why: str) -> ConfigError:
        kind = ConfigError
        if "locked" in why:
            kind, why = JournalInUseError, "another broker uses it"
        return kind(
            f"journal {self._path}: {why}; set server.state_dir to another place, or "
            'server.journal = "memory"'
        )
