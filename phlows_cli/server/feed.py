"""A reader of /events or /record: lines as they happen, as fast as it reads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from phlows_cli.wire.response import chunk, stream_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Sized

_encoder = msgspec.json.Encoder()


class Reader(Protocol):
    """What waits for one reader."""

    @property
    def waiting(self) -> Sized:
        """What it has not taken yet."""

    def take(self) -> Sequence[object]:
        """Some of that, or all, as JSON values."""


R = TypeVar("R", bound=Reader)
R_contra = TypeVar("R_contra", bound=Reader, contravariant=True)


class Source(Protocol[R_contra]):
    """What is published."""

    def add(self, reader: R_contra, /) -> None:
        """Publish to it."""

    def discard(self, reader: R_contra, /) -> None:
        """Publish to it no more."""


class Feed(Generic[R]):
    """An endless answer; `start` begins it and `stop` must end it.

    Args:
        source: what is published.
        reader: makes what waits, given what it calls when there is something.
    """

    def __init__(self, source: Source[R], reader: Callable[[Callable[[], None]], R]) -> None:
        self._source = source
        self._watch = reader(self._wake)
        self._transport: asyncio.Transport | None = None
        self._is_stalled = False

    def start(self, transport: asyncio.Transport) -> None:
        """Send the head and watch."""
        self._transport = transport
        transport.write(stream_head())
        self._source.add(self._watch)
        self._flush()

    def stop(self) -> None:
        """The reader is gone."""
        self._source.discard(self._watch)
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
        if self._watch.waiting:
            self._wake()
