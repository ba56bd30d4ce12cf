"""Crowds that come at once and are killed at once.

`make chaos` lets 5,000 come five times; `make test` takes the short form.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from phlows_cli.runtime import launcher
from tests.chaos.ledger import APP, Ledger
from tests.chaos.process import most_children, sample
from tests.conformance.program import Program
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

HOST = "crowd.example.com"
SIZE, ROUNDS = (5000, 5) if os.environ.get("PHLOWS_CHAOS") else (500, 2)
UNFINISHED = 1024
"""Unfinished heads that may be."""

PATIENCE = 120.0
"""Seconds for a crowd to be answered, or for the hooks of all of it."""

GROWTH = 4 << 20
"""Bytes that a round may add to the one before: what the allocator leaves in pieces."""


@pytest.fixture
def start(tmp_path):
    """Starts a broker whose one host keeps a ledger."""
    programs = []

    def begin(pause="", **config):
        host = {"app": str(APP), "hooks": ["connect", "receive", "close"], "timeout": PATIENCE}
        host["env"] = {"PAUSE": pause}
        program = Program(tmp_path / "broker", {HOST: host}, watches=False, **config)
        programs.append(program)
        return program, Ledger(program.stages[HOST])

    yield begin
    for program in programs:
        program.stop()


class Crowd:
    """A process full of clients."""

    def __init__(self, program, count):
        script = Path(__file__).parent / "crowd.py"
        where = [*map(str, program.address), HOST, str(count)]
        self._process = subprocess.Popen(
            [sys.executable, str(script), *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def says(self):
        return json.loads(self._process.stdout.readline())

    def kill(self):
        """All of them are gone, and the system tells the broker."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def crowd(program, count):
    gathered = Crowd(program, count)
    try:
        yield gathered
    finally:
        gathered.kill()


def is_quiet(program):
    health = program.health()
    pools = health["pools"].values()
    is_empty = not health["connections"] + health["leaving"]
    return is_empty and not any(pool["busy"] + pool["queued"] for pool in pools)


def settle(program):
    """Wait until the broker is through with all that left."""
    settle_hooks(program)
    deadline = time.monotonic() + PATIENCE
    while not is_quiet(program):
        assert time.monotonic() < deadline, program.health()


def settle_hooks(program):
    """Wait until no hook runs or waits."""
    deadline = time.monotonic() + PATIENCE
    while any(p["busy"] + p["queued"] for p in program.health()["pools"].values()):
        assert time.monotonic() < deadline, program.health()


def wait_for_closes(ledger, count):
    ledger.wait(lambda ledger: ledger.ended["close"] == count, PATIENCE)


def settled_sample(program, descriptors):
    """A look at the broker once it has put down what it held."""
    deadline = time.monotonic() + PATIENCE
    while (seen := sample(program.pid)).descriptors > descriptors or seen.children:
        assert time.monotonic() < deadline, f"{seen}, and {descriptors} descriptors before"
    return seen


def test_a_crowd_that_comes_and_is_killed_at_once_leaves_nothing(start):
    program, ledger = start(limits={"queue": 2 * SIZE})
    assert is_quiet(program)
    before = sample(program.pid)
    bound = program.health()["cap"]
    memory = []
    for number in range(1, ROUNDS + 1):
        with most_children(program.pid) as seen:
            with crowd(program, SIZE) as clients:
                clients.says()
                assert clients.says() == {"101": SIZE}
                assert program.health()["connections"] == SIZE
                reached = program.cast(HOST, {"n": number})
                assert reached["sent"] + reached["held"] == SIZE
            wait_for_closes(ledger, number * SIZE)
            settle(program)
        assert ledger.begun["connect"] == number * SIZE
        ledger.check()
        assert 0 < seen[0] <= bound
        assert 0 < ledger.most_at_once <= bound
        after = settled_sample(program, before.descriptors)
        assert after.threads <= before.threads + launcher.THREADS
        memory.append(after.memory)
    growth = memory[-1] - memory[-2]
    assert growth < GROWTH, f"memory after each round: {memory}"
    print(f"\nmemory after each round, MiB: {[round(m / 2**20, 1) for m in memory]}")  # noqa: T201 - a figure to keep


def test_a_crowd_that_is_killed_while_it_comes_leaves_nothing(start):
    program, ledger = start(limits={"queue": 2 * SIZE})
    before = sample(program.pid)
    for _ in range(ROUNDS):
        with crowd(program, SIZE) as clients:
            assert clients.says() == {"first": "101"}
        settle(program)
    ledger.read()
    ledger.check()
    assert ledger.begun["connect"] >= 1
    settled_sample(program, before.descriptors)
    assert program.health()["hosts"][HOST]["sockets"] == 0


def test_of_a_crowd_over_the_queue_some_are_refused_and_none_is_forgotten(start):
    program, ledger = start("0.02", limits={"queue": 20})
    before = sample(program.pid)
    with crowd(program, SIZE) as clients:
        clients.says()
        became = clients.says()
        assert set(became) <= {"101", "503"}
        assert sum(became.values()) == SIZE
        settle_hooks(program)
    settle(program)
    ledger.read()
    ledger.check()
    # Before the upgrade it is 503, after it 1013; whose connect was run has had its close.
    dropped = Counter(program.health()["dropped"])
    before_it, after_it = dropped["upgrade over limits.queue"], dropped["connect overloaded"]
    assert before_it + after_it >= 1
    assert before_it == became.get("503", 0)
    assert after_it + ledger.begun["connect"] == became["101"]
    settled_sample(program, before.descriptors)


def test_of_a_crowd_over_max_connections_the_rest_is_refused_and_room_is_made_again(start):
    most = SIZE // 2
    program, ledger = start(limits={"max_connections": most, "queue": 2 * SIZE})
    before = sample(program.pid)
    for number in (1, 2):
        with crowd(program, SIZE) as clients:
            clients.says()
            assert clients.says() == {"101": most, "503": SIZE - most}
            assert program.health()["connections"] == most
        wait_for_closes(ledger, number * most)
        settle(program)
    ledger.check()
    settled_sample(program, before.descriptors)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_broker_that_could_not_read_for_a_while_cuts_nobody_who_has_spoken(start, tmp_path, loop):
    """All of them may be accepted before the first is read: that is no fault of theirs."""
    count = UNFINISHED + 200
    waiting = int(Path("/proc/sys/net/core/somaxconn").read_text())
    if waiting < count:
        pytest.skip(f"the system lets only {waiting} connections wait (net.core.somaxconn)")
    if loop == "asyncio":
        (tmp_path / "uvloop.py").write_text("raise ImportError('not for this test')")
    program, _ = start(environ={"PYTHONPATH": str(tmp_path)})
    program.signal(signal.SIGSTOP)
    crowd = []
    try:
        for _ in range(count):
            crowd.append(dial(program.address))
            crowd[-1].send(request_bytes("GET", "/ready"))
    finally:
        program.signal(signal.SIGCONT)
    assert {read_answer(stream).status for stream in crowd} == {200}
    assert program.health()["dropped"] == {}
    for stream in crowd:
        stream.close()
