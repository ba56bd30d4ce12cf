"""Who is sent what goes to all sockets of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from phlows_cli.broker.peer import Peer


class Sent(NamedTuple):
    """How many sockets have a frame, and for how many something was done for it now."""

    number: int
    handled: int


class Audience(Protocol):
    """The authenticated sockets of one host, as those who write to them see them."""

    def join(self, peer: Peer) -> None:
        """Send it what is sent from now on."""

    def leave(self, peer: Peer) -> None:
        """Send it nothing any more; one that has left already is ignored."""

    def send(self, frame: bytes, left_out: AbstractSet[Peer]) -> Sent:
        """Queue a frame for all but a few, who may be none of them."""

    def has_room(self, size: int) -> bool:
        """Whether so many bytes may be sent now; more than that is to wait."""

    def when_room(self, size: int, send: Callable[[], None]) -> None:
        """Call `send` once there is room for so many bytes, first come, first served."""


class EachInTurn:
    """The audience of peers that know nothing of each other."""

    def __init__(self) -> None:
        self._peers: dict[Peer, None] = {}

    def join(self, peer: Peer) -> None:
        """See Audience."""
        self._peers[peer] = None

    def leave(self, peer: Peer) -> None:
        """See Audience."""
        self._peers.pop(peer, None)

    def send(self, frame: bytes, left_out: AbstractSet[Peer]) -> Sent:
        """See Audience."""
        peers = [peer for peer in self._peers if peer not in left_out]
        return Sent(sum(peer.send(frame) for peer in peers), len(peers))

    def has_room(self, size: int) -> bool:  # noqa: ARG002 - each one's bounds are its own
        """See Audience."""
        return True

    def when_room(self, size: int, send: Callable[[], None]) -> None:  # noqa: ARG002 - the same
        """See Audience."""
        send()
