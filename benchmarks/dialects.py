"""How a contender is spoken to: handshakes, casts and their receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.wire import cast_request, post_request, upgrade_request

if TYPE_CHECKING:
    from benchmarks.crowd import Crowd

SOLO: Final = "solo"
"""The User-Agent of the first socket, by which its id is found."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The bridge's own: JSON that names host, target and data."""

    host: str

    def upgrade(self, crowd: Crowd, index: int) -> bytes:
        """The handshake of one socket; with targets, its cookie holds its token."""
        if crowd.target == "all":
            return upgrade_request(self.host)
        agent = SOLO if index == 0 else "one of many"
        more = f"Cookie: token={crowd.token_of(index)}\r\nUser-Agent: {agent}\r\n"
        return upgrade_request(self.host, more=more)

    def cast(self, address: str, target: str, data: bytes) -> bytes:
        """A request that casts."""
        return cast_request(address, self.host, data, target)

    def receipt(self, receivers: int) -> bytes:
        """What its answer must hold."""
        return b'"sent":%d,' % receivers


@dataclass(frozen=True, slots=True)
class Channels:
    """Nchan's: a socket subscribes to one channel, a body goes out as it is."""

    def upgrade(self, crowd: Crowd, index: int) -> bytes:
        """The handshake of one socket; its token is its channel."""
        channel = "all" if crowd.target == "all" else crowd.token_of(index)
        return upgrade_request("bench.test", f"/websocket?channel={channel}")

    def cast(self, address: str, target: str, data: bytes) -> bytes:
        """A request that publishes."""
        return post_request(address, f"/message?channel={target.removeprefix('token:')}", data)

    def receipt(self, receivers: int) -> bytes:
        """What its answer must hold."""
        return b"active subscribers: %d\r\n" % receivers
