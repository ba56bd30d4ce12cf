"""Close hooks that are owed: until they succeed, and across a crash.

Source: docs/protocol.md, "The journal".
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from phlows_cli.journal.journal import JournalError
from phlows_cli.model import Hook

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.hooks import Application
    from phlows_cli.journal.journal import Entry

log = logging.getLogger("phlows.closings")

ATTEMPTS: Final = 5
"""Close hooks that are run for one socket, until one succeeds."""

FIRST_PAUSE: Final = 1.0
"""Seconds before the second; each further pause is twice as long."""

RETRIES_WAITING: Final = 1000
"""Sockets whose close hook may wait for its next attempt at once."""


class Closings:
    """Runs the close hooks of one broker.

    Args:
        broker: whose journal is written, and whose tasks a drain waits for.
        left_behind: entries of a broker that ended before their close hook had.
    """

    def __init__(self, broker: Broker, left_behind: Iterable[Entry] = ()) -> None:
        self._broker = broker
        self._retrying = 0
        self.unstarted = 0
        self._left_behind: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in left_behind:
            self._left_behind[entry.host].append(entry)

    def owed_to(self, host: str) -> list[Entry]:
        """What a broker before has left for a host that has not been served since."""
        return self._left_behind.get(host, [])

    def shelve(self) -> None:
        """Show what hosts are owed that are not served now, like what was given up."""
        for host, entries in self._left_behind.items():
            told = {"host": host, "count": len(entries)}
            log.warning("close hooks wait for a host that is not configured", extra=told)
            for entry in entries:
                self._broker.journal.give_up(entry)

    def forget(self, sockets: Iterable[str]) -> None:
        """Owe nothing for these sockets of hosts that are not served; none named: for all."""
        named = set(sockets)
        for host, entries in list(self._left_behind.items()):
            kept = [entry for entry in entries if named and entry.socket not in named]
            self._left_behind[host] = kept
            if not kept:
                del self._left_behind[host]

    def adopt(self, app: Application) -> None:
        """Run what a broker before owes this host; no socket is let in meanwhile."""
        entries = self.owed_to(app.host.name)
        if entries:
            del self._left_behind[app.host.name]
            log.info(
                "running the close hooks that a broker before has left",
                extra={"host": app.host.name, "count": len(entries)},
            )
            app.is_recovering = True
            app.sessions += 1  # so that the app stays until this is done
            self.unstarted += len(entries)
            self._broker.tasks.spawn(self._recover(app, entries))

    async def run(self, app: Application, entry: Entry) -> None:
        """Run the close hook of a socket until it succeeds, or is given up."""
        while True:
            entry = entry._replace(attempts=entry.attempts + 1)
            if await self._attempt(app, entry):
                return
            if not self._may_retry(entry):
                self._give_up(app, entry)
                return
            await self._pause(entry.attempts)

    async def _recover(self, app: Application, entries: list[Entry]) -> None:
        """The first attempt for each, side by side as the host's concurrency allows."""
        waiting = entries[::-1]

        async def take_turns() -> None:
            while waiting:
                self.unstarted -= 1
                await self._recover_one(app, waiting.pop())

        try:
            turns = (take_turns() for _ in range(min(len(entries), app.host.concurrency)))
            await asyncio.gather(*turns)
        finally:
            app.is_recovering = False
            self._broker.finish(app)

    async def _recover_one(self, app: Application, entry: Entry) -> None:
        entry = entry._replace(attempts=entry.attempts + 1, reason=entry.reason or "crash")
        if await self._attempt(app, entry):
            return
        if self._may_retry(entry):
            app.sessions += 1
            self._broker.tasks.spawn(self._retry(app, entry))
        else:
            self._give_up(app, entry)

    async def _retry(self, app: Application, entry: Entry) -> None:
        try:
            await self._pause(entry.attempts)
            await self.run(app, entry)
        finally:
            self._broker.finish(app)

    async def _attempt(self, app: Application, entry: Entry) -> bool:
        """Run the hook once; whether the socket is owed nothing any more."""
        try:
            await self._broker.journal.begin(entry)
        except JournalError:
            # It is in the journal as open: after a crash it would be run again.
            self._broker.drops.count("mark in the journal")
        told = ("PHLOWS_CLOSE_REASON", entry.reason), ("PHLOWS_CLOSE_ATTEMPT", str(entry.attempts))
        hook = Hook("close", entry.host, entry.token, entry.socket, env=told)
        result = await app.call(hook)
        if result.is_accepted:
            self._broker.journal.remove(entry.socket)
        return result.is_accepted

    def _may_retry(self, entry: Entry) -> bool:
        has_room = self._retrying < RETRIES_WAITING and not self._broker.is_draining
        return has_room and entry.attempts < ATTEMPTS

    async def _pause(self, attempts: int) -> None:
        """Wait before the next attempt; a drain waits for none of these."""
        self._retrying += 1
        try:
            async with asyncio.timeout(FIRST_PAUSE * 2 ** (attempts - 1)):
                await self._broker.draining.wait()
        except TimeoutError:
            return
        finally:
            self._retrying -= 1

    def _give_up(self, app: Application, entry: Entry) -> None:
        """Keep it in the journal, for people to see and the next start to try."""
        self._broker.journal.give_up(entry)
        self._broker.drops.count("close hook given up")
        facts = {"host": entry.host, "socket": entry.socket, "attempts": entry.attempts}
        app.warn("close hook given up", facts)
