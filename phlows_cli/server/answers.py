"""What the bridge can answer besides bytes: later, or bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that takes a while. The work never raises."""

    work: Coroutine[Any, Any, bytes]


class Stream(Protocol):
    """An answer in pieces, after which the connection is of no more use."""

    def start(self, transport: asyncio.Transport) -> None:
        """Send the head and begin."""

    def stop(self) -> None:
        """The reader is gone."""

    def stall(self) -> None:
        """The reader is slower than what is sent."""

    def unstall(self) -> None:
        """The reader has read what it was sent."""


Answer: TypeAlias = bytes | Later | Stream
