"""What becomes of a cast besides its delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlows_cli.broker.events import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.broker.events import Event
    from phlows_cli.broker.session import Session
    from phlows_cli.model import Cast, Receipt


def hold(cast: Cast, frame: bytes, waiting: Mapping[str, Session]) -> int:
    """Keep a cast for the sockets that may yet turn out to be its audience.

    Args:
        cast: as it came.
        frame: what they would be sent.
        waiting: the host's sockets that are not authenticated, by id.

    Returns:
        How many keep it.
    """
    if cast.target.only_sockets:
        return 0
    held = 0
    for id_, session in waiting.items():
        if id_ not in cast.excluded and id_ not in cast.target.sockets:
            session.hold(cast, frame)
            held += 1
    return held


def fate(cast: Cast, receipt: Receipt) -> Event:
    """Tell of a cast without saying what is in it."""
    return {
        "target": describe(cast.target),
        "bytes": len(cast.payload),
        "sent": receipt.sent,
        "dropped": receipt.dropped,
        "held": receipt.held,
    }
