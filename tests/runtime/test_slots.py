from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.runtime.slots import Place, Slots

pytestmark = pytest.mark.usefixtures("loop_factory")


PATIENCE = 20.0

held = defaultdict(list)
"""Lane -> the places that have a slot."""


async def acquire(lane):
    """Wait in a lane; whether there was a slot, which release() gives back."""
    place = lane.enter()
    has_slot = False
    try:
        has_slot = await place.wait()
    finally:
        (held[lane].append if has_slot else Place.leave)(place)
    return has_slot


def release(lane):
    held[lane].pop(0).leave()


async def settle():
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def queue_up(lane, order, name):
    async def wait():
        granted = await acquire(lane)
        order.append((name, granted))
        return granted

    return asyncio.create_task(wait())


async def test_within_a_lane_the_first_come_is_the_first_served():
    lane, order = Slots(1).lane(1, PATIENCE), []
    tasks = [queue_up(lane, order, name) for name in "abc"]
    await settle()
    assert (lane.running, lane.waiting) == (1, 2)
    release(lane)
    await settle()
    release(lane)
    await asyncio.gather(*tasks)
    assert [name for name, _ in order] == ["a", "b", "c"]


async def test_lanes_that_wait_take_turns_however_long_they_are():
    slots, order = Slots(1), []
    long, short = slots.lane(9, PATIENCE), slots.lane(9, PATIENCE)
    tasks = [queue_up(long, order, f"long{i}") for i in range(4)]
    await settle()
    tasks += [queue_up(short, order, f"short{i}") for i in range(2)]
    await settle()
    for _ in range(5):
        release(long if order[-1][0].startswith("long") else short)
        await settle()
    assert [name for name, _ in order] == ["long0", "short0", "long1", "short1", "long2", "long3"]
    await asyncio.gather(*tasks)


async def test_a_lane_without_a_slot_goes_before_those_that_have_one():
    slots, order = Slots(2), []
    busy = [slots.lane(9, PATIENCE), slots.lane(9, PATIENCE)]
    tasks = [queue_up(lane, order, i) for _ in range(3) for i, lane in enumerate(busy)]
    await settle()
    assert order == [(0, True), (1, True)]
    tasks.append(queue_up(slots.lane(9, PATIENCE), order, "quiet"))
    await settle()
    release(busy[0])
    await settle()
    assert order[2] == ("quiet", True)
    for task in tasks:
        task.cancel()
    await settle()


async def test_a_lane_never_takes_more_than_its_limit():
    slots, order = Slots(5), []
    narrow, other = slots.lane(2, PATIENCE), slots.lane(5, PATIENCE)
    tasks = [queue_up(narrow, order, i) for i in range(4)]
    await settle()
    assert (narrow.running, narrow.waiting, slots.free) == (2, 2, 3)
    assert await acquire(other)
    release(narrow)
    await settle()
    assert (narrow.running, narrow.waiting) == (2, 1)
    release(narrow)
    await asyncio.gather(*tasks)


async def test_a_free_slot_is_taken_without_waiting():
    slots = Slots(1)
    lane = slots.lane(1, PATIENCE)
    assert await acquire(lane)
    release(lane)
    assert slots.free == 1


async def test_patience_runs_out_and_the_place_in_the_lane_is_left():
    lane = Slots(1).lane(1, 0.01)
    assert await acquire(lane)
    assert not await acquire(lane)
    assert (lane.running, lane.waiting) == (1, 0)


async def test_who_waits_for_ever_outlasts_the_patience_of_those_before_and_behind():
    lane = Slots(1).lane(1, 0.01)
    assert await acquire(lane)
    patient = lane.enter()
    waiting = asyncio.create_task(patient.wait(for_ever=True))
    assert not await acquire(lane)
    assert not await acquire(lane)
    release(lane)
    assert await waiting


async def test_a_waiter_that_is_cancelled_leaves_the_lane():
    lane, order = Slots(1).lane(1, PATIENCE), []
    await acquire(lane)
    first, second = queue_up(lane, order, "first"), queue_up(lane, order, "second")
    await settle()
    first.cancel()
    await settle()
    assert lane.waiting == 1
    release(lane)
    assert await second


async def test_a_waiter_cancelled_in_the_turn_it_is_served_gives_the_slot_back():
    slots = Slots(1)
    lane, order = slots.lane(1, PATIENCE), []
    await acquire(lane)
    served, next_one = queue_up(lane, order, "served"), queue_up(lane, order, "next")
    await settle()
    release(lane)
    served.cancel()
    assert await next_one
    assert served.cancelled()
    release(lane)
    assert slots.free == 1


