"""The live connections: kept by events, mended by each /presence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.events import details
from phlows_cli.cli.tui.connection import Connection, from_row, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.event_filter import Event

LAST_LENGTH: Final = 200
"""Characters kept of what a connection did last."""


class Connections:
    """Every connection by its socket id.

    An answer of /presence is a moment old when it comes: what events said
    after it was asked for wins over it.
    """

    def __init__(self) -> None:
        self.by_socket: dict[str, Connection] = {}
        self._left: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.by_socket)

    def find(self, socket: str) -> Connection | None:
        """The connection that still lives."""
        return self.by_socket.get(socket)

    def apply_event(self, event: Event, now: float) -> bool:
        """Follow one event; returns whether somebody came or left."""
        socket = str(event.get("socket", ""))
        if not socket:
            return False
        known = self.by_socket.get(socket)
        is_new = event["type"] == "open" and known is None
        if is_new:
            known = self.by_socket[socket] = from_row(event, now)
        if known is None:
            return False
        _note(known, event)
        if event["type"] == "close":
            known.left = known.last
            self._left[socket] = now
            del self.by_socket[socket]
        return is_new or event["type"] == "close"

    def apply_presence(self, rows: Iterable[dict[str, Any]], asked: float, now: float) -> None:
        """Take over who is there, as it was asked for at `asked`."""
        there = set()
        for row in rows:
            socket = shown(row.get("socket", ""))
            if self._left.get(socket, -1.0) < asked:
                there.add(socket)
                self._take(socket, row, now)
        for socket, known in list(self.by_socket.items()):
            if socket not in there and known.added < asked:
                known.left = known.left or "it left unseen"
                del self.by_socket[socket]
        self._left = {socket: at for socket, at in self._left.items() if at >= asked}

    def _take(self, socket: str, row: dict[str, Any], now: float) -> None:
        known = self.by_socket.get(socket)
        if known is None:
            self.by_socket[socket] = from_row(row, now)
        else:
            known.update(row)


def _note(known: Connection, event: Event) -> None:
    """Write down what the connection did last."""
    kind = event["type"]
    known.last_at = event["time"]
    if kind == "auth":
        known.is_authenticated = True
        known.token = shown(event.get("token", known.token))
    known.received += kind == "receive"
    known.last = _words(event)[:LAST_LENGTH]


def _words(event: Event) -> str:
    """Say what happened; a hook's own name is enough, and who opened is told anyway."""
    words = "" if event["type"] == "open" else shown(details(event))
    kind = "" if event["type"] == "hook" else shown(event["type"])
    return f"{kind} {words}".strip()
