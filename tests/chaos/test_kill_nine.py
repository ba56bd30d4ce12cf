"""kill -9 of the broker in a row, under load: every connect has its close.

`make chaos` kills fifty times; `make test` takes the short form.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.chaos import witness
from tests.chaos.chaos import journal_rows
from tests.chaos.visitor import Visitor
from tests.conformance.program import Program

KILLS = 50 if os.environ.get("PHLOWS_CHAOS") else 4
CLIENTS = 40
STAY = 0.2
"""Seconds that a client stays."""

BETWEEN = 15
"""Sockets that come between two kills, so that each kill meets a load."""

PATIENCE = 60.0
HOSTS = {"one.kill": ("oneshot", witness.ONE_SHOT), "two.kill": ("resident", witness.RESIDENT)}
AUTH = dict.fromkeys(HOSTS, "none")


@pytest.fixture
def program(tmp_path):
    def host(runtime, app):
        env = {"LEDGER": str(tmp_path / "ledger"), "STAGE": str(tmp_path)}
        hooks = ["connect", "receive", "close"]
        return {"app": app, "runtime": runtime, "hooks": hooks, "env": env}

    hosts = {name: host(*how) for name, how in HOSTS.items()}
    program = Program(tmp_path / "broker", hosts, watches=False, limits={"concurrency": 8})
    yield program
    program.stop()


class Load:
    """Clients that come, send and leave, all the time."""

    def __init__(self, address):
        self._address = address
        self._is_over = asyncio.Event()
        self._arrivals = 0
        self._arrived = asyncio.Condition()

    async def start(self):
        hosts = [*HOSTS]
        self._clients = [
            asyncio.create_task(self._come_and_go(hosts[number % 2], str(number)))
            for number in range(CLIENTS)
        ]

    async def arrivals(self, count):
        """Wait until so many more are in."""
        async with self._arrived:
            wanted = self._arrivals + count
            await asyncio.wait_for(
                self._arrived.wait_for(lambda: self._arrivals >= wanted), PATIENCE
            )

    async def stop(self):
        self._is_over.set()
        await asyncio.gather(*self._clients)

    async def _come_and_go(self, host, name):
        while not self._is_over.is_set():
            visitor = await Visitor.come(self._address, name, host, "none", "")
            if visitor is not None:
                visitor.speak(2)
                await asyncio.sleep(STAY)
                await self._count(visitor)
                await visitor.leave("in the midst" if len(name) % 2 else "reset")
                assert not visitor.wrong
            else:
                await asyncio.sleep(STAY / 4)

    async def _count(self, visitor):
        async with self._arrived:
            self._arrivals += visitor.status == b"101"
            self._arrived.notify_all()


async def kill_again_and_again(program):
    """Kill it so often; the rest is what the last one does."""
    load = Load(program.address)
    await load.start()
    for _ in range(KILLS):
        await load.arrivals(BETWEEN)
        program.process.kill()
        await asyncio.to_thread(program.start_again)
    await load.arrivals(BETWEEN)
    await load.stop()


def settle(program, ledger):
    program.signal()
    assert program.wait() == 0
    assert not witness.owed(witness.read(ledger))


def test_after_every_kill_each_connect_has_its_close(program, tmp_path):
    asyncio.run(kill_again_and_again(program))
    settle(program, tmp_path / "ledger")
    lines = witness.read(tmp_path / "ledger")
    assert not witness.Rules(AUTH, crashes=True).check(lines)
    closes = [line for line in lines if (line.sign, line.hook) == ("+", "close")]
    crashes = [line for line in closes if line.reason == "crash"]
    connects = sum((line.sign, line.hook) == ("+", "connect") for line in lines)
    again = sum(int(line.attempt) > 1 for line in closes)
    facts = f"{KILLS} kills, {connects} connects, {len(crashes)} closes after a crash, "
    print(f"\n{facts}{again} not the first")  # noqa: T201 - a figure to keep
    assert len(crashes) > KILLS
    assert {line.host for line in crashes} == set(HOSTS)
    assert journal_rows(program.folder / "state") == 0
