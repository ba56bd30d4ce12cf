"""What becomes of a cast: one frame, encoded once, for every socket in its audience."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from phlows_cli.broker.audience import Sent
from phlows_cli.broker.events import describe
from phlows_cli.model import Receipt
from phlows_cli.wire.frame import text_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.events import Event
    from phlows_cli.broker.session import Session
    from phlows_cli.model import Cast


def deliver(broker: Broker, cast: Cast) -> Receipt:
    """Queue a cast for its audience.

    Raises:
        UnknownHostError: the host is not registered.
    """
    waiting = broker.hub.waiting(cast.host)
    frame, size, sent = (_to_all if _is_for_all(cast) else _to_some)(broker, cast)
    broker.counts.casts += 1
    broker.counts.deliveries += sent.number
    if sent.handled:
        broker.turn.spend(sent.handled)
    held = hold(cast, frame, waiting) if waiting else 0
    receipt = Receipt(cast.host, sent.number, size - sent.number, held)
    if broker.events.is_watched:
        broker.events.publish("cast", cast.host, fate(cast, receipt))
    return receipt


def has_room(broker: Broker, cast: Cast) -> bool:
    """Whether a cast may be delivered now, or is to wait for those before it."""
    app = broker.apps.get(cast.host) if _is_for_all(cast) else None
    return app is None or app.audience.has_room(len(cast.payload))


async def deliver_in_turn(broker: Broker, cast: Cast) -> Receipt:
    """Queue a cast for its audience once there is room, first come, first served.

    Raises:
        UnknownHostError: the host is not registered any more.
    """
    receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    def send() -> None:
        if receipt.done():  # who asked was cancelled
            return
        try:
            receipt.set_result(deliver(broker, cast))
        except Exception as error:  # noqa: BLE001 - told to who asked, as without a wait
            receipt.set_exception(error)

    app = broker.apps.get(cast.host)
    if app is None:
        send()
    else:
        app.audience.when_room(len(cast.payload), send)
    return await receipt


def _is_for_all(cast: Cast) -> bool:
    return cast.target.everyone and not cast.target.sockets


def _to_all(broker: Broker, cast: Cast) -> tuple[bytes, int, Sent]:
    """The frame, how many it is for, and what became of it."""
    live = broker.hub.live(cast.host)
    left_out = {live[id_].peer for id_ in cast.excluded if id_ in live}
    frame = text_frame(cast.payload)
    size = len(live) - len(left_out)
    return frame, size, broker.apps[cast.host].audience.send(frame, left_out)


def _to_some(broker: Broker, cast: Cast) -> tuple[bytes, int, Sent]:
    """The same, to sockets that are picked one by one."""
    members = broker.hub.select(cast.host, cast.target, cast.excluded)
    frame, sent = text_frame(cast.payload), 0
    for member in members:  # as Session.deliver() does it: each microsecond is one a socket
        if member.peer.send(frame):
            member.sent += 1
            sent += 1
    return frame, len(members), Sent(sent, sent)


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
