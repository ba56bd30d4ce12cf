from __future__ import annotations

import asyncio

import pytest

from phlows_cli.runtime.timeouts import Timeouts

pytestmark = pytest.mark.usefixtures("loop_factory")


class Log:
    """What has expired, and when all that is expected has."""

    def __init__(self, count):
        self.items = []
        self._count = count
        self.is_whole = asyncio.Event()

    def __call__(self, item):
        self.items.append(item)
        if len(self.items) == self._count:
            self.is_whole.set()


async def test_each_item_expires_in_the_order_of_their_starts():
    timeouts = Timeouts(0.01, log := Log(3))
    timeouts.start("a")
    timeouts.start("b")
    await asyncio.sleep(0.005)
    timeouts.start("c")
    await log.is_whole.wait()
    assert log.items == ["a", "b", "c"]


async def test_an_item_does_not_expire_before_its_time():
    loop = asyncio.get_running_loop()
    timeouts = Timeouts(0.05, log := Log(1))
    began = loop.time()
    timeouts.start("a")
    await log.is_whole.wait()
    assert loop.time() - began >= 0.05


async def test_what_was_stopped_does_not_expire_and_holds_up_nobody():
    timeouts = Timeouts(0.01, log := Log(1))
    timeouts.start("stopped")
    timeouts.start("late")
    timeouts.stop("stopped")
    timeouts.stop("never started")
    await log.is_whole.wait()
    assert log.items == ["late"]


async def test_an_item_that_another_stops_as_it_expires_does_not():
    log = Log(1)

    def expire(item):
        timeouts.stop("b")
        log(item)

    timeouts = Timeouts(0.01, expire)
    timeouts.start("a")
    timeouts.start("b")
    await log.is_whole.wait()
    await asyncio.sleep(0.02)
    assert log.items == ["a"]


async def test_the_timer_is_set_anew_for_what_comes_after_a_rest():
    log = Log(1)
    timeouts = Timeouts(0.01, log)
    timeouts.start("a")
    timeouts.stop("a")
    await asyncio.sleep(0.02)
    timeouts.start("b")
    await log.is_whole.wait()
    assert log.items == ["b"]


async def test_nothing_expires_after_the_close():
    timeouts = Timeouts(0.01, log := Log(1))
    timeouts.start("a")
    timeouts.close()
    await asyncio.sleep(0.02)
    assert log.items == []
