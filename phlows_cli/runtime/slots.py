"""How many app processes run at once, and who is next.

The slots are shared by all hosts. Each host waits in a lane of its own: first
come, first served in a lane; when a slot is free, lane after lane, those first
that have none. So a quiet host waits for the end of one hook at most.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from phlows_cli.runtime.timeouts import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable

OnServed: TypeAlias = "Callable[[Place], None]"
"""Told that a place has become a slot."""


def _wait_for_it(place: Place) -> None:
    """Nothing begins before wait() returns."""


class Slots:
    """A fixed number of slots, handed out lane by lane."""

    __slots__ = ("_rotas", "free", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        # only lanes that wait and may take one more, so that each turn is one step
        self._rotas: tuple[OrderedDict[Lane, None], ...] = (OrderedDict(), OrderedDict())

    @property
    def is_awaited(self) -> bool:
        """Whether a lane that may take one more waits for a slot."""
        return bool(self._rotas[0] or self._rotas[1])

    def lane(self, limit: int, patience: float) -> Lane:
        """Make a lane.

        Args:
            limit: slots that it takes at most at a time.
            patience: seconds that a place in it waits at most.
        """
        return Lane(self, limit, patience)

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
            place = chosen.next_place()
            self.free -= place is not None
            self._enrol(chosen)
            if place is not None:
                place.serve()

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

    __slots__ = ("_queue", "_slots", "limit", "running", "timeouts")

    def __init__(self, slots: Slots, limit: int, patience: float) -> None:
        self._slots = slots
        self._queue: OrderedDict[Place, None] = OrderedDict()
        self.timeouts: Timeouts[Place] = Timeouts(patience, Place.refuse)
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

    def enter(self, on_served: OnServed = _wait_for_it) -> Place:
        """Line up; every place needs one leave().

        Args:
            on_served: called as soon as there is a slot, which may be now,
                before whoever waits for it goes on.
        """
        place = Place(self, on_served)
        self._queue[place] = None
        if len(self._queue) == 1:  # else this lane is where it belongs
            self._slots.lane_changed(self)
        return place

    def refuse_waiting(self) -> None:
        """Send everyone away who waits in this lane."""
        for place in list(self._queue):
            place.refuse()
        self.timeouts.close()

    # What slots and places ask for

    def next_place(self) -> Place | None:
        """Take the first who still waits out of the lane, to be served."""
        while self._queue:
            place, _ = self._queue.popitem(last=False)
            if not place.is_cancelled:
                self.running += 1
                return place
        return None

    def release(self) -> None:
        """Take a slot back, for whoever is next."""
        self.running -= 1
        if self._passes_on() and (place := self.next_place()) is not None:
            place.serve()
            return
        self._slots.free += 1
        self._slots.lane_changed(self)

    def _passes_on(self) -> bool:
        """Whether a slot that comes back is surely this lane's again."""
        is_fit = self.running < self.limit and self._slots.free >= 0
        return is_fit and not self._slots.is_awaited

    def remove(self, place: Place) -> None:
        """Take out one who waits, if it was not taken out already."""
        if self._queue.pop(place, place) is None:
            self._slots.lane_changed(self)


class Place:
    """An event's place in a lane, and in its turn its slot."""

    __slots__ = ("_has_slot", "_lane", "_on_served", "_served")

    def __init__(self, lane: Lane, on_served: OnServed) -> None:
        self._lane = lane
        self._on_served = on_served
        self._has_slot = False
        self._served: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def is_cancelled(self) -> bool:
        """Whether who waited was cancelled, and is yet to leave."""
        return self._served.cancelled()

    async def wait(self, *, for_ever: bool = False) -> bool:
        """Wait for the slot, as long as the lane's patience lasts, or for ever.

        Returns:
            False when patience ran out, or refuse() was called; True also
            when the slot was given back meanwhile.
        """
        if for_ever or self._served.done():
            return await self._served
        self._lane.timeouts.start(self)
        try:
            return await self._served
        finally:
            self._lane.timeouts.stop(self)

    def leave(self) -> None:
        """Give the slot back, or the place in the lane; a second time nothing."""
        if self._has_slot:
            self._has_slot = False
            self._lane.release()
        else:
            self._lane.remove(self)

    # What its lane asks for

    def serve(self) -> None:
        """Have a slot."""
        on_served, self._on_served = self._on_served, _wait_for_it  # it may refer to us
        self._has_slot = True
        self._served.set_result(True)
        on_served(self)

    def refuse(self) -> None:
        """Go away, unless there is a slot already."""
        if not self._served.done():
            self._served.set_result(False)
            self._lane.remove(self)
