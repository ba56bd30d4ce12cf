"""What the broker needs of a connection."""

from __future__ import annotations

from typing import Protocol


class Peer(Protocol):
    """The client's side of a session."""

    @property
    def address(self) -> str:
        """Where the client is, as far as proxies can be trusted."""

    @property
    def agent(self) -> str:
        """The client's User-Agent, cut."""

    @property
    def shared(self) -> int:
        """Frames that it was sent as one of all sockets of its host."""

    def send(self, frame: bytes) -> bool:
        """Queue one frame; false when it cannot take it and is being closed."""

    def reply(self, frame: bytes, extra: int = 0) -> bool:
        """The same for a frame of this client alone, which others do not hold up.

        `extra` bytes may wait for it besides limits.send_buffer.
        """

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what is queued, then end the connection."""

    def pause_reading(self) -> None:
        """Take no more messages: TCP tells the client to wait."""

    def resume_reading(self) -> None:
        """Take messages again."""
