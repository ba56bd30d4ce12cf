"""A reader of /events: lines as they happen, as fast as it reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from phlows_cli.broker.events import Watch
from phlows_cli.wire.response import chunk, stream_head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.broker.events import Events

_encoder = msgspec.json.Encoder()


class Feed:
    """An endless answer; `start` begins it and `stop` must end it.

    Args:
        events: what is published.
        filters: host, token, socket, type; those absent let all pass.
    """

    def __init__(self, events: Events, filters: Mapping[str, str]) -> None:
        self._events = events
        self._watch = Watch(self._wake, filters)
        self._transport: asyncio.Transport | None = None
        self._is_stalled = False

    def start(self, transport: asyncio.Transport) -> None:
        """Send the head and watch."""
        self._transport = transport
        transport.write(stream_head())
        self._events.add(self._watch)

    def stop(self) -> None:
        """The reader is gone."""
        self._events.discard(self._watch)
        self._transport = None

    def stall(self) -> None:
        """The reader is slower than the events: they wait, and are then lost."""
        self._is_stalled = True

    def unstall(self) -> None:
        """The reader has read what it was sent."""
        self._is_stalled = False
        self._flush()

    def _wake(self) -> None:
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport is None or self._is_stalled or not self._watch.waiting:
            return
        lines = [_encoder.encode(event) + b"\n" for event in self._watch.take()]
        self._transport.write(chunk(b"".join(lines)))
