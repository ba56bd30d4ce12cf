"""All that the terminal shows. No I/O: what happened goes in, nothing comes out."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.event_filter import HASH_LENGTH, EventFilter
from phlows_cli.cli.tui.columns import BY_NAME, Column
from phlows_cli.cli.tui.connections import Connections
from phlows_cli.cli.tui.feed import Feed
from phlows_cli.cli.tui.layout import Layout, arrange
from phlows_cli.cli.tui.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.event_filter import Event
    from phlows_cli.cli.tui.connection import Connection

ALWAYS_SORTED: Final = 1000
"""Connections up to which each one that comes or goes sorts them again."""

SLOW: Final = 500.0
"""Milliseconds from which a hook stands out when --slow names none."""


@dataclass(slots=True)
class Order:
    """How the connections are sorted, and which of them are shown."""

    column: Column = BY_NAME["AGE"]
    is_reversed: bool = False
    search: str = ""

    def rows(self, connections: Iterable[Connection]) -> list[Connection]:
        """Sort those that have every word of the search."""
        words = self.search.lower().split()
        found = [c for c in connections if not words or _has(c, words)]
        found.sort(key=lambda connection: connection.socket)
        found.sort(key=self.column.sort_key, reverse=self.is_reversed)
        return found


def _has(connection: Connection, words: list[str]) -> bool:
    text = connection.text()
    return all(word in text for word in words)


@dataclass(slots=True)
class Typing:
    """A line that is being typed: a search, or what to cast.

    `before` is the search to go back to, `to` who was selected for the cast.
    """

    purpose: str
    text: str = ""
    problem: str = ""
    before: str = ""
    to: Connection | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done to a connection; the payload is a cast's."""

    host: str
    socket: str
    payload: bytes | None = None

    def __str__(self) -> str:
        if self.payload is None:
            return f"disconnect {self.socket}"
        return f"cast {len(self.payload)} bytes to {self.socket}"


@dataclass(slots=True)
class State:
    """The broker, its connections and its events, and what the person looks at."""

    url: str
    wanted: EventFilter = field(default_factory=EventFilter)
    width: int = 80
    height: int = 24
    now: float = 0.0
    clock: float = 0.0
    health: dict[str, Any] = field(default_factory=dict)
    health_at: float = 0.0
    troubles: dict[str, str] = field(default_factory=dict)
    problem_since: float = 0.0
    connections: Connections = field(default_factory=Connections)
    rates: Rates = field(default_factory=Rates)
    feed: Feed = field(init=False)
    order: Order = field(default_factory=Order)
    rows: list[Connection] = field(default_factory=list)
    top: int = 0
    index: int = 0
    selected: Connection | None = None
    is_detail: bool = False
    is_help: bool = False
    help_top: int = 0
    typing: Typing | None = None
    question: Deed | None = None
    message: str = ""
    is_alarming: bool = False
    is_stale: bool = False

    def __post_init__(self) -> None:
        self.feed = Feed(self.wanted)
        self.clock = self.clock or time.time()

    # What happened

    def tick(self, now: float, clock: float) -> None:
        """Tell the time: a monotonic one, and that of the calendar."""
        self.now, self.clock = now, clock

    def apply_event(self, event: Event) -> None:
        """Take one event of /events."""
        self.rates.count(event, self.now)
        self.feed.add(event)
        if self.connections.apply_event(event, self.now):
            self.is_stale = True

    def apply_presence(self, rows: Iterable[dict[str, Any]], asked: float) -> None:
        """Take an answer of /presence that was asked for at `asked`."""
        self.connections.apply_presence(rows, asked, self.now)
        self.sort()

    def apply_health(self, health: dict[str, Any]) -> None:
        """Take an answer of /health."""
        self.health, self.health_at = health, self.now

    def apply_link(self, problem: str, source: str = "events") -> None:
        """Something does not answer, with a reason, or it does again: ""."""
        before = bool(self.problem)
        self.troubles[source] = problem
        if bool(self.problem) != before:
            self.problem_since = self.now

    def say(self, text: str, *, is_alarming: bool = False) -> None:
        """Show a result in the last line until a key is pressed."""
        self.message, self.is_alarming = text, is_alarming

    def resize(self, width: int, height: int) -> None:
        """The screen has another size."""
        self.width, self.height = width, height

    # What is shown

    @property
    def layout(self) -> Layout:
        """The lines of each part of the screen."""
        return arrange(self.width, self.height, self.host_lines, is_detail=self.is_detail)

    @property
    def host_lines(self) -> int:
        """Lines for the hosts, and for those that do not boot."""
        names = {*self.health.get("configured", ()), *self.health.get("hosts", ())}
        lines = max(len(names), len(self.health.get("pools", ())), 1)
        return lines + len(self.problems) + bool(self.health.get("dropped"))

    @property
    def problem(self) -> str:
        """Why the broker cannot be followed now; "" when it can."""
        return next(filter(None, self.troubles.values()), "")

    @property
    def problems(self) -> dict[str, str]:
        """Why hosts cannot run events."""
        problems: dict[str, str] = self.health.get("problems") or {}
        return problems

    def counts(self) -> dict[str, dict[str, int]]:
        """Authenticated sockets and their tokens by host, as the table has them.

        Of hosts that are not asked for, only /health tells.
        """
        tokens: dict[str, Counter[str]] = {}
        for one in self.connections.by_socket.values():
            if one.is_authenticated:
                tokens.setdefault(one.host, Counter())[one.token[:HASH_LENGTH]] += 1
        known = self.health.get("hosts", {})
        names = {*known, *tokens} if not self.wanted.host else {*tokens, self.wanted.host}
        found = {name: tokens.get(name, Counter()) for name in names}
        own = {name: {"sockets": of.total(), "tokens": len(of)} for name, of in found.items()}
        return {**known, **own}

    @property
    def slow(self) -> float:
        """Milliseconds from which a hook stands out."""
        return SLOW if self.wanted.slow is None else self.wanted.slow

    @property
    def has_hosts(self) -> bool:
        """Whether there is more than one host to tell apart."""
        return not self.wanted.host and len(self.health.get("configured", ())) > 1

    def sort(self) -> None:
        """Put the rows in order; the selection stays with its socket."""
        self.rows = self.order.rows(self.connections.by_socket.values())
        self.is_stale = False
        self._find_selected()

    def settle(self) -> None:
        """Make rows and selection fit each other, just before it is painted."""
        if self.is_stale and len(self.connections) <= ALWAYS_SORTED:
            self.sort()
        elif self.is_stale:
            # Thousands come and go: they are sorted when presence is asked next.
            self.rows = [row for row in self.rows if not row.left]
            self.is_stale = False
            self._find_selected()
        self.index = max(0, min(self.index, len(self.rows) - 1))
        page = max(1, self.layout.table)
        if not self.is_detail:
            lowest = max(0, len(self.rows) - page)
            self.top = max(self.index - page + 1, min(self.top, self.index, lowest))

    def select(self, index: int) -> None:
        """Move the selection to a row, or to the nearest there is."""
        self.index = max(0, min(index, len(self.rows) - 1))
        self.selected = self.rows[self.index] if self.rows else None

    def _find_selected(self) -> None:
        if self.selected is None:
            self.index = self.top = 0
        elif not self.selected.left:
            self.index = self._index_of(self.selected)
        elif not self.is_detail:
            self.select(self.index)

    def _index_of(self, wanted: Connection) -> int:
        return next((i for i, row in enumerate(self.rows) if row is wanted), self.index)
