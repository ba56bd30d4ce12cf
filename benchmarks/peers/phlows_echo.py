"""phlows as it is, but for the app: a runtime in the broker that sends each message back.

Everything else is the real thing - server, session, hooks, journal, metrics, limits -
so what is measured is the way of a message through them, without any process behind.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from phlows_cli import service
from phlows_cli.__main__ import main
from phlows_cli.model import HookResult, Outcome

if TYPE_CHECKING:
    from phlows_cli.model import Event
    from phlows_cli.runtime.runtime import OnLine, WorkerReport

_ACCEPTED = HookResult(Outcome.ACCEPTED)


class Echo:
    """A runtime that answers receive with its message, and accepts the rest."""

    message_limit = 1_000_000
    busy = queued = worker_count = 0
    problem = ""

    def workers(self) -> list[WorkerReport]:
        return []

    async def warm(self, count: int) -> str:  # noqa: ARG002 - as the protocol has it
        return ""

    async def call(self, event: Event, on_line: OnLine) -> HookResult:
        if event.data is not None:
            on_line(event.data.encode())
        return _ACCEPTED

    def is_full(self, coming: int = 0) -> bool:  # noqa: ARG002 - as the protocol has it
        return False

    async def retire(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        await asyncio.sleep(0)


service.runtime_for = lambda *_: Echo()
main()
