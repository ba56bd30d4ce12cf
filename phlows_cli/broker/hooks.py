"""Events as hook calls, and what their answers mean to the broker."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from phlows_cli.broker.audience import EachInTurn
from phlows_cli.broker.bucket import TokenBucket
from phlows_cli.broker.masking import SHORTEST_SECRET
from phlows_cli.broker.recording import Take
from phlows_cli.errors import RequestError
from phlows_cli.model import Hook, HookResult, Outcome, Task
from phlows_cli.runtime.answer import values_in
from phlows_cli.runtime.protocol import WORKER_COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phlows_cli.broker.audience import Audience
    from phlows_cli.broker.drops import Drops
    from phlows_cli.broker.events import Events
    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.runtime import Runtime

log = logging.getLogger("phlows.hooks")

ABSENT: Final = HookResult(Outcome.ACCEPTED, started=False)
"""A hook that the app does not have: nothing is started, everybody is let through."""

LOG_RATE: Final = 20.0
"""Lines about what one app does wrong, logged a second; the rest are counted."""

LOGGED_TEXT: Final = 200
"""Characters of such a line that are logged."""


def _ignore(hook: Event, result: HookResult) -> None:
    """Nobody measures."""


class Application:
    """One host and how its app is called.

    A session keeps the application it was accepted with, so that a host that
    is removed still gets its close hooks. `runtime` is None on a push-only
    host; `audience` is its authenticated sockets; `sessions` counts those that
    still owe or run a hook, `connected` its sockets, those that are asked about
    before their upgrade included; `renewal` is held while its workers are
    replaced.
    """

    def __init__(
        self,
        host: Host,
        runtime: Runtime | None,
        drops: Drops,
        events: Events,
        observe: Callable[[Event, HookResult], None] = _ignore,
        audience: Audience | None = None,
    ) -> None:
        self.host = host
        self.runtime = runtime
        self.audience = audience or EachInTurn()
        self.sessions = 0
        self.connected = 0
        self.is_removed = False
        self.is_recovering = False  # while close hooks that a broker before has left run
        self.stale = ""  # why its workers run code of before: new ones did not boot
        self.entering = 0  # sockets on their way to connect: the journal comes first
        self.renewal = asyncio.Lock()
        self._drops = drops
        self._events = events
        self._recorder = events.recorder
        self._observe = observe
        self._log_lines = TokenBucket(LOG_RATE, time.monotonic())

    @property
    def is_full(self) -> bool:
        """Whether a new event would be refused."""
        return self.runtime is not None and self.runtime.is_full(self.entering)

    @property
    def message_limit(self) -> int:
        """Bytes of one message that the runtime can carry; 0: no limit of its own."""
        return 0 if self.runtime is None else self.runtime.message_limit

    def has(self, hook_name: str) -> bool:
        """Whether the app has this hook."""
        return hook_name in self.host.hooks

    async def call(self, hook: Event, send: Callable[[bytes], object] | None = None) -> HookResult:
        """Run a hook to its end.

        Args:
            hook: the event.
            send: takes each JSON object or array that the hook prints, as it
                is printed; None drops them (connect, auth, close).
        """
        if self.runtime is None or not self.has(hook.name):
            return ABSENT
        take = None
        if self._recorder.is_on and isinstance(hook, Hook):
            take = Take(hook, send)
            send = take.send

        def on_line(line: bytes) -> None:
            if send is not None:
                self._answer(hook, line, send)

        result = await self.runtime.call(hook, on_line)
        self._record(hook, result)
        if take is not None:
            self._recorder.keep(take, result)
        return result

    async def run(self, task: Task, on_line: Callable[[bytes], None]) -> HookResult:
        """Run a task to its end; `on_line` takes what it prints, a line at a time.

        Raises:
            RequestError: the host has no app, or the target is none.
        """
        if self.runtime is None:
            raise RequestError(f"host {self.host.name} has no app to run {task.target[:100]!r}")
        if task.target == WORKER_COMMAND:
            raise RequestError(f"{WORKER_COMMAND} makes a worker of the app: it is no call")
        result = await self.runtime.call(task, on_line)
        self._record(task, result)
        return result

    async def try_out(self, fresh: Runtime, count: int) -> str:
        """Use another runtime, once so many of its workers have booted.

        Returns:
            Why it is not used, as for who may read its log; "" when it is.
        """
        before = self.runtime
        problem = await fresh.warm(count)
        if self.runtime is not before or self.is_removed:
            problem = "its settings were changed meanwhile"
        elif problem:
            self.stale = f"new workers do not boot, the old ones go on: {fresh.problem}"
        else:
            self.runtime, self.stale = fresh, ""
        return problem

    def on_stderr(self, hook: Event, line: str) -> None:
        """Log what an app writes to stderr; the runtime bounds length and rate."""
        log.info("stderr", extra={**_ids(hook), "text": _without_token(line, hook)})

    def _answer(self, hook: Event, line: bytes, send: Callable[[bytes], object]) -> None:
        answer = values_in(line)
        for value in answer.sendable:
            send(value)
        if not answer.ignored:
            return
        text = line[: 4 * LOGGED_TEXT].decode("utf-8", "replace")
        shown = _without_token(text, hook)[:LOGGED_TEXT]
        self.warn("output not sent", {**_ids(hook), "reason": answer.ignored, "text": shown})

    def warn(self, fact: str, fields: Mapping[str, object]) -> None:
        """Log what an app did wrong; one that never stops does not fill the disk."""
        if self._log_lines.take(time.monotonic()):
            log.warning(fact, extra=fields)
        else:
            self._drops.count("log line about an app")

    def _record(self, hook: Event, result: HookResult) -> None:
        self._observe(hook, result)
        milliseconds = round(result.seconds * 1000, 3)
        if result.dropped:
            self._drops.count("bytes of output over limits.output", result.dropped)
            over = {"dropped": result.dropped, "limit": result.output_limit}
            self.warn("output over limits.output was dropped", {**_ids(hook), **over})
        if result.outcome not in (Outcome.ACCEPTED, Outcome.REFUSED):
            self._drops.count(f"{hook.name} {result.outcome}")
            why: dict[str, object] = {"target": hook.target} if isinstance(hook, Task) else {}
            why |= {"outcome": result.outcome, "ms": milliseconds, "reason": result.reason}
            self.warn("hook failed", {**_ids(hook), **why})
        if self._events.is_watched:
            fields = {
                "socket": hook.socket,
                "hook": hook.name,
                "ms": milliseconds,
                "outcome": str(result.outcome),
                "reason": result.reason,
            }
            if isinstance(hook, Task):
                fields["target"] = hook.target
            self._events.publish("hook", hook.host, fields, hook.token)


def _without_token(text: str, hook: Event) -> str:
    """An app's own words, without the token that PHP likes to quote in a trace."""
    return text.replace(hook.token, "[token]") if len(hook.token) >= SHORTEST_SECRET else text


def _ids(hook: Event) -> dict[str, str]:
    return {"host": hook.host, "hook": hook.name, "socket": hook.socket}
