from __future__ import annotations

import asyncio
import logging

import pytest

from phlows_cli.tasks import Tasks
from tests.fakes import turns

pytestmark = pytest.mark.usefixtures("loop_factory")


async def test_a_task_leaves_when_it_ends():
    tasks, gate = Tasks(), asyncio.Event()

    async def work():
        await gate.wait()

    task = tasks.spawn(work())
    assert len(tasks) == 1
    gate.set()
    await task
    await turns(2)
    assert len(tasks) == 0


async def test_a_failure_is_logged_with_its_traceback_and_not_raised(caplog):
    tasks = Tasks()

    async def work():
        raise ValueError("inside")

    tasks.spawn(work())
    assert await tasks.settle(5) == 0
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("phlows.tasks", logging.ERROR)
    assert "inside" in str(record.exc_info[1])


async def test_settling_waits_for_tasks_that_tasks_started():
    tasks, done = Tasks(), []

    async def work(generations):
        await asyncio.sleep(0)
        if generations:
            tasks.spawn(work(generations - 1))
        done.append(generations)

    tasks.spawn(work(5))
    assert await tasks.settle(5) == 0
    assert sorted(done) == [0, 1, 2, 3, 4, 5]


async def test_settling_gives_up_in_time_and_says_how_many_still_run():
    tasks, gate = Tasks(), asyncio.Event()

    async def work():
        await gate.wait()

    for _ in range(3):
        tasks.spawn(work())
    assert await tasks.settle(0) == 3
    assert await tasks.settle(0.001) == 3
    gate.set()
    assert await tasks.settle(5) == 0


async def test_stopping_cancels_what_runs_and_waits_for_it(caplog):
    tasks, ended = Tasks(), []

    async def work(number):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    for number in range(3):
        tasks.spawn(work(number))
    await turns(2)
    await tasks.stop()
    assert sorted(ended) == [0, 1, 2]
    assert len(tasks) == 0
    assert not caplog.records, "a cancelled task did not fail"


async def test_stopping_ends_what_a_stopping_task_started():
    tasks, started = Tasks(), []

    async def work():
        started.append(1)
        await asyncio.Event().wait()

    async def parent():
        try:
            await asyncio.Event().wait()
        finally:
            tasks.spawn(work())

    tasks.spawn(parent())
    await turns(2)
    await tasks.stop()
    assert len(tasks) == 0


async def test_nothing_to_stop_is_stopped_at_once():
    await Tasks().stop()
    assert await Tasks().settle(5) == 0
