"""A quiet host beside busy ones, when all share two places."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from phlows_cli.runtime.oneshot import OneShot
from phlows_cli.runtime.resident import Resident
from tests.contract.kinds import GRACE, told
from tests.runtime.apps import APPS, Gate, Printed, host, settings

pytestmark = pytest.mark.usefixtures("loop_factory")

BUSY, QUIET = ("busy1", "busy2"), "quiet"
WAITING = 6
"""Events of each busy host that are there at the start."""

ROUNDS = 4


class Jobs:
    """Jobs of several hosts; `started` names their hosts as they start."""

    def __init__(self, runtimes, gates):
        self.started = Printed()
        self._runtimes = runtimes
        self._gates = gates
        self._calls = []

    def ask(self, name):
        """Give a host an event whose job says that it starts, and waits at the host's gate."""
        event = told(["print", name], ["wait", self._gates[name].path])._replace(host=name)
        call = self._runtimes[name].call(event, lambda _: self.started(name))
        self._calls.append(asyncio.create_task(call))

    async def end_one(self, name):
        """Let a job of a host end; returns the host of the job that starts then."""
        count = len(self.started.lines)
        self._gates[name].let_one_pass()
        return (await self.started.until(count + 1))[count]

    async def end_all(self):
        for gate in self._gates.values():
            for _ in self._calls:
                gate.let_one_pass()
        results = await asyncio.gather(*self._calls)
        assert all(result.is_accepted for result in results)
        assert len(self.started.lines) == len(results)


@pytest.fixture
def gates(leaves_nothing_behind, tmp_path):
    gates = {name: Gate(tmp_path / name) for name in (*BUSY, QUIET)}
    yield gates
    for gate in gates.values():
        gate.close()


@pytest.fixture(params=[OneShot, Resident], ids=["oneshot", "resident"])
def hosts(request):
    """Makes a runtime for each host; two jobs run at a time."""

    def make(**more):
        shared = settings(slots=2)
        return {
            name: request.param(
                replace(host(APPS / "behaving.py", **more), name=name),
                shared,
                lambda _event, _line: None,
                GRACE,
            )
            for name in (*BUSY, QUIET)
        }

    return make


async def stop(runtimes):
    for runtime in runtimes.values():
        await runtime.stop()


async def test_a_quiet_host_waits_for_the_end_of_one_job_at_most(hosts, gates):
    runtimes = hosts()
    jobs = Jobs(runtimes, gates)
    for name in BUSY * WAITING:
        jobs.ask(name)
    assert set(await jobs.started.until(2)) == set(BUSY)
    for _ in range(ROUNDS):
        running = next(name for name in BUSY if runtimes[name].busy)
        jobs.ask(QUIET)
        await asyncio.sleep(0)
        assert (runtimes[QUIET].busy, runtimes[QUIET].queued) == (0, 1)
        assert await jobs.end_one(running) == QUIET
        assert await jobs.end_one(QUIET) in BUSY
    assert all(runtimes[name].queued for name in BUSY)
    await jobs.end_all()
    await stop(runtimes)


async def test_a_host_that_has_all_places_gives_the_next_to_the_others(hosts, gates):
    runtimes = hosts()
    jobs = Jobs(runtimes, gates)
    busy, other = BUSY
    for _ in range(WAITING):
        jobs.ask(busy)
    assert await jobs.started.until(2) == [busy] * 2
    for name in (other, QUIET):
        jobs.ask(name)
    await asyncio.sleep(0)
    assert [await jobs.end_one(busy), await jobs.end_one(busy)] == [other, QUIET]
    await jobs.end_all()
    await stop(runtimes)


async def test_two_busy_hosts_take_turns(hosts, gates):
    runtimes = hosts()
    jobs = Jobs(runtimes, gates)
    for name in sorted(BUSY * WAITING):
        jobs.ask(name)
    first, last = await jobs.started.until(2)
    assert first == last == BUSY[0]
    order = [await jobs.end_one(BUSY[0])]
    for _ in range(ROUNDS):
        order.append(await jobs.end_one(order[-1]))
    assert set(order) == {BUSY[1]}
    assert {runtimes[name].busy for name in BUSY} == {1}
    await jobs.end_all()
    await stop(runtimes)
