"""What is peculiar to the pool; what it shares with others is in tests/contract."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.resident import Resident
from tests.runtime.apps import APPS, Printed, gone, hook, host, is_running, settings

pytestmark = pytest.mark.usefixtures("loop_factory", "leaves_nothing_behind")

GRACE = 0.2


@asynccontextmanager
async def pool(*, slots=8, queue=100, **settings_):
    """A pool of the app that does as each event tells it; stopped at the end."""
    app = host(APPS / "behaving.py", runtime="resident", **settings_)
    made = Resident(app, settings(slots=slots, queue=queue), lambda *_: None, GRACE)
    try:
        yield made
    finally:
        await made.stop()


def told(*steps, name="receive"):
    text = json.dumps(steps)
    return hook(name, token=text, data=text)


async def pid_of(runtime):
    """The worker that answers just now."""
    printed = Printed()
    assert (await runtime.call(told(["pid", None]), printed)).is_accepted
    return int(printed.lines[0])


async def until(condition):
    while not condition():  # noqa: ASYNC110 - a pool tells nobody what it does by itself
        await asyncio.sleep(0.005)


def pids(runtime):
    return {worker.pid for worker in runtime.workers()}


async def test_one_worker_answers_events_that_do_not_overlap():
    async with pool() as runtime:
        assert await pid_of(runtime) == await pid_of(runtime)
        (worker,) = runtime.workers()
        assert (worker.state, worker.jobs) == ("idle", 2)
        assert worker.memory > 1 << 20
        assert worker.age > 0


async def test_nothing_is_booted_before_an_event_comes():
    async with pool() as runtime:
        await asyncio.sleep(0)
        assert runtime.workers() == []


async def test_several_workers_boot_side_by_side_for_events_that_do(gate):
    async with pool(concurrency=3) as runtime:
        printed = Printed()
        step = (["pid", None], ["wait", gate.path])
        calls = [asyncio.create_task(runtime.call(told(*step), printed)) for _ in range(5)]
        assert len(set(await printed.until(3))) == 3
        assert (runtime.busy, runtime.queued, runtime.worker_count) == (3, 2, 3)
        for _ in range(5):
            gate.let_one_pass()
        assert all(result.is_accepted for result in await asyncio.gather(*calls))
        assert runtime.worker_count == 3


async def test_a_worker_counts_from_the_moment_on_that_its_process_is_started():
    async with pool() as runtime:
        call = asyncio.create_task(runtime.call(told(), Printed()))
        await until(lambda: runtime.busy == 1)
        while not runtime.workers():
            assert runtime.worker_count == 1
            await asyncio.sleep(0)
        assert runtime.worker_count == 1
        await call


async def test_a_worker_is_replaced_after_max_jobs():
    async with pool(max_jobs=2) as runtime:
        first, second, third = [await pid_of(runtime) for _ in range(3)]
        assert first == second != third
        await gone(first)


async def test_spare_workers_are_booted_ahead_and_again():
    async with pool(max_jobs=1, spare=2) as runtime:
        await until(lambda: [w.state for w in runtime.workers()] == ["idle", "idle"])
        before = pids(runtime)
        used = {await pid_of(runtime), await pid_of(runtime)}
        assert used == before
        await until(lambda: [w.state for w in runtime.workers()] == ["idle", "idle"])
        assert not pids(runtime) & before


async def test_idle_workers_over_spare_are_ended_after_idle_timeout(gate):
    async with pool(idle_timeout=0.1, spare=1) as runtime:
        printed = Printed()
        held = told(["pid", None], ["wait", gate.path])
        calls = [asyncio.create_task(runtime.call(held, printed)) for _ in range(3)]
        assert len(set(await printed.until(3))) == 3
        for _ in calls:
            gate.let_one_pass()
        await asyncio.gather(*calls)
        await until(lambda: runtime.worker_count == 1)
        assert [worker.state for worker in runtime.workers()] == ["idle"]


async def test_warming_boots_no_more_than_may_work():
    async with pool(concurrency=2) as runtime:
        assert await runtime.warm(100) == ""
        assert runtime.worker_count == 2


async def test_warming_says_why_an_app_does_not_boot():
    async with pool(env={"BOOT": json.dumps([["exit", 3]])}) as runtime:
        assert await runtime.warm(1) == "the worker ended: exit code 3"


async def test_children_that_a_worker_leaves_stay_when_it_is_replaced_but_not_when_it_is_stopped():
    printed = Printed()
    async with pool(max_jobs=1) as first:
        assert (await first.call(told(["spawn", 1]), printed)).is_accepted
        await until(lambda: first.worker_count == 0)
    left = int(printed.lines[0])
    assert is_running(left)
    os.kill(left, 9)
    async with pool() as second:
        assert (await second.call(told(["spawn", 1]), printed)).is_accepted
    await gone(int(printed.lines[1]))


async def test_a_worker_that_died_while_idle_costs_no_event():
    async with pool() as runtime:
        first = await pid_of(runtime)
        os.kill(first, 9)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - before the loop sees it
        assert [worker.state for worker in runtime.workers()] == ["idle"]
        assert await pid_of(runtime) != first


async def test_a_worker_that_dies_before_its_first_job_is_not_booted_again_at_once():
    async with pool(spare=1) as runtime:
        await until(lambda: [w.state for w in runtime.workers()] == ["idle"])
        (worker,) = runtime.workers()
        os.kill(worker.pid, 9)
        await until(lambda: runtime.problem)
        assert runtime.problem == "a worker ended before its first job"
        await until(lambda: not runtime.problem)
        assert [w.state for w in runtime.workers()] == ["idle"]


async def test_events_that_come_while_no_worker_boots_fail_at_once():
    async with pool(env={"BOOT": json.dumps([["exit", 3]])}, timeout=60.0) as runtime:
        results = [await runtime.call(told(), lambda _line: None) for _ in range(3)]
        assert {(r.outcome, r.started) for r in results} == {(Outcome.FAILED, False)}
        assert "the app does not boot: the worker ended: exit code 3" in {r.reason for r in results}


async def test_a_worker_has_its_next_job_before_the_caller_of_the_last_goes_on(gate):
    async with pool(concurrency=1) as runtime:
        first = asyncio.create_task(runtime.call(told(["wait", gate.path]), Printed()))
        await until(lambda: [it.state for it in runtime.workers()] == ["busy"])
        second = asyncio.create_task(runtime.call(told(["wait", gate.path]), Printed()))
        await until(lambda: runtime.queued)
        gate.let_one_pass()
        await first
        (worker,) = runtime.workers()
        assert (worker.state, worker.jobs, runtime.queued) == ("busy", 2, 0)
        gate.let_one_pass()
        assert (await second).is_accepted


async def test_who_leaves_in_the_turn_that_its_job_begins_ends_its_worker(gate):
    async with pool(concurrency=1) as runtime:
        first = asyncio.create_task(runtime.call(told(["wait", gate.path]), Printed()))
        await until(lambda: [it.state for it in runtime.workers()] == ["busy"])
        second = asyncio.create_task(runtime.call(told(["wait", gate.path]), Printed()))
        await until(lambda: runtime.queued)
        (begun,) = pids(runtime)
        first.add_done_callback(lambda _: second.cancel())
        gate.let_one_pass()
        await asyncio.wait((first, second))
        assert first.result().is_accepted
        assert second.cancelled()
        assert not is_running(begun)
        assert await pid_of(runtime) != begun
        assert (runtime.busy, runtime.queued) == (0, 0)


async def test_an_end_that_comes_with_the_timeout_frees_no_worker_that_is_to_be_killed(gate):
    async with pool(concurrency=1) as runtime:
        first = asyncio.create_task(runtime.call(told(["wait", gate.path]), Printed()))
        await until(lambda: [it.state for it in runtime.workers()] == ["busy"])
        (worker,) = runtime._workers
        job = worker._job
        second = asyncio.create_task(runtime.call(told(["pid", None]), printed := Printed()))
        await until(lambda: runtime.queued)
        job.end(None)
        worker._on_stdout(b'{"t":"done","id":"%s","result":true}\n' % job.id.encode())
        assert (await first).outcome is Outcome.TIMEOUT
        assert (await second).is_accepted
        assert int(printed.lines[0]) != worker.report().pid
