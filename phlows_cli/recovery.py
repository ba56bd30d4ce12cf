"""What outlives the process: opened at the start, and what a dead broker left, ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import AddressTakenError, ConfigError, JournalInUseError
from phlows_cli.journal.groups import Group, Groups, end_group, is_alive
from phlows_cli.journal.memory import MemoryJournal
from phlows_cli.journal.sqlite import SqliteJournal
from phlows_cli.journal.store import Store
from phlows_cli.server.listener import Listeners

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from phlows_cli.config import Server
    from phlows_cli.journal.journal import Entry, Journal

log = logging.getLogger("phlows.recovery")

GRACE: Final = 1.0
"""Seconds between TERM and KILL to what a dead broker left running."""

LOOK_INTERVAL: Final = 0.05
"""Seconds between two looks at processes that are nobody's children any more."""


@dataclass(slots=True)
class Kept:
    """The journal, and what a broker that was killed left in it."""

    journal: Journal
    entries: list[Entry] = field(default_factory=list)
    groups: Groups | None = None

    async def end_groups(self) -> None:
        """End the processes that a dead broker left running: TERM, a grace, KILL."""
        if self.groups is None:
            return
        alive = [group for group in self.groups.left_behind if end_group(group, signal.SIGTERM)]
        if alive:
            log.warning("ending processes of a broker that was killed", extra={"count": len(alive)})
            for group in await _survivors(alive):
                end_group(group, signal.SIGKILL)
        self.groups.forget_left_behind()

    async def stop(self) -> None:
        """Let go of the files."""
        await self.journal.stop()
        if self.groups is not None:
            self.groups.close()


def open_journal(server: Server, on_loss: Callable[[int], None]) -> Kept:
    """Open the journal that the configuration asks for.

    Brokers that share a state_dir have different ports, and journals of their own.

    Raises:
        ConfigError: it cannot be opened.
        AddressTakenError: another broker uses it, and listens there.
        JournalInUseError: another broker uses it, and does not.
    """
    if server.journal == "memory":
        return Kept(MemoryJournal(on_loss))
    path = server.state_dir / f"journal-{server.port}.db"
    store = _opened(path, server)
    try:
        _tell_of_others(path)
        has_groups = sys.platform == "linux"
        groups = Groups(server.state_dir / f"groups-{server.port}") if has_groups else None
        entries = store.entries()
    except BaseException:
        store.close()
        raise
    return Kept(SqliteJournal(store, on_loss), entries, groups)


def _opened(path: Path, server: Server) -> Store:
    """Open our own journal; one in use, and the address too, is a broker that runs."""
    try:
        return Store(path)
    except JournalInUseError:
        if "LISTEN_PID" not in os.environ:  # else a supervisor holds the address, for us
            _refuse_second(server)
        raise


def _refuse_second(server: Server) -> None:
    try:
        Listeners().probe(server)
    except AddressTakenError as taken:
        raise AddressTakenError(
            f"{taken}; a phlows broker with the same journal runs there: "
            "`phlows status` shows it, `phlows drain` ends it"
        ) from None


def _tell_of_others(own: Path) -> None:
    """A broker that had another port may have left close hooks, which only that port runs."""
    for path in sorted(own.parent.glob("journal-*.db")):
        if path == own:
            continue
        try:
            other = Store(path)
        except ConfigError:  # a broker uses it
            continue
        with closing(other):
            count = len(other.entries())
        if count:
            told = {"file": str(path), "count": count}
            log.warning("the journal of another port holds close hooks", extra=told)


async def _survivors(groups: list[Group]) -> list[Group]:
    """Wait until they are gone, or the grace is over; returns those that are not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE
    while loop.time() < deadline:
        groups = [group for group in groups if is_alive(group)]
        if not groups:
            break
        await asyncio.sleep(LOOK_INTERVAL)
    return groups
