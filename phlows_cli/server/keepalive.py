"""Pings, spread over the interval: one wheel, no task or timer a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phlows_cli.server.channel import Channel


class Keepalive:
    """Every channel is pinged once an interval, a slot of them a tick.

    Args:
        interval: seconds between two pings of one socket.
        tick: seconds between two calls of `tick`.
    """

    def __init__(self, interval: float, tick: float) -> None:
        self._slots: list[dict[Channel, None]] = [{} for _ in range(max(1, round(interval / tick)))]
        self._hand = 0
        self._spread = 0

    def add(self, channel: Channel) -> None:
        """Ping this channel from now on, first after half an interval at the soonest."""
        self._spread = (self._spread + 1) % max(1, len(self._slots) // 2)
        # The slot at the hand is due last, those behind it sooner and sooner.
        channel.keepalive_slot = (self._hand - self._spread) % len(self._slots)
        self._slots[channel.keepalive_slot][channel] = None

    def discard(self, channel: Channel) -> None:
        """The channel is gone."""
        self._slots[channel.keepalive_slot].pop(channel, None)

    def tick(self) -> None:
        """Ping the next slot; those that did not answer last time are cut."""
        self._hand = (self._hand + 1) % len(self._slots)
        for channel in list(self._slots[self._hand]):
            channel.keep_alive()
