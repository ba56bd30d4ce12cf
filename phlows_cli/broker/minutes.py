"""What apps are asked to run each minute (`tick` of a host)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import RequestError
from phlows_cli.model import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.hooks import Application

log = logging.getLogger("phlows.tick")

MINUTE: Final = 60


class Minutes:
    """Runs each host's tick at the turn of the minute, one at a time.

    Args:
        broker: whose hosts.
        clock: Unix seconds.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float] = time.time) -> None:
        self._broker = broker
        self._clock = clock
        self._minute = self._now()
        self._running: set[str] = set()

    def look(self) -> None:
        """Start what is due; called about once a second."""
        now = self._now()
        if now == self._minute or self._broker.is_draining:
            return
        self._minute = now
        for app in self._broker.apps.values():
            if app.host.tick:
                self._start(app)

    def _now(self) -> int:
        return int(self._clock() // MINUTE)

    def _start(self, app: Application) -> None:
        if app.host.name in self._running:
            self._broker.drops.count("tick while the last one was running")
            return
        self._running.add(app.host.name)
        self._broker.tasks.spawn(self._run(app))

    async def _run(self, app: Application) -> None:
        """A failing tick is logged and counted like a failing hook."""
        host = app.host
        try:
            await self._broker.run(app, Task(host.name, host.tick))
        except RequestError as error:
            log.warning("tick not run: %s", error, extra={"host": host.name})
        finally:
            self._running.discard(host.name)
