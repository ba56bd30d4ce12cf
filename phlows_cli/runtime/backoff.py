"""When to boot again an app that did not boot."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("phlows.workers")

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
"""Seconds without a boot after the first failure, doubled each time, and at most."""

LOGGED_WORDS: Final = 300
"""Characters of an app's own words on its failure that are logged."""


class Backoff:
    """Pauses between boots that fail; one log line when that begins, and when it ends.

    Args:
        host: as the log names it.
        on_over: called when a pause is over.
    """

    def __init__(self, host: str, on_over: Callable[[], None]) -> None:
        self._host = host
        self._on_over = on_over
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._over.set()
        self.reason = ""
        self._words = ""

    @property
    def details(self) -> str:
        """The reason with what the app said, for who may read its log."""
        return f"{self.reason}: {self._words}" if self._words else self.reason

    @property
    def is_on(self) -> bool:
        """Whether no boot should be tried now."""
        return self._timer is not None

    def failed(self, reason: str, words: str = "") -> None:
        """Count a failed boot; those that fail together are one.

        Args:
            reason: why, without anything that the app said.
            words: what the app said, for the log.
        """
        is_new = reason != self.reason
        self.reason, self._words = reason, words[:LOGGED_WORDS]
        if self.is_on:
            return
        self._failures += 1
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 16), LONGEST_PAUSE)
        if is_new:
            said = {"text": self._words} if words else {}
            log.error("app does not boot", extra={"host": self._host, "reason": reason, **said})
        self._over.clear()
        self._timer = asyncio.get_running_loop().call_later(pause, self._end)

    def succeeded(self) -> None:
        """Forget the failures: the app boots."""
        if self._failures:
            log.info("app boots again", extra={"host": self._host, "failures": self._failures})
        self._failures, self.reason = 0, ""
        self.stop()

    async def over(self) -> None:
        """Wait until the pause is over, or given up."""
        await self._over.wait()

    def stop(self) -> None:
        """End the pause without a word to anybody but those who wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._over.set()

    def _end(self) -> None:
        self.stop()
        self._on_over()
