"""What happens, as it happens, for those who watch. Costs nothing unwatched."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.broker.recording import Recorder
from phlows_cli.model import token_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phlows_cli.model import Target

Event = dict[str, Any]
BACKLOG: Final = 1000
"""Events one slow reader may be behind before it loses some."""


@dataclass(slots=True, eq=False)
class Watch:
    """One reader: its filters, and the events it has not taken yet.

    `wake` is called when events arrive for a reader that had none. `filters`
    may have host, token (a sha256 or its first 12), socket and type.
    """

    wake: Callable[[], None]
    filters: Mapping[str, str] = field(default_factory=dict)
    lost: int = 0
    waiting: deque[Event] = field(default_factory=deque)

    def offer(self, event: Event) -> None:
        """Queue an event that passes the filters, or count it as lost."""
        if not self._wants(event):
            return
        if len(self.waiting) >= BACKLOG:
            self.lost += 1
            return
        self.waiting.append(event)
        if len(self.waiting) == 1:
            self.wake()

    def take(self) -> list[Event]:
        """The events since the last take; the last tells how many were lost."""
        events = list(self.waiting)
        self.waiting.clear()
        if self.lost:
            events.append({"time": time.time(), "type": "lost", "count": self.lost})
            self.lost = 0
        return events

    def _wants(self, event: Event) -> bool:
        return all(
            event.get(name) == (value[:12] if name == "token" else value)
            for name, value in self.filters.items()
        )


class Events:
    """Publishes to every watch; keeps nothing for those that come later.

    `recorder` does so with what is said in hook calls, which no watch is told.
    """

    def __init__(self) -> None:
        self.recorder = Recorder()
        self._watches: set[Watch] = set()

    @property
    def is_watched(self) -> bool:
        """Whether an event would be seen: ask before building one."""
        return bool(self._watches)

    def add(self, watch: Watch) -> None:
        """Start to watch."""
        self._watches.add(watch)

    def discard(self, watch: Watch) -> None:
        """Stop watching."""
        self._watches.discard(watch)

    def publish(self, type_: str, host: str, fields: Event, token: str | None = None) -> None:
        """Tell the watches; a token is shown as its hash, cut to 12."""
        if not self._watches:
            return
        event: Event = {"time": time.time(), "type": type_, "host": host}
        if token is not None:
            event["token"] = token_hash(token)[:12]
        event |= fields
        for watch in self._watches:
            watch.offer(event)


def describe(target: Target) -> list[str]:
    """A target as it may be shown: tokens as hashes, cut to 12."""
    shown = replace(
        target,
        tokens=frozenset(f"token:{token_hash(token)[:12]}" for token in target.tokens),
        not_tokens=frozenset(f"token:not:{token_hash(t)[:12]}" for t in target.not_tokens),
    )
    everyone = ["all"] if target.everyone else []
    sockets = (f"socket:{id_}" for id_ in target.sockets)
    return everyone + sorted([*shown.tokens, *shown.not_tokens, *sockets])
