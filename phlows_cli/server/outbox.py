"""Everything that goes to one socket, in order, joined into one write a turn."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.server.crowd import Crowd

SLICE: Final = 192
"""Sockets written a loop turn, and as many replies: a cast to 10,000 must not stall them."""

FLUSH_SIZE: Final = 65_536
"""Bytes gathered before they are written at once, so that TCP can push back."""


class Flusher:
    """Writes the outboxes that have something, a slice a loop turn.

    Frames that arrive for an outbox before its slice is due leave in the same
    write: that is where the speed of a busy fan-out comes from.
    `send_buffer` bounds the bytes waiting for one client (or they are one larger
    frame), `send_total` those for all; `waiting` is what paused clients hold now.
    """

    def __init__(self, send_buffer: int, send_total: int) -> None:
        self.resize(send_buffer, send_total)
        self.waiting = 0
        self.stalled: dict[Outbox, None] = {}
        self._due: deque[Outbox] = deque()
        self._replies: deque[Outbox] = deque()
        self._crowds: deque[Crowd] = deque()
        self._is_scheduled = False
        self._call_soon: Callable[..., object] = asyncio.get_running_loop().call_soon

    def resize(self, send_buffer: int, send_total: int) -> None:
        """Hold to other bounds from now on."""
        self.send_buffer = send_buffer
        self.send_total = send_total
        self.flush_size = min(FLUSH_SIZE, send_buffer)

    def add(self, outbox: Outbox) -> None:
        """Write this outbox in one of the next turns."""
        self._due.append(outbox)
        self._schedule()

    def add_crowd(self, crowd: Crowd) -> None:
        """Write what this crowd has for all of its outboxes, in the next turns."""
        if crowd not in self._crowds:
            self._crowds.append(crowd)
        self._schedule()

    def hasten(self, outbox: Outbox) -> None:
        """Write this outbox, which was added, before those that only casts wait for."""
        self._replies.append(outbox)

    def _flush_slice(self) -> None:
        replies, due = self._replies, self._due
        try:
            for _ in range(min(SLICE, len(replies))):
                replies.popleft().flush()
            for _ in range(min(SLICE, len(due))):
                due.popleft().flush()
            self._write_crowds()
        finally:
            self._is_scheduled = False
            if due or replies or self._crowds:
                self._schedule()

    def _write_crowds(self) -> None:
        """Each once at most; those of other hosts are next."""
        crowds, left = self._crowds, SLICE
        for _ in range(len(crowds)):
            if not left:
                break
            left -= crowds[0].write(left)
            if crowds[0].is_due:
                crowds.rotate(-1)
            else:
                crowds.popleft()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._call_soon(self._flush_slice)

    def fullest(self) -> Outbox | None:
        """The stalled client that holds the most."""
        return max(self.stalled, key=lambda outbox: outbox.size + outbox.stuck, default=None)


class Outbox:
    """The frames that wait for one client.

    While its transport takes bytes, frames wait one turn at most. While it
    does not (`is_stalled`), they stay here as shared bytes and are counted:
    a frame that would pass `send_buffer` makes the client a slow consumer.
    `size` is the bytes that wait here, `stuck` those that a stalled transport
    holds. What its `crowd` is sent waits there: `taken` numbers the first frame
    that this outbox has yet to take, -1 while it gets none from there.
    """

    __slots__ = (
        "_frames",
        "_shared_before",
        "_shared_since",
        "crowd",
        "flusher",
        "is_ending",
        "is_sealed",
        "is_stalled",
        "size",
        "stuck",
        "taken",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, flusher: Flusher, transport: asyncio.Transport) -> None:
        self.flusher = flusher
        self.transport = transport
        self._frames: list[bytes] = []
        self._shared_before = 0
        self._shared_since = 0
        self.crowd: Crowd | None = None
        self.taken = -1
        self.size = 0
        self.stuck = 0
        self.is_stalled = False
        self.is_sealed = False
        self.is_ending = False

    def send(self, frame: bytes, extra: int = 0) -> bool:
        """Queue a frame; false when the client cannot take it, or has gone.

        Args:
            frame: whole.
            extra: bytes that may wait for it besides `send_buffer`.
        """
        if self.is_sealed:
            return False
        if self.is_stalled:
            return self._send_stalled(frame, extra)
        if self.crowd is not None and self.taken != self.crowd.end:
            self.take_shared()
        frames = self._frames
        if not frames:
            self.flusher.add(self)
        frames.append(frame)
        self.size += len(frame)
        if self.size > self.flusher.flush_size:
            self.flush()
        return True

    def reply(self, frame: bytes, extra: int = 0) -> bool:
        """Queue a frame that does not wait its turn behind those of a large cast."""
        is_taken = self.send(frame, extra)
        if self._frames and not self.is_stalled:
            self.flusher.hasten(self)
        return is_taken

    def seal(self, frame: bytes, *, ends: bool) -> None:
        """Queue the last bytes; later ones are refused.

        Args:
            frame: usually a close frame; may be empty.
            ends: whether the stream ends after it.
        """
        self.leave_crowd()
        self.is_sealed = True
        self.is_ending = ends
        self._push(frame)

    def flush(self) -> None:
        """Write what waits, in one write."""
        frames = self._frames
        if not frames or self.is_stalled:
            return
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        # Emptied before the write: the transport may stall this outbox within it.
        self._frames = []
        self.size = 0
        if data:
            self.transport.write(data)
        if self.is_ending:
            self.on_end()

    def stall(self) -> None:
        """The transport holds all that it should."""
        if self.crowd is not None:
            self._stop_sharing()
            self.crowd.stall(self)
        self.is_stalled = True
        self.stuck = self.transport.get_write_buffer_size()
        self.flusher.stalled[self] = None
        self.flusher.waiting += self.size + self.stuck

    def unstall(self) -> None:
        """The transport's buffer is empty again."""
        self.is_stalled = False
        self._let_go()
        self.flusher.waiting -= self.size
        self.flush()
        if self.crowd is not None and not self.is_stalled:
            self.crowd.unstall(self)

    def clear(self) -> int:
        """Throw away what waits; returns how many frames that were."""
        if self.is_stalled:
            self.flusher.waiting -= self.size
        count = len(self._frames)
        self._frames = []
        self.size = 0
        return count

    def abandon(self) -> int:
        """Send nothing any more, not even what waits; returns its frames."""
        self.leave_crowd()
        count = self.clear()
        self.is_sealed = True
        self.is_ending = False
        self._let_go()
        return count

    # What its crowd asks for

    @property
    def shared(self) -> int:
        """Frames that it was sent as one of a crowd."""
        if self.crowd is None or self.taken < 0:
            return self._shared_before
        return self._shared_before + self.crowd.end - self._shared_since

    def share_from(self, number: int) -> None:
        """Get what the crowd is sent from this frame on."""
        self.taken = self._shared_since = number

    def skip_shared(self) -> None:
        """Do without the last frame: it is for the others."""
        self.taken += 1
        self._shared_since += 1

    def take_shared(self) -> None:
        """Make what it has yet to get its own: something is to go behind it."""
        crowd = self.crowd
        if crowd is None or self.taken < 0 or self.taken == crowd.end:
            return
        if not self._frames:
            self.flusher.add(self)
        self._frames += crowd.since(self.taken)
        self.size += crowd.size_since(self.taken)
        self.taken = crowd.end

    def flush_shared(self) -> None:
        """Write what it has yet to get, together with what waits before that."""
        self.take_shared()
        self.flush()

    def leave_crowd(self) -> None:
        """Get nothing any more; what it has yet to get becomes its own."""
        if self.crowd is not None:
            self._stop_sharing()
            self.crowd.remove(self)
            self.crowd = None

    def _stop_sharing(self) -> None:
        self.take_shared()
        self._shared_before = self.shared
        self.taken = -1

    # What a connection does

    def on_slow_consumer(self) -> None:
        """A frame did not fit: close this client."""
        raise NotImplementedError

    def on_end(self) -> None:
        """The last bytes were written: end the stream."""
        raise NotImplementedError

    def cut(self) -> None:
        """Close this client at once: others need the room that it takes."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """The transport holds nothing that is counted any more."""
        self.flusher.stalled.pop(self, None)
        self.flusher.waiting -= self.stuck
        self.stuck = 0

    def _push(self, frame: bytes) -> None:
        if self.is_stalled:
            self.flusher.waiting += len(frame)
        elif not self._frames:
            self.flusher.add(self)
        self._frames.append(frame)
        self.size += len(frame)

    def _send_stalled(self, frame: bytes, extra: int) -> bool:
        if self._has_room(len(frame), extra):
            self._push(frame)
            return True
        self.on_slow_consumer()
        return False

    def _has_room(self, size: int, extra: int) -> bool:
        """Whether a stalled client may have `size` bytes more; cuts the fullest for it."""
        flusher = self.flusher
        waiting = self.size + self.transport.get_write_buffer_size()
        if (waiting and waiting + size > flusher.send_buffer + extra) or size > flusher.send_total:
            return False
        while flusher.waiting + size > flusher.send_total:
            fullest = flusher.fullest()
            if fullest is None or fullest is self:
                return False
            fullest.cut()
        return True
