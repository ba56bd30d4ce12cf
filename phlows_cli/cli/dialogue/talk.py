"""One conversation, from the open link to its end."""

from __future__ import annotations

import json
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.dialogue import typed
from phlows_cli.cli.dialogue.closing import error_of
from phlows_cli.cli.dialogue.happenings import Closed, Message, Sent
from phlows_cli.cli.output import visible
from phlows_cli.errors import TimedOutError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket

    from phlows_cli.cli.dialogue.happenings import Happening
    from phlows_cli.cli.dialogue.link import Link
    from phlows_cli.cli.dialogue.screens import Screen
    from phlows_cli.cli.dialogue.sources import Line, Source

BACKLOG: Final = 256 * 1024
"""Bytes waiting to be sent, over which no more lines are taken."""

FULL: Final = 32 * 1024 * 1024
"""Bytes waiting over which nothing is read either: answers to pings add up."""

STALL: Final = 60.0
"""Seconds that a server may take nothing of what waits for it."""

CLOSE_TIMEOUT: Final = 5.0
GOODBYE: Final = 1.0
"""Seconds that a person who has interrupted us waits at most."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a conversation begins with, and when it ends.

    `wait` is seconds without a message after the last line; `count` the
    messages after which it ends, `lifetime` seconds in all: 0 is no such end.
    `ping_interval` is seconds, 0 for no pings of ours.
    """

    token: str | None = None
    first: str | None = None
    is_text: bool = False
    wait: float = 2.0
    count: int = 0
    lifetime: float = 0.0
    ping_interval: float = 0.0


