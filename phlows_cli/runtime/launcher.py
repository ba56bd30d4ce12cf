"""Lets processes start while the loop goes on, or one a loop turn."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from phlows_cli.runtime import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from phlows_cli.runtime.spawn import Child, Command

THREADS: Final = 2
"""Starts that wait for the kernel at once: more do not start any faster."""


class Launcher:
    """Starts processes in the order in which it is asked to.

    Where threads help, they wait for the kernel instead of the loop. Where they
    do not, starts are one a loop turn: each holds the loop for up to a
    millisecond, and twenty in a row would be felt by every socket.
    """

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._queue: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def start(
        self,
        command: Command,
        folder: str,
        env: Mapping[str, str],
        *,
        patience: float,
        has_stdin: bool = False,
    ) -> Child:
        """Start a program; whoever is cancelled meanwhile leaves none behind.

        Raises:
            OSError: it could not be started, or not within `patience` seconds (a
                file system that hangs); nothing is left behind.
            ValueError: a NUL where the system takes none.
        """
        begin = partial(spawn.start, command, folder, env, has_stdin=has_stdin)
        if not spawn.is_for_threads():
            await self._turn()
            return begin()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "phlows-start")
        try:
            async with asyncio.timeout(patience):
                return await _result_of(self._threads.submit(begin))
        except TimeoutError:
            told = f"the system did not start it within {patience:g} s"
            raise OSError(errno.ETIMEDOUT, told) from None

    async def _turn(self) -> None:
        """Wait until a process may be started, and start it at once then."""
        loop = asyncio.get_running_loop()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._next, loop)
            return
        called: asyncio.Future[None] = loop.create_future()
        self._queue.append(called)
        await called

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue:
            called = self._queue.popleft()
            if not called.done():
                called.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._is_taken = False


async def _result_of(starting: Future[Child]) -> Child:
    try:
        return await asyncio.shield(asyncio.wrap_future(starting))
    except asyncio.CancelledError:
        if not starting.cancel():
            starting.add_done_callback(_abandon)
        raise


def _abandon(starting: Future[Child]) -> None:
    """End what was started for somebody who is not there any more."""
    if not starting.cancelled() and starting.exception() is None:
        spawn.end_at_once(starting.result())
