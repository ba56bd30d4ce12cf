"""One event of a resident app, between the queue and the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phlows_cli.model import Event, HookResult
    from phlows_cli.runtime.resident import Resident
    from phlows_cli.runtime.settings import OnLine
    from phlows_cli.runtime.slots import Place
    from phlows_cli.runtime.worker import Job, Worker


class Errand:
    """An event on its way through the pool: its slot, its worker, its job."""

    __slots__ = ("_pool", "event", "job", "on_line", "place", "worker")

    def __init__(self, pool: Resident, event: Event, on_line: OnLine) -> None:
        self._pool = pool
        self.event = event
        self.on_line = on_line
        self.place: Place | None = None
        self.worker: Worker | None = None
        self.job: Job | None = None

    def begin(self, place: Place) -> None:
        """See Starter."""
        self.place = place
        self._pool.start(self)

    async def run(self) -> HookResult:
        """Go on from there."""
        return await self._pool.run(self)

    async def abandon(self) -> None:
        """See Starter."""
        await self._pool.abandon(self)

    def forget(self) -> None:
        """Let go of what refers to us: no event is left to the garbage collector."""
        self.place = self.worker = self.job = None

    def job_ended(self, worker: Worker) -> None:
        """See Client."""
        self._pool.release(worker, self)
