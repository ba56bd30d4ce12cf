"""How many app processes run at once, and who is next.

The slots are shared by all hosts. Each host waits in a lane of its own: first
come, first served in a lane; when a slot is free, lane after lane, those first
that have none. So a quiet host waits for the end of one hook at most.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class Slots:
    """A fixed number of slots, handed out lane by lane."""

    __slots__ = ("_rotas", "free", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        # only lanes that wait and may take one more, so that each turn is one step
        self._rotas: tuple[OrderedDict[Lane, None], ...] = (OrderedDict(), OrderedDict())

    def lane(self, limit: int) -> Lane:
        """Make a lane, which takes at most `limit` slots at a time."""
        return Lane(self, limit)

    def resize(self, total: int) -> None:
        """Hand out more or fewer from now on; what is taken stays taken."""
        self.free += total - self.total
        self.total = total
        self._hand_out()

    def lane_changed(self, lane: Lane) -> None:
        """Give out what is free, now that a lane is longer or shorter."""
        self._enrol(lane)
        self._hand_out()

    def _hand_out(self) -> None:
        while self.free > 0 and (rota := self._rotas[0] or self._rotas[1]):
            chosen, _ = rota.popitem(last=False)
            self.free -= chosen.serve_next()
            self._enrol(chosen)

    def _enrol(self, lane: Lane) -> None:
        """Put a lane where it belongs: with those that have no slot, or the others."""
        wants = lane.waiting and lane.running < lane.limit
        for has_some, rota in enumerate(self._rotas):
            if wants and bool(lane.running) == has_some:
                rota.setdefault(lane)
            else:
                rota.pop(lane, None)


class Lane:
    """One host's way to the slots."""

    __slots__ = ("_queue", "_slots", "limit", "running")

    def __init__(self, slots: Slots, limit: int) -> None:
        self._slots = slots
        self._queue: OrderedDict[asyncio.Future[bool], None] = OrderedDict()
        self.limit = limit
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many wait in this lane."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many could be served at once now."""
        return max(0, min(self.limit - self.running, self._slots.free))

    async def acquire(self, patience: float | None) -> bool:
        """Wait for a slot; every True needs one release().

        Args:
            patience: seconds to wait at most; None waits on.

        Returns:
            False when patience ran out, or refuse_waiting() was called.
        """
        loop = asyncio.get_running_loop()
        served: asyncio.Future[bool] = loop.create_future()
        self._queue[served] = None
        self._slots.lane_changed(self)
        timer = None if patience is None else loop.call_later(patience, self._refuse, served)
        try:
            return await served
        except asyncio.CancelledError:
            self._leave(served)
            raise
        finally:
            if timer:
                timer.cancel()

    def release(self) -> None:
        """Give a slot back, to whoever is next."""
        self.running -= 1
        self._slots.free += 1
        self._slots.lane_changed(self)

    def refuse_waiting(self) -> None:
        """Answer False to everyone who waits in this lane."""
        for served in list(self._queue):
            self._refuse(served)

    def serve_next(self) -> bool:
        """Give the first in the lane a slot; False when nobody is left."""
        while self._queue:
            served, _ = self._queue.popitem(last=False)
            if not served.done():  # cancelled, and yet to leave
                served.set_result(True)
                self.running += 1
                return True
        return False

    def _refuse(self, served: asyncio.Future[bool]) -> None:
        if not served.done():
            served.set_result(False)
            del self._queue[served]
            self._slots.lane_changed(self)

    def _leave(self, served: asyncio.Future[bool]) -> None:
        """Take a cancelled waiter out: perhaps in the very turn it was served."""
        if served in self._queue:
            del self._queue[served]
            self._slots.lane_changed(self)
        elif not served.cancelled() and served.result():
            self.release()
