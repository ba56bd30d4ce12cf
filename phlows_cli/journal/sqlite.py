"""The durable journal: a thread that writes what the event loop hands it.

All that waits is written in one transaction; there is no timer. A waiting
caller adds at most one change, so sockets bound what waits.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from phlows_cli.journal.journal import Entry, JournalError
from phlows_cli.journal.store import DELETE, PROBE, TOKEN, Statement, insertion, token_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phlows_cli.journal.store import Store

log = logging.getLogger("phlows.journal")
T = TypeVar("T")

BATCH: Final = 1000
"""Changes of one transaction."""

RETRY_INTERVAL: Final = 1.0
"""Seconds until changes that nobody waits for are tried again."""

HELD: Final = 100_000
"""Such changes that are held; over it the eldest are lost, and counted."""


class _Request(NamedTuple):
    """A change, or something else to do with the store; `done` is told."""

    statement: Statement | None = None
    work: Callable[[Store], object] | None = None
    done: asyncio.Future[Any] | None = None


class SqliteJournal:
    """A journal in a file; see Journal for what it promises.

    Args:
        store: opened; the thread closes it.
        on_loss: told, on the event loop, how many changes were lost.
    """

    def __init__(self, store: Store, on_loss: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._on_loss = on_loss
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._again: list[Statement] = []
        self.problem = ""
        self._thread = Thread(target=self._work, name="phlows-journal", daemon=True)
        self._thread.start()

    async def open(self, entry: Entry) -> None:
        """See Journal."""
        await self._written(insertion(entry))

    def authenticate(self, socket: str, token: str) -> None:
        """See Journal."""
        self._requests.put(_Request((TOKEN, (token_bytes(token), socket))))

    async def begin(self, entry: Entry) -> None:
        """See Journal."""
        await self._written(insertion(entry))

    def remove(self, socket: str) -> None:
        """See Journal."""
        self._requests.put(_Request((DELETE, (socket,))))

    def give_up(self, entry: Entry) -> None:
        """See Journal."""
        self._requests.put(_Request(insertion(entry, given_up=True)))

    async def orphans(self) -> tuple[int, list[Entry]]:
        """See Journal."""
        return await self._worked(lambda store: store.orphans())

    async def drop(self, sockets: Iterable[str]) -> int:
        """See Journal."""
        named = list(sockets)
        return await self._worked(lambda store: store.drop(named))

    async def stop(self) -> None:
        """See Journal."""
        self._requests.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _written(self, statement: Statement) -> None:
        done = self._loop.create_future()
        self._requests.put(_Request(statement, done=done))
        await done

    async def _worked(self, work: Callable[[Store], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()
        self._requests.put(_Request(work=work, done=done))
        return await done

    # In the thread

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch = self._next_batch()
            is_open = None not in batch
            requests = [request for request in batch if request is not None]
            self._write([request for request in requests if request.statement is not None])
            for request in requests:
                if request.work is not None:
                    self._do(request)
        self._store.close()

    def _next_batch(self) -> list[_Request | None]:
        """Wait for a request, and take those that are there by then."""
        batch: list[_Request | None] = []
        with suppress(Empty):
            batch.append(
                self._requests.get(timeout=RETRY_INTERVAL if self._again or self.problem else None)
            )
            while len(batch) < BATCH and batch[-1] is not None:
                batch.append(self._requests.get_nowait())
        return batch

    def _write(self, requests: list[_Request]) -> None:
        """Write changes; of those that fail, the ones that nobody waits for are kept."""
        statements = [*self._again, *(it.statement for it in requests if it.statement)]
        if not statements and self.problem:
            statements = [PROBE]  # nobody is let in, so nobody else would find out
        if not statements:
            return
        try:
            self._store.write(statements)
        except sqlite3.Error as error:
            self._keep(requests)
            failure = JournalError(f"the journal cannot be written: {error}")
            failure.__cause__ = error
            self._tell(requests, failure)
        else:
            self._again.clear()
            self._tell(requests, None)

    def _keep(self, requests: list[_Request]) -> None:
        self._again += [it.statement for it in requests if it.statement and it.done is None]
        lost = len(self._again) - HELD
        if lost > 0:
            del self._again[:lost]
            self._call(self._on_loss, lost)

    def _do(self, request: _Request) -> None:
        try:
            result = request.work(self._store) if request.work else None
        except sqlite3.Error as error:
            self._settle([request], None, JournalError(f"the journal cannot be read: {error}"))
        else:
            self._settle([request], result, None)

    def _tell(self, requests: list[_Request], failure: JournalError | None) -> None:
        was_failing, self.problem = bool(self.problem), str(failure or "")
        if was_failing != bool(self.problem):
            if failure is not None:
                log.error("the journal cannot be written: %s", failure.__cause__)
            else:
                log.info("the journal can be written again")
        self._settle(requests, None, failure)

    def _settle(self, requests: list[_Request], result: object, failure: Exception | None) -> None:
        waiting = [request.done for request in requests if request.done is not None]
        if waiting:
            self._call(_settle_all, waiting, result, failure)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop is closed: nobody is there to be told
            return


def _settle_all(
    waiting: list[asyncio.Future[Any]], result: object, failure: Exception | None
) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(result)
        else:
            done.set_exception(failure)
