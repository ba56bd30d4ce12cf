"""The end of a broker: waiting events, closed sockets, close hooks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from phlows_cli.model import CloseCode

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker

log = logging.getLogger("phlows.broker")

CLOSE_SLICE: Final = 100
"""Sockets closed at a time when all are closed..."""

CLOSE_PAUSE: Final = 0.01
"""...with so many seconds between, so that they do not all come back at once."""

HURRIED: Final = 2.0
"""Seconds that close hooks get when a second signal came."""


class Drain:
    """One broker that ends in order; `hurry` may be set at any time."""

    def __init__(self, broker: Broker, hurry: asyncio.Event) -> None:
        self._broker = broker
        self._hurry = hurry

    async def run(self, seconds: float) -> int:
        """See Broker.drain()."""
        broker, tasks = self._broker, self._broker.tasks
        deadline = broker.clock() + seconds
        for session in broker.sessions():
            session.peer.pause_reading()
        await self._settle(seconds / 2)
        await self._close_all()
        left = await self._settle(max(0.0, deadline - broker.clock()))
        if left and self._hurry.is_set():
            left = await tasks.settle(min(HURRIED, max(0.0, deadline - broker.clock())))
        left += broker.closings.unstarted
        if left:
            log.error("hooks were cut at the end of drain_timeout", extra={"count": left})
        return left

    async def _settle(self, seconds: float) -> int:
        """Wait for what runs, unless someone is in a hurry."""
        waits = {
            asyncio.ensure_future(self._broker.tasks.settle(seconds)),
            asyncio.ensure_future(self._hurry.wait()),
        }
        _, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        return len(self._broker.tasks)

    async def _close_all(self) -> None:
        sessions = self._broker.sessions()
        for number, session in enumerate(sessions, 1):
            wait = self._broker.entrance.comeback.after_restart(len(sessions))
            session.end(CloseCode.DRAIN, f"restarting, come back in {wait} s")
            if number % CLOSE_SLICE == 0:
                await asyncio.sleep(CLOSE_PAUSE)
