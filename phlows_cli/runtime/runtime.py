"""How an app is called: what every runtime promises, and the one factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from phlows_cli.runtime.command import ARGUMENT_LIMIT, command_for
from phlows_cli.runtime.http import Url
from phlows_cli.runtime.oneshot import OneShot
from phlows_cli.runtime.resident import Resident
from phlows_cli.runtime.settings import OnLine, OnStderr, RuntimeSettings
from phlows_cli.runtime.worker import WorkerReport

if TYPE_CHECKING:
    from phlows_cli.model import Event, HookResult, Host

__all__ = [
    "ARGUMENT_LIMIT",
    "OnLine",
    "OnStderr",
    "Runtime",
    "RuntimeSettings",
    "WorkerReport",
    "command_for",
    "runtime_for",
]


class Runtime(Protocol):
    """One host's app. A hook is run at most once; calls run side by side.

    Who wants a socket's hooks in order awaits one call before the next.
    """

    @property
    def message_limit(self) -> int:
        """Bytes of UTF-8 that one receive message may have."""

    @property
    def busy(self) -> int:
        """How many hooks run now."""

    @property
    def queued(self) -> int:
        """How many events wait for their turn now."""

    @property
    def worker_count(self) -> int:
        """How many processes stay, booting and ending ones included."""

    @property
    def problem(self) -> str:
        """Why events cannot be run now; "" as long as nothing is known."""

    def workers(self) -> list[WorkerReport]:
        """Tell of the processes that stay, the eldest first."""

    async def warm(self, count: int) -> str:
        """Boot so many workers ahead, for a runtime that has some.

        Returns:
            Why they do not boot; "" when they did.
        """

    async def call(self, event: Event, on_line: OnLine) -> HookResult:
        """Run one hook or task; nothing that an app does makes this raise.

        `on_line` is called for each whole output line, in order and as it is
        printed, until this returns or raises; of output over the limit nothing is
        handed on from the line that crosses it. An event that finds the queue full, or waits longer
        than the host's timeout, is OVERLOADED and never starts; a close hook is
        never refused. Cancelling kills the process group before it returns.
        """

    def is_full(self, coming: int = 0) -> bool:
        """Whether a new event, unless it is a close, would be refused.

        Args:
            coming: events that are sure to come before it.
        """

    async def retire(self) -> None:
        """Wait until the hooks that were asked for are done, then stop."""

    async def stop(self) -> None:
        """Refuse what waits, kill what runs, and wait until it is gone.

        Calls that ran are FAILED; those that waited, or come later, OVERLOADED.
        """


def runtime_for(host: Host, settings: RuntimeSettings, on_stderr: OnStderr) -> Runtime:
    """Make the runtime of a host's app; only spare workers are started by that.

    Raises:
        ConfigError: the host has no app, or there is no PHP to run it.
    """
    if host.is_url:
        return Url(host, settings)
    if host.runtime == "resident":
        return Resident(host, settings, on_stderr)
    return OneShot(host, settings, on_stderr)