class Talk:
    """Sends lines, shows what comes, and ends by the terms.

    `waker` can be read when a signal came; its handler has run by then.
    """

    def __init__(
        self, link: Link, screen: Screen, source: Source, terms: Terms, waker: socket
    ) -> None:
        self._waker = waker
        self._link = link
        self._screen = screen
        self._source = source
        self._terms = terms
        now = time.monotonic()
        self._heard_at = now
        self._pinged_at = now
        self._ends_at = now + terms.lifetime if terms.lifetime else None
        self._closing_at: float | None = None
        self._left = terms.count
        self._closed: Closed | None = None
        self._limit = ""
        self._mistake: UsageError | None = None

    def run(self) -> None:
        """Hold the conversation.

        Raises:
            PhlowsError: it did not end in order; its exit code says how.
        """
        try:
            self._begin()
            while self._closed is None:
                self._turn()
        finally:
            self._say_goodbye()
        problem = self._mistake or error_of(self._closed)
        if problem is not None:
            raise problem
        if self._left:
            raise TimedOutError(self._shortfall())

    def _shortfall(self) -> str:
        """Say how many came of those that were counted on, and which limit ended it."""
        count, limit = self._terms.count, self._limit
        said = f"{count - self._left} of {count} messages came (--count)"
        if not limit:
            return said
        seconds = self._terms.lifetime if limit == "--for" else self._terms.wait
        return f"{said} until {limit} {seconds:g} ended it: give that longer"

    def _begin(self) -> None:
        if self._terms.token is not None and self._link.is_open:
            auth = {"type": "auth", "token": self._terms.token}
            self._link.send(json.dumps(auth, ensure_ascii=False, separators=(",", ":")))
            self._screen.show(Sent(None))
        if self._terms.first is not None:
            self._send(self._terms.first)
        self._take_all(self._link.first())
        self._source.ready()

    def _say_goodbye(self) -> None:
        """Close in order also where something else has ended the conversation."""
        if self._closed is None and not self._link.is_over:
            self._link.close(1000)
            until = time.monotonic() + GOODBYE
            while not self._link.is_over and (left := until - time.monotonic()) > 0:
                select.select([self._link], [self._link] if self._link.backlog else [], [], left)
                self._link.receive()
        self._link.hang_up()

    # Turns

    def _turn(self) -> None:
        """Wait for something, and deal with it."""
        readable = self._wait()
        if self._link in readable or self._link.has_pending():
            self._take_all(self._link.receive())
        elif self._link.backlog:
            self._link.flush()
        if self._source in readable and self._closed is None:
            self._take_lines()
        if self._waker in readable:
            self._waker.recv(64)
        if self._closed is None:
            self._keep_time(time.monotonic())

    def _wait(self) -> list[Link | Source | socket]:
        if self._link.has_pending():
            return []
        reading: list[Link | Source | socket] = [self._waker]
        if self._link.backlog < FULL:
            reading.append(self._link)
        if self._link.is_open and not self._is_fed and self._link.backlog < BACKLOG:
            reading.append(self._source)
        writing = [self._link] if self._link.backlog else []
        return select.select(reading, writing, [], self._patience())[0]

    @property
    def _is_fed(self) -> bool:
        """Whether nothing more will be sent: the end of the lines, or one that is wrong."""
        return self._source.is_over or self._mistake is not None

    def _patience(self) -> float | None:
        """Seconds until time itself has something to say."""
        now = time.monotonic()
        moments = [self._ends_at, self._closes_by(), self._quiet_at(), self._pings_at()]
        if self._link.backlog:
            moments.append(now + STALL - self._link.stalled())
        known = [moment for moment in moments if moment is not None]
        return max(0.0, min(known) - now) if known else None

    def _quiet_at(self) -> float | None:
        if not self._is_fed or not self._link.is_open:
            return None
        return self._heard_at + self._terms.wait

    def _pings_at(self) -> float | None:
        if not self._terms.ping_interval or not self._link.is_open:
            return None
        return self._pinged_at + self._terms.ping_interval

    def _closes_by(self) -> float | None:
        return None if self._closing_at is None else self._closing_at + CLOSE_TIMEOUT

    def _keep_time(self, now: float) -> None:
        """Do what is due."""
        if self._link.stalled() >= STALL:
            raise TimedOutError(f"the server has taken nothing for {STALL:g} s")
        if not self._link.is_open and self._closing_at is None:
            self._closing_at = now  # the server has begun to close
        if _is_due(self._closes_by(), now):
            self._end(self._link.ending())
            self._screen.remark(f"the server did not finish the close within {CLOSE_TIMEOUT:g} s")
        elif _is_due(self._ends_at, now):
            self._run_out("--for")
        elif _is_due(self._quiet_at(), now):
            self._run_out("--wait")
        elif _is_due(self._pings_at(), now):
            self._ping_again()

    def _run_out(self, limit: str) -> None:
        self._limit = limit
        self._close(1000)

    def _ping_again(self) -> None:
        interval = self._terms.ping_interval
        if self._link.silent() >= interval:
            raise TimedOutError(f"no answer to a ping for {interval:g} s (--ping-interval)")
        self._link.ping()
        self._pinged_at = time.monotonic()

    def _close(self, code: int, reason: str = "") -> None:
        if self._link.is_open:
            self._link.close(code, reason)
            self._closing_at = time.monotonic()
        self._ends_at = None

    def _end(self, closed: Closed) -> None:
        self._closed = closed
        self._screen.show(closed)

    # What came

    def _take_all(self, happenings: Iterable[Happening]) -> None:
        for one in happenings:
            if isinstance(one, Closed):
                self._end(one)
            elif not isinstance(one, Message):
                self._screen.show(one)
            elif self._left or not self._terms.count:
                self._screen.show(one)
                self._heard_at = time.monotonic()
                self._count_one()

    def _count_one(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                self._close(1000)

    # What is sent

    def _take_lines(self) -> None:
        if self._source.is_typed:
            for line in self._source.lines():
                self._take_typed(line.text)
        else:
            self._take_piped()
        if self._is_fed:
            self._heard_at = time.monotonic()
            if self._source.is_typed:
                self._close(1000)
        elif self._link.is_open:
            self._source.ready()

    def _take_piped(self) -> None:
        """Send; a mistake is the last line, for nobody is there to mend it."""
        try:
            for line in self._source.lines():
                self._send(self._message(line))
        except UsageError as error:
            self._mistake = error

    def _message(self, line: Line) -> str:
        try:
            return typed.message(line.text, is_text=self._terms.is_text)
        except UsageError as error:
            raise UsageError(f"{line.where}: {error}") from None

    def _take_typed(self, line: str) -> None:
        """Carry out a command, or send; a mistake is told and nothing else."""
        try:
            if line.startswith("/"):
                self._command(*line.split(maxsplit=1))
            else:
                self._send(typed.message(line, is_text=self._terms.is_text))
        except UsageError as error:
            self._screen.remark(f"error: {visible(str(error))}")

    def _command(self, name: str, rest: str = "") -> None:
        if name == "/ping" and self._link.is_open:
            self._link.ping()
        elif name == "/close":
            self._close(*typed.close_arguments(rest))
        elif name == "/quit":
            self._close(1000)
        elif name == "/help":
            for text in typed.HELP:
                self._screen.remark(text)
        elif name not in typed.COMMANDS:
            self._screen.remark(f"error: {typed.unknown_command(name)}")

    def _send(self, text: str) -> None:
        if not self._link.is_open:
            return
        self._link.send(text)
        self._screen.show(Sent(text))


def _is_due(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now
