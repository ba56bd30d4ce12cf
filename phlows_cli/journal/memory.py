"""A journal that ends with the process (`journal = "memory"`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from phlows_cli.journal.journal import SHOWN_ORPHANS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phlows_cli.journal.journal import Entry

KEPT: Final = 10_000
"""Given-up entries that are kept; the eldest goes first."""


class MemoryJournal:
    """Keeps nothing but what was given up.

    Args:
        on_loss: told how many entries were lost; nobody, by default.
    """

    def __init__(self, on_loss: Callable[[int], None] = lambda _count: None) -> None:
        self._given_up: dict[str, Entry] = {}
        self._on_loss = on_loss

    problem = ""

    async def open(self, entry: Entry) -> None:
        """Nothing survives a crash: the session knows what it owes."""

    def authenticate(self, socket: str, token: str) -> None:
        """The session knows its token."""

    async def begin(self, entry: Entry) -> None:
        """The session knows its attempts."""

    def remove(self, socket: str) -> None:
        """Forget an entry that was given up."""
        self._given_up.pop(socket, None)

    def give_up(self, entry: Entry) -> None:
        """See Journal."""
        self._given_up[entry.socket] = entry
        if len(self._given_up) > KEPT:
            del self._given_up[next(iter(self._given_up))]
            self._on_loss(1)

    async def orphans(self) -> tuple[int, list[Entry]]:
        """See Journal."""
        entries = list(self._given_up.values())
        return len(entries), entries[:SHOWN_ORPHANS]

    async def drop(self, sockets: Iterable[str]) -> int:
        """See Journal."""
        named = set(sockets) or set(self._given_up)
        found = named & self._given_up.keys()
        for socket in found:
            del self._given_up[socket]
        return len(found)

    async def stop(self) -> None:
        """What was given up is lost now."""
        if self._given_up:
            self._on_loss(len(self._given_up))
