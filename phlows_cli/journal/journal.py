"""The journal's promises: which sockets are owed a close hook, whatever happens.

Source: docs/protocol.md, "The journal".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from phlows_cli.errors import PhlowsError

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN_ORPHANS: Final = 1000
"""Given-up close hooks that are listed at once."""


class JournalError(PhlowsError):
    """The journal cannot be written: a full disk, most of the time."""


class Entry(NamedTuple):
    """A socket that is owed its close hook.

    `since` is Unix seconds; `attempts` counts the close hooks that were started
    for it; `reason` is why it ended, "" while it is open.
    """

    socket: str
    host: str
    token: str
    since: float
    attempts: int = 0
    reason: str = ""


class Journal(Protocol):
    """Keeps entries until their close hook has succeeded."""

    @property
    def problem(self) -> str:
        """Why nothing can be written now; "" when it can."""

    async def open(self, entry: Entry) -> None:
        """Keep an entry; it survives a crash from this method's end on.

        Raises:
            JournalError: it could not be written, and is not kept.
        """

    def authenticate(self, socket: str, token: str) -> None:
        """Give an entry another token; written soon."""

    async def begin(self, entry: Entry) -> None:
        """Note that attempt number `entry.attempts` is about to start.

        Raises:
            JournalError: it could not be noted.
        """

    def remove(self, socket: str) -> None:
        """Forget an entry whose close hook succeeded, or that is owed none; soon."""

    def give_up(self, entry: Entry) -> None:
        """Keep an entry for people to see; it is tried again at the next start."""

    async def orphans(self) -> tuple[int, list[Entry]]:
        """Count the entries given up, and list SHOWN_ORPHANS of them, the eldest first."""

    async def drop(self, sockets: Iterable[str]) -> int:
        """Forget entries given up; returns how many there were. None named: all."""

    async def stop(self) -> None:
        """Write what waits to be written, and let go of the file."""
