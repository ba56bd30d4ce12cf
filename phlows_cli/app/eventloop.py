"""The one event loop of a worker, for hooks that are async."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from phlows_cli.app.hooks import awaited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from contextvars import Context

ROUNDS = 10
"""How often tasks may start others while they are being cancelled."""


class EventLoop:
    """Runs what is async, one event after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_Threads())

    def settled(self, value: Awaitable[object], context: Context) -> object:
        """Wait for a value; the tasks that it leaves behind are cancelled."""
        task = self._loop.create_task(awaited(value), context=context)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if task.done() and not task.cancelled():
                task.exception()  # seen: an exit goes past run_until_complete
            self._cancel_the_rest()

    def close(self) -> None:
        """Close the loop, at the worker's end."""
        self._loop.close()

    def _cancel_the_rest(self) -> None:
        for number in range(ROUNDS):
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                return
            if not number:
                sys.stderr.write(f"phlows: {len(tasks)} tasks were left behind and are cancelled\n")
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


class _Threads(ThreadPoolExecutor):
    """Threads that know for which event they work, though they outlive it."""

    def submit(self, fn: Callable[..., Any], /, *args: object, **keywords: object) -> Future[Any]:
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **keywords))
