"""Background tasks whose failures are logged and that stop together."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger("phlows.tasks")


class Tasks:
    """A set of running tasks; each leaves it when it ends."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work in the background; its failure is logged, not raised."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def settle(self, timeout: float) -> int:  # noqa: ASYNC109 - a bound, not a scope
        """Wait until all have ended, tasks started meanwhile included.

        Args:
            timeout: seconds to wait at most.

        Returns:
            How many still run.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._running and (left := deadline - loop.time()) > 0:
            await asyncio.wait(set(self._running), timeout=left)
        return len(self._running)

    async def stop(self) -> None:
        """Cancel what runs and wait for it."""
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(set(self._running))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("a background task failed", exc_info=failure)
