"""What happens on a connection, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Opened:
    """The server has accepted the upgrade."""

    url: str
    address: str


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message came: text, or bytes where it was binary."""

    content: str | bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was handed on; of the auth message there is no text."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Ping:
    """The server asked whether we are there, and was answered."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The server answered a ping of ours, in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Closed:
    """The end: its code, and who closed: "server", "client" or "nobody".

    `fault` is what the other side did wrong, where that made us close.
    """

    code: int
    reason: str
    by: str
    fault: str = ""


Happening: TypeAlias = Opened | Message | Sent | Ping | Pong | Closed
