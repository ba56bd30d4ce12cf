"""Everybody comes back at once after a restart, and is in soon or told when to come.

`make chaos` has 5,000 clients; `make test` takes the short form, in which the seconds
that clients are told to wait are shorter.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.process import most_children, sample
from tests.conformance.program import Program

HOST = "storm.example.com"
FOLDER = Path(__file__).parent
IS_LONG = bool(os.environ.get("PHLOWS_CHAOS"))
SIZE, SECOND, QUEUE, RATE = (5000, 1.0, 1000, 200) if IS_LONG else (300, 0.05, 60, 75)
PATIENCE = 300.0
"""Seconds for all to be in: the figure that counts is printed."""

ROUNDS = 4 if IS_LONG else 2
CONCURRENCY = 6
GROWTH = 4 << 20
"""Bytes that a storm may add to the one before: what the allocator leaves in pieces."""

TOLD = {"503", "1012", "1013"}
"""What tells a client when to come back."""


@pytest.fixture
def start(tmp_path):
    """Starts a broker on a port that no client's own end can have."""
    programs = []

    def begin(host, **limits):
        program = Program(
            tmp_path / "broker",
            {HOST: {"timeout": PATIENCE, **host}},
            watches=False,
            server={"port": fixed_port()},
            limits={"concurrency": CONCURRENCY, "queue": QUEUE, **limits},
        )
        programs.append(program)
        return program

    yield begin
    for program in programs:
        program.stop()


def fixed_port():
    """A free port below those that the system gives to clients.

    While the broker is down, one of thousands of clients could get its very port.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Storm:
    """A process full of clients that come back."""

    def __init__(self, program):
        where = [*map(str, program.address), HOST, str(SIZE), str(SECOND)]
        self._process = subprocess.Popen(
            [sys.executable, str(FOLDER / "storm.py"), *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._beginnings = 0

    def count_anew(self):
        self._beginnings += 1
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def until_all_are_in(self):
        """What became of the attempts since the counts began."""
        beginnings = -1
        while beginnings != self._beginnings:  # others tell of the time before
            beginnings, became = json.loads(self._process.stdout.readline())
        return became

    def kill(self):
        self._process.kill()
        self._process.communicate()


@contextmanager
def storm(program):
    clients = Storm(program)
    try:
        yield clients
    finally:
        clients.kill()


def crash(program):
    program.process.kill()


def stop(program):
    program.signal(signal.SIGTERM)
    assert program.wait() == 0


def check_told(became, all_are_in):
    """Nobody was sent away without a word: they are in, or were told when to come."""
    told = {name for name in became if name not in ("unreachable", "lost", "longest")}
    assert told <= TOLD, became
    assert all_are_in == SIZE


def sockets(program):
    """How many are in, once what waits has been done."""
    deadline = time.monotonic() + PATIENCE
    while any(p["busy"] + p["queued"] for p in program.health()["pools"].values()):
        assert time.monotonic() < deadline, program.health()
    return program.health()["hosts"][HOST]["sockets"]


def settle(program):
    """Wait until all have left, with their close hooks."""
    deadline = time.monotonic() + PATIENCE
    while program.health()["connections"] or sockets(program):
        assert time.monotonic() < deadline, program.health()


def resident(name):
    return {
        "app": str(FOLDER / "apps" / name),
        "runtime": "resident",
        "spare": CONCURRENCY,
        "env": {"PYTHONPATH": str(FOLDER.parents[1])},
    }


ONE_SHOT = {"app": str(FOLDER / "apps" / "room.sh"), "hooks": ["connect", "close"]}
APPS = {
    "resident Python": (resident("room.py"), {}),
    "one-shot": (ONE_SHOT, {}),
    "one-shot, with a rate": (ONE_SHOT, {"handshake_rate": RATE}),
}


CASES = [(app, end) for app in APPS for end in (crash, stop)]
SHORT = [("resident Python", crash), ("one-shot", stop)]


@pytest.mark.parametrize(("app", "end"), CASES if IS_LONG else SHORT)
def test_after_a_restart_everybody_is_in_again_or_told_when_to_come(start, app, end):
    host, limits = APPS[app]
    program = start(host, **limits)
    with storm(program) as clients:
        check_told(clients.until_all_are_in(), sockets(program))
        end(program)
        program.start_again()
        began = time.monotonic()
        clients.count_anew()
        with most_children(program.pid) as seen:
            became = clients.until_all_are_in()
            check_told(became, sockets(program))
        seconds = time.monotonic() - began
        dropped = program.health()["dropped"]
    assert 0 < seen[0] <= CONCURRENCY + host.get("spare", 0)
    report(f"{app}, {end.__name__}: all {SIZE} in after {seconds:.1f} s", became, seen, dropped)


def report(*facts):
    print("\n", *facts)  # noqa: T201 - a figure to keep


def test_a_storm_that_is_over_leaves_no_memory_behind(start):
    program = start(resident("room.py"))
    memory = []
    for _ in range(ROUNDS):
        with storm(program) as clients:
            check_told(clients.until_all_are_in(), sockets(program))
        settle(program)
        memory.append(sample(program.pid).memory)
    assert memory[-1] - memory[-2] < GROWTH, f"memory after each storm: {memory}"
    report("memory after each storm, MiB:", [round(m / 2**20, 1) for m in memory])