async def test_a_slot_given_back_in_the_turn_of_a_cancel_goes_to_the_next():
    slots = Slots(1)
    lane, order = slots.lane(1, PATIENCE), []
    await acquire(lane)
    cancelled, next_one = queue_up(lane, order, "cancelled"), queue_up(lane, order, "next")
    await settle()
    cancelled.cancel()
    release(lane)
    assert await next_one
    release(lane)
    assert slots.free == 1


async def test_a_slot_given_back_when_all_waiters_were_cancelled_stays_free():
    slots = Slots(1)
    lane, order = slots.lane(1, PATIENCE), []
    await acquire(lane)
    cancelled = queue_up(lane, order, "cancelled")
    await settle()
    cancelled.cancel()
    release(lane)
    await settle()
    assert (slots.free, lane.waiting, order) == (1, 0, [])


async def test_who_enters_is_told_of_the_slot_before_whoever_waits_goes_on():
    lane, order = Slots(1).lane(1, PATIENCE), []
    first = lane.enter(lambda place: order.append(("told", place)))
    assert order == [("told", first)]

    async def wait():
        place = lane.enter(lambda _: order.append("second is told"))
        assert await place.wait()
        order.append("second goes on")

    waiting = asyncio.create_task(wait())
    await settle()
    order.clear()
    first.leave()
    assert order == ["second is told"]
    first.leave()
    await waiting
    assert (order, lane.running) == (["second is told", "second goes on"], 1)


async def test_a_slot_that_is_given_back_before_its_waiter_goes_on_was_one():
    lane = Slots(1).lane(1, PATIENCE)
    first = lane.enter()
    second = lane.enter(lambda place: place.leave())
    waiting = asyncio.create_task(second.wait())
    await settle()
    first.leave()
    assert await waiting
    assert lane.running == 0


async def test_refusing_tells_everyone_who_waits_in_this_lane_alone():
    slots, order = Slots(1), []
    lane, other = slots.lane(1, PATIENCE), slots.lane(1, PATIENCE)
    await acquire(lane)
    tasks = [queue_up(lane, order, i) for i in range(3)]
    elsewhere = queue_up(other, order, "other")
    await settle()
    tasks[1].cancel()
    lane.refuse_waiting()
    await settle()
    assert order == [(0, False), (2, False)]
    release(lane)
    assert await elsewhere


async def test_more_slots_are_handed_out_at_once_to_those_who_wait_lane_by_lane():
    slots, order = Slots(1), []
    one, other = slots.lane(9, PATIENCE), slots.lane(9, PATIENCE)
    tasks = [
        queue_up(lane, order, name) for lane, name in ((one, "1a"), (one, "1b"), (other, "2a"))
    ]
    await settle()
    assert [name for name, _ in order] == ["1a"]
    slots.resize(3)
    await asyncio.gather(*tasks)
    assert sorted(name for name, _ in order) == ["1a", "1b", "2a"]
    assert (slots.total, slots.free) == (3, 0)


async def test_fewer_slots_take_none_away_but_give_none_out_until_enough_are_back():
    slots, order = Slots(3), []
    lane = slots.lane(9, PATIENCE)
    for _ in range(3):
        assert await acquire(lane)
    slots.resize(1)
    assert (lane.running, slots.free) == (3, -2)
    waiting = queue_up(lane, order, "waiting")
    await settle()
    for _ in range(2):
        release(lane)
        await settle()
        assert order == []
    release(lane)
    assert await waiting
    assert (lane.running, slots.free) == (1, 0)


@pytest.mark.parametrize("total", [1, 3])
@given(steps=st.lists(st.tuples(st.sampled_from("aaarrcxs"), st.integers(0, 2)), max_size=60))
def test_no_slot_is_lost_or_idle_while_someone_may_have_it(total, steps):
    async def play():
        slots = Slots(total)
        lanes = [slots.lane(limit, PATIENCE) for limit in (1, 2, 5)]
        tasks = []
        for step, index in steps:
            lane = lanes[index]
            if step == "a":
                tasks.append(queue_up(lane, [], None))
            elif step == "c" and tasks:
                tasks[index % len(tasks)].cancel()
            elif step == "x":
                lane.refuse_waiting()
            elif step == "s":
                slots.resize(index + 1)
            elif step == "r":
                await settle()
                if lane.running:
                    release(lane)
            check(slots, lanes)
        await settle()
        check(slots, lanes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())


def check(slots, lanes):
    assert slots.free + sum(lane.running for lane in lanes) == slots.total
    for lane in lanes:
        assert lane.running <= lane.limit
        assert not (slots.free > 0 and lane.waiting and lane.running < lane.limit)
