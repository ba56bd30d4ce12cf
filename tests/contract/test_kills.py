"""Ten thousand events through a pool whose workers are killed under it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.resident import Resident
from tests.contract.kinds import GRACE
from tests.runtime.apps import APPS, hook, host, settings

EVENTS = 10_000
SOCKETS = 50
FIRST_EVENTS = 500
"""Before things are counted: what is made once is there by then."""

KILL_EVERY = (20, 80)
"""Results between two kills: at random, at least and at most."""

SPARED = ("booting", "ending")
"""Who dies as it boots, or before its first job, is a matter of boots that fail."""


class Story:
    """What became of each event, as those tell it who sent it."""

    def __init__(self):
        self.results = {}
        self.printed = {}
        self.kills = 0
        self.groups = set()

    def outcomes(self):
        return Counter(outcome for outcome, _, _ in self.results.values())

    def accepted(self):
        return {n for n, (outcome, _, _) in self.results.items() if outcome is Outcome.ACCEPTED}


class Killer:
    """Kills a worker now and then, counted in results."""

    def __init__(self, runtime, story, chance):
        self._runtime = runtime
        self._story = story
        self._chance = chance
        self._left = chance.randint(*KILL_EVERY)

    def count(self):
        self._left -= 1
        workers = self._runtime.workers()
        self._story.groups.update(worker.pid for worker in workers)
        victims = [it for it in workers if it.state not in SPARED and it.jobs > 0]
        if self._left <= 0 and victims:
            os.kill(self._chance.choice(victims).pid, signal.SIGKILL)
            self._story.kills += 1
            self._left = self._chance.randint(*KILL_EVERY)


async def talk(runtime, number, events, story, killer):
    """One socket: an event is sent when the one before has its result."""
    printed = story.printed[number] = []
    for event in range(number, events, SOCKETS):
        told = hook(socket=f"{number:016x}", data=str(event))
        result = await runtime.call(told, lambda line: printed.append(int(line)))
        assert event not in story.results
        story.results[event] = (result.outcome, result.started, result.reason)
        killer.count()


async def run(runtime, events, chance):
    story = Story()
    killer = Killer(runtime, story, chance)
    async with asyncio.TaskGroup() as group:
        for number in range(SOCKETS):
            group.create_task(talk(runtime, number, events, story, killer))
    return story


def check(story, events, written):
    """Each event has one result, ran at most once, and printed in its socket's order."""
    assert sorted(story.results) == list(range(events))
    assert max(Counter(written).values()) == 1
    accepted, failed = story.accepted(), set(story.results) - story.accepted()
    assert accepted <= set(written)
    assert {story.results[n] for n in failed} <= {
        (Outcome.FAILED, True, "the worker ended: killed by SIGKILL")
    }
    assert len(failed) <= story.kills
    for number, printed in story.printed.items():
        assert all(before < after for before, after in pairwise(printed))
        assert {event % SOCKETS for event in printed} <= {number}
    printed = {event for lines in story.printed.values() for event in lines}
    assert accepted <= printed <= set(written)


def living(groups):
    """The processes of these groups that are not dead."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(group) in groups and state not in "ZX":
            found.append(int(folder.name))
    return found


def things():
    """How many objects there are, and descriptors, and tasks."""
    gc.collect()
    return len(gc.get_objects()), len(list(Path("/dev/fd").iterdir())), len(asyncio.all_tasks())


def pool(ledger):
    app = host(APPS / "ledger.py", runtime="resident", env={"LEDGER": str(ledger)})
    return Resident(app, settings(), lambda _event, _line: None, GRACE)


async def whole_run(folder, events, chance):
    """A pool's life; returns how it was, after it was looked at."""
    ledger = folder / f"ledger{events}"
    runtime = pool(ledger)
    story = await run(runtime, events, chance)
    await runtime.stop()
    assert (runtime.busy, runtime.queued, runtime.workers()) == (0, 0, [])
    check(story, events, [int(line) for line in ledger.read_text().split()])
    assert len(story.groups) >= story.kills  # the last one may have no successor yet
    assert living(story.groups) == []
    return story.kills, story.outcomes()


@pytest.mark.parametrize("loop_factory", ["uvloop"], indirect=True)
async def test_each_event_runs_once_at_most_while_workers_are_killed(loop_factory, tmp_path):
    seed = random.randrange(1 << 32)
    try:
        await survive(tmp_path, random.Random(seed))
    except BaseException as error:
        error.add_note(f"with the seed {seed}")
        raise


async def survive(folder, chance):
    await whole_run(folder, FIRST_EVENTS, chance)
    before = things()
    kills, outcomes = await whole_run(folder, EVENTS, chance)
    objects, *others = things()
    assert kills >= EVENTS / KILL_EVERY[1] - 1
    assert outcomes[Outcome.FAILED] > 0
    assert others == list(before[1:])
    assert objects - before[0] < FIRST_EVENTS
