"""What all connections of a broker share: limits, deadlines, the bridge."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from phlows_cli.broker.deadlines import Deadlines
from phlows_cli.server.client_script import ClientScript
from phlows_cli.server.crowd import Crowd
from phlows_cli.server.keepalive import Keepalive
from phlows_cli.server.outbox import Flusher

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker
    from phlows_cli.config import Config
    from phlows_cli.server.access import Access
    from phlows_cli.server.bridge import Bridge
    from phlows_cli.server.channel import Channel
    from phlows_cli.server.connection import Connection
    from phlows_cli.server.gate import Gate

UNFINISHED_HEADS: Final = 1024
"""Connections that have not sent a whole request; one more and the oldest is cut."""

IDLE_TIMEOUT: Final = 75.0
"""Seconds a bridge connection may stay open between two requests."""

RESERVED: Final = 192
"""Connections over limits.max_connections that the bridge may have."""


class Front:
    """The shared side of every connection.

    Args:
        config: as loaded.
        broker: where upgrades and casts go.
        bridge: answers requests that are not upgrades.
        access: who may do what.
        tick: seconds between two calls of `tick`.
        room: connections that there are descriptors for, if that is more
            than limits.max_connections and RESERVED.
    """

    def __init__(
        self,
        config: Config,
        broker: Broker,
        bridge: Bridge,
        access: Access,
        tick: float,
        room: int = 0,
    ) -> None:
        server, limits = config.server, config.limits
        self.config = config
        self.broker = broker
        self.bridge = bridge
        self.client = ClientScript(server.paths)
        self.access = access
        self._room = room
        self.flusher = Flusher(limits.send_buffer, limits.send_total)
        broker.use_audiences(lambda: Crowd(self.flusher))
        self.connections: set[Connection] = set()
        self.channels: set[Channel] = set()
        self.gates: list[Gate] = []
        self._is_answered: asyncio.Event | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._pace = (server.ping_interval, tick)
        self._keepalive = Keepalive(*self._pace)
        self._heads: Deadlines[Connection] = Deadlines(limits.handshake_timeout)
        self._idle: Deadlines[Connection] = Deadlines(IDLE_TIMEOUT)
        self._ending: Deadlines[Connection] = Deadlines(server.close_timeout)
        self._closing: Deadlines[Channel] = Deadlines(server.close_timeout)

    def apply(self, config: Config, access: Access, tick: float) -> None:
        """Use another configuration for what comes from now on."""
        server, limits = config.server, config.limits
        self.config = config
        self.access = access
        self.flusher.resize(limits.send_buffer, limits.send_total)
        self._heads.seconds = limits.handshake_timeout
        self._ending.seconds = self._closing.seconds = server.close_timeout
        for gate in self.gates:
            gate.apply(limits.handshake_timeout)
        self._set_pace(server.ping_interval, tick)

    def _set_pace(self, ping_interval: float, tick: float) -> None:
        """Ping at another pace; at the same one, reloads must not put pings off."""
        if self._pace == (ping_interval, tick):
            return
        self._pace = (ping_interval, tick)
        self._keepalive = Keepalive(ping_interval, tick)
        for channel in self.channels:
            self._keepalive.add(channel)

    @property
    def is_full(self) -> bool:
        """Whether one connection more would touch the reserve of descriptors."""
        count = len(self.connections) + len(self.channels)
        count += sum(gate.arriving for gate in self.gates)
        return count >= max(self._room, self.broker.limits.max_connections + RESERVED)

    def make_room(self) -> bool:
        """Whether one connection more may be had; the longest idle goes for it."""
        if not self.is_full:
            return True
        oldest = self._idle.oldest() or self._heads.oldest()
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.abort()
        self.broker.drops.count("idle connection, cut for a new one")
        return True

    # Connections that are not upgraded

    def enter(self, connection: Connection) -> None:
        """A connection was accepted: its head is due."""
        self.connections.add(connection)
        self.await_head(connection)

    def leave(self, connection: Connection) -> None:
        """A connection was lost, or has become a channel."""
        self.connections.discard(connection)
        for deadlines in (self._heads, self._idle, self._ending):
            deadlines.discard(connection)

    def await_head(self, connection: Connection) -> None:
        """A request has begun and must be whole in time."""
        self._idle.discard(connection)
        if connection in self._heads:
            return
        while len(self._heads) >= UNFINISHED_HEADS and self._cut_oldest_head():
            continue
        self._heads.add(connection, self.broker.clock())

    def await_request(self, connection: Connection) -> None:
        """The connection is idle between two requests."""
        self._heads.discard(connection)
        self._idle.add(connection, self.broker.clock())

    def await_nothing(self, connection: Connection) -> None:
        """The connection is being answered."""
        self._heads.discard(connection)
        self._idle.discard(connection)

    def await_end(self, connection: Connection) -> None:
        """The last answer was sent; the other side is to close."""
        self.await_nothing(connection)
        self._ending.add(connection, self.broker.clock())

    # Channels

    def adopt(self, channel: Channel) -> None:
        """A connection was upgraded."""
        self.channels.add(channel)
        self._is_empty.clear()
        self._keepalive.add(channel)

    def await_close(self, channel: Channel) -> None:
        """A close frame was sent; the other side has close_timeout to answer."""
        if channel not in self._closing:
            self._closing.add(channel, self.broker.clock())

    def forget(self, channel: Channel) -> None:
        """A channel's connection was lost."""
        self.channels.discard(channel)
        self._closing.discard(channel)
        self._keepalive.discard(channel)
        if not self.channels:
            self._is_empty.set()

    async def wait_empty(self) -> None:
        """Wait until the last channel is gone."""
        await self._is_empty.wait()

    async def wait_answered(self, timeout: float) -> None:  # noqa: ASYNC109 - it gives up, and fails not
        """Let those who were accepted ask what they came for; the rest is cut.

        A tick looks whether somebody is still expected to.
        """
        if not self._heads:
            return
        self._is_answered = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_answered.wait(), timeout)

    # Time

    def tick(self) -> None:
        """Cut what is late and ping what is due."""
        now = self.broker.clock()
        for connection in self._heads.expired(now):
            connection.on_late_head()
        for late in (self._idle, self._ending):
            for connection in late.expired(now):
                connection.abort()
        for channel in self._closing.expired(now):
            channel.abort()
        for gate in self.gates:
            gate.tick()
        if self._is_answered is not None and not self._heads:
            self._is_answered.set()
        self._keepalive.tick()
        self.broker.sweep()

    def abort_all(self) -> None:
        """Cut every connection that is left at the end."""
        for connection in list(self.connections):
            connection.abort()
        for channel in list(self.channels):
            channel.abort()

    def _cut_oldest_head(self) -> bool:
        """Make room; false when nobody is late but the broker itself.

        Many accepts can come before the first read: to cut those who have sent
        their heads would turn a storm of reconnects into another one.
        """
        oldest = self._heads.oldest()
        if oldest is None or oldest.has_unread:
            return False
        self._heads.discard(oldest)
        self.broker.drops.count("unfinished head over 1024")
        oldest.abort()
        return True
