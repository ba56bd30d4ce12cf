"""What goes to all sockets of a host: kept once, joined once, written to each."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from phlows_cli.broker.audience import Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from phlows_cli.broker.peer import Peer
    from phlows_cli.server.outbox import Flusher, Outbox


class Crowd:
    """The `Audience` of outboxes: a cast to 10,000 of them is one entry in one list.

    Frames are numbered; each outbox knows the number of the first that it has
    not taken (`taken`). A pass goes from one to the next, a slice a loop turn,
    and writes what each has yet to get: the same bytes for all who are at the
    same number. Casts that come meanwhile ride with it, and those who were
    passed by then have another one. What is kept is `flush_size` at most, or one
    larger frame: whoever has more to send waits until a pass is over.

    An outbox whose client does not read is sent every frame by itself, to be
    counted against its bounds, until the client reads again.
    """

    __slots__ = (
        "_first",
        "_flusher",
        "_frames",
        "_has_more",
        "_joined",
        "_joined_from",
        "_marks",
        "_members",
        "_pass",
        "_pass_end",
        "_position",
        "_stalled",
        "_total",
        "_waiting",
        "end",
    )

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher
        self._members: dict[Outbox, None] = {}
        self._stalled: dict[Outbox, None] = {}
        self._frames: list[bytes] = []
        self._marks: list[int] = []  # for each of them, the bytes that were sent before
        self._total = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._first = 0  # the number of the first frame that is kept
        self.end = 0  # the number that the next one gets
        self._joined = b""
        self._joined_from = -1
        self._pass: list[Outbox] | None = None
        self._pass_end = 0  # all who were passed have the frames before this one
        self._position = 0
        self._has_more = False

    # What the broker asks for

    def join(self, peer: Peer) -> None:
        """See Audience."""
        outbox = cast("Outbox", peer)
        outbox.crowd = self
        if outbox.is_stalled:
            self._stalled[outbox] = None
        else:
            self._admit(outbox)

    def leave(self, peer: Peer) -> None:
        """See Audience: what it has yet to get becomes its own."""
        outbox = cast("Outbox", peer)
        if outbox.crowd is self:
            outbox.leave_crowd()

    def send(self, frame: bytes, left_out: AbstractSet[Peer]) -> Sent:
        """See Audience."""
        others = cast("AbstractSet[Outbox]", left_out)
        count = len(self._members)
        for outbox in others:
            count -= outbox in self._members
            outbox.take_shared()
        self._append(frame)
        for outbox in others:
            if outbox in self._members:
                outbox.skip_shared()
        slow = _send_each([*self._stalled], frame, others) if self._stalled else _NOBODY
        return Sent(count + slow.number, slow.handled + len(others))

    def has_room(self, size: int) -> bool:
        """See Audience."""
        return not self._waiting and self._fits(size)

    def when_room(self, size: int, send: Callable[[], None]) -> None:
        """See Audience; what may be sent now is sent."""
        self._waiting.append((size, send))
        self._let_in()

    # What outboxes ask for

    def remove(self, outbox: Outbox) -> None:
        """It has left."""
        self._members.pop(outbox, None)
        self._stalled.pop(outbox, None)

    def stall(self, outbox: Outbox) -> None:
        """Its client does not read: it has taken what there was, and gets the rest by itself."""
        if self._members.pop(outbox, outbox) is None:
            self._stalled[outbox] = None

    def unstall(self, outbox: Outbox) -> None:
        """Its client reads again."""
        if self._stalled.pop(outbox, outbox) is None:
            self._admit(outbox)

    def since(self, number: int) -> list[bytes]:
        """The frames from a number on."""
        return self._frames[number - self._first :]

    def size_since(self, number: int) -> int:
        """Their bytes."""
        return self._total - self._marks[number - self._first]

    def joined_since(self, number: int) -> bytes:
        """The same in one piece, which all who are at that number share."""
        if number != self._joined_from:
            frames = self.since(number)
            self._joined = frames[0] if len(frames) == 1 else b"".join(frames)
            self._joined_from = number
        return self._joined

    # What the flusher asks for

    @property
    def is_due(self) -> bool:
        """Whether somebody has yet to get something."""
        return self._pass is not None

    def write(self, most: int) -> int:
        """Go on with the pass.

        Args:
            most: outboxes that are written.

        Returns:
            How many were.
        """
        written = 0
        while written < most and self._pass is not None:
            if self._position == len(self._pass):
                self._turn_round()
                continue
            end = self._position + most - written
            written += self._write_to(self._pass[self._position : end])
        return written

    def _write_to(self, outboxes: Sequence[Outbox]) -> int:
        """Write to those who have yet to get something; returns how many that were."""
        end, seen, written = self.end, 0, 0
        try:
            for outbox in outboxes:
                seen += 1
                number = outbox.taken
                if number == end or number < 0:
                    continue
                written += 1
                if outbox.size:
                    outbox.flush_shared()
                    continue
                # nothing of its own is before it: each microsecond here is one a socket
                data = self._joined if number == self._joined_from else self.joined_since(number)
                outbox.taken = end  # before the write, within which the transport may stall it
                outbox.transport.write(data)
        finally:
            self._position += seen
        return written

    # Inner parts

    def _admit(self, outbox: Outbox) -> None:
        self._members[outbox] = None
        outbox.share_from(self.end)
        self._has_more = True  # this pass may go by without it

    def _append(self, frame: bytes) -> None:
        if not self._members:
            return
        self._frames.append(frame)
        self._marks.append(self._total)
        self._total += len(frame)
        self.end += 1
        self._joined_from = -1
        if self._pass is None:
            self._begin_pass()
            self._flusher.add_crowd(self)
        elif self._position:
            self._has_more = True

    def _begin_pass(self) -> None:
        self._pass = list(self._members)
        self._pass_end = self.end
        self._position = 0
        self._has_more = False

    def _turn_round(self) -> None:
        """Everybody has what there was when the pass began: forget that, and go on or rest."""
        known = self._pass_end if self._has_more else self.end
        del self._frames[: known - self._first]
        del self._marks[: known - self._first]
        self._first = known
        self._joined, self._joined_from = b"", -1
        self._pass = None
        if self._frames:
            self._begin_pass()
        self._let_in()

    def _fits(self, size: int) -> bool:
        """Whether so many bytes may be kept, too."""
        kept = self._total - self._marks[0] if self._marks else 0
        return not kept or kept + size <= self._flusher.flush_size

    def _let_in(self) -> None:
        """Let those send who wait, as long as there is room."""
        while self._waiting and self._fits(self._waiting[0][0]):
            _, send = self._waiting.popleft()
            send()


_NOBODY = Sent(0, 0)


def _send_each(outboxes: Iterable[Outbox], frame: bytes, left_out: AbstractSet[Outbox]) -> Sent:
    wanted = [outbox for outbox in outboxes if outbox not in left_out]
    return Sent(sum(outbox.send(frame) for outbox in wanted), len(wanted))
