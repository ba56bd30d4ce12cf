"""Crowds that come at once and are killed at once.

`make chaos` lets 5,000 come five times; `make test` takes the short form.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.ledger import APP, Ledger
from tests.chaos.process import children, sample
from tests.conformance.program import Program

HOST = "crowd.example.com"
SIZE, ROUNDS = (5000, 5) if os.environ.get("PHLOWS_CHAOS") else (500, 2)
PATIENCE = 120.0
"""Seconds for a crowd to be answered, or for the hooks of all of it."""

GROWTH = 8 << 20
"""Bytes that a round may add to the one before: what the allocator leaves in pieces."""


@pytest.fixture
def start(tmp_path):
    """Starts a broker whose one host keeps a ledger."""
    programs = []

    def begin(**config):
        host = {"app": str(APP), "hooks": ["connect", "receive", "close"], "timeout": PATIENCE}
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


@contextmanager
def most_children(pid):
    """The most processes that the broker had at a time while this lasted."""
    seen = [0]
    is_over = threading.Event()

    def look():
        while not is_over.wait(0.05):
            seen[0] = max(seen[0], len(children(pid)))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        is_over.set()
        looker.join()


def is_quiet(program):
    health = program.health()
    pools = health["pools"].values()
    return not health["connections"] and not any(pool["busy"] + pool["queued"] for pool in pools)


def settle(program):
    """Wait until the broker is through with all that left."""
    deadline = time.monotonic() + PATIENCE
    while not is_quiet(program):
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
        assert after.threads == before.threads
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
    program, ledger = start(limits={"queue": 20})
    before = sample(program.pid)
    with crowd(program, SIZE) as clients:
        clients.says()
        became = clients.says()
        assert set(became) == {"101", "503"}
        assert sum(became.values()) == SIZE
        dropped = program.health()["dropped"]
        assert dropped["upgrade over limits.queue"] == became["503"]
    settle(program)
    ledger.read()
    ledger.check()
    assert 1 <= ledger.begun["connect"] <= became["101"]
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
