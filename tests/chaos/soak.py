"""Clients that come, talk, misbehave and go, for minutes: what creeps shows here.

    python -m tests.chaos.soak --minutes 10 --seed 7 --output docs/soak.md

It fails when an accepted socket has no close hook, when a message or cast comes out of
order or not at all, when descriptors or processes are left, or when memory still grows
after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import websockets
from websockets.asyncio.client import connect

from tests.chaos.chaos import journal_rows
from tests.chaos.ledger import APP, WORKER, Ledger
from tests.chaos.process import sample
from tests.chaos.soak_report import report
from tests.conformance.program import Program

HOSTS = {"soak.example.com": (APP, "oneshot"), "room.example.com": (WORKER, "resident")}
RESIDENTS = 50
USERS = 16
"""Clients at a time that come and go; the residents stay through it all."""

PAUSE = 0.5
"""Seconds at most between two lives of a user."""

CASTS_A_SECOND = 20
FILLER = "x" * 3000
SLOW_SECONDS = 8.0
"""Long enough for a client that does not read to be cut at SEND_BUFFER."""

SEND_BUFFER = 65_536
RELOAD_SECONDS = 10.0
SAMPLE_SECONDS = 5.0
WARM_UP = 0.2
"""Share of the run in which memory may grow."""

GROWTH = 4 << 20
"""Bytes by which the end's median may exceed the one after the warm-up."""

DEADLINE = 30.0


LIVES = {
    "polite": 58,
    "reset": 15,
    "half head": 10,
    "binary": 5,
    "slow": 2,
    "silent": 6,
    "watching": 4,
}
"""The kinds of clients, and how many of a hundred are of each."""


class Soak:
    """One run: its load, its samples and what it found wrong."""

    load = (
        f"a host with one process an event and one with workers, the journal on, "
        f"{RESIDENTS} sockets that stay, {USERS} clients at a time that come and go, "
        f"casts of {len(FILLER):,} bytes, a reload every {RELOAD_SECONDS:g} s"
    )

    def __init__(self, program, seconds, seed):
        self.program = program
        self.random = random.Random(seed)
        self.seconds = seconds
        self.samples = []
        self.lives = Counter()
        self.wrong = []
        self.ledgers = [Ledger(program.stages[host]) for host in HOSTS]
        self.journal = 0
        self._key = program.key
        self._casts = dict.fromkeys(HOSTS, 0)
        self._is_over = asyncio.Event()

    # The load

    async def run(self):
        self.before = sample(self.program.pid)
        self.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            residents = [
                group.create_task(self._reside(host))
                for host in HOSTS
                for _ in range(RESIDENTS // len(HOSTS))
            ]
            group.create_task(self._cast())
            group.create_task(self._look())
            group.create_task(self._reload())
            users = [group.create_task(self._come_and_go()) for _ in range(USERS)]
            await asyncio.sleep(self.seconds)
            self._is_over.set()
            await asyncio.wait([*users, *residents])
        await self._settle()

    async def _come_and_go(self):
        while not self._is_over.is_set():
            name = self.random.choices(list(LIVES), weights=LIVES.values())[0]
            live = getattr(self, f"_{name.replace(' ', '_')}")
            try:
                await asyncio.wait_for(live(), 4 * DEADLINE)
            except Exception as error:  # noqa: BLE001 - all that goes wrong is a finding
                self.wrong.append(f"{name}: {type(error).__name__}: {error}")
            self.lives[name] += 1
            await asyncio.sleep(self.random.uniform(0, PAUSE))

    def _open(self, host=None, **how):
        return connect(
            self._url(host),
            host=self.program.address[0],
            port=self.program.address[1],
            compression=None,
            open_timeout=DEADLINE,
            close_timeout=DEADLINE,
            ping_interval=None,
            **how,
        )

    def _url(self, host=None):
        return f"ws://{host or self._some_host()}:{self.program.address[1]}/websocket"

    def _some_host(self):
        return self.random.choice(list(HOSTS))

    async def _polite(self):
        """Talk, hear everything in order, close."""
        heard = Order()
        async with self._open() as client:
            for number in range(self.random.randrange(1, 8)):
                await client.send(json.dumps({"n": number}))
                while heard.replies <= number:
                    heard.take(await asyncio.wait_for(client.recv(), DEADLINE))
        self.wrong += heard.wrong

    async def _reside(self, host):
        """Stay to the end and hear every cast."""
        heard = Order()
        async with self._open(host, max_queue=None) as client:
            while not self._is_over.is_set():
                with suppress(TimeoutError):
                    heard.take(await asyncio.wait_for(client.recv(), 1.0))
        self.wrong += heard.wrong
        if heard.casts < CASTS_A_SECOND:
            self.wrong.append(f"a resident heard {heard.casts} casts only")

    async def _reset(self):
        client = await self._open()
        for number in range(self.random.randrange(3)):
            await client.send(json.dumps({"n": number}))
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.uniform(0, 0.05))
        client.transport.abort()

    async def _half_head(self):
        reader, writer = await asyncio.open_connection(*self.program.address)
        head = f"GET /websocket HTTP/1.1\r\nHost: {self._some_host()}\r\nUpgrade: websocket\r\nX: "
        writer.write(head[: self.random.randrange(1, len(head))].encode())
        await writer.drain()
        writer.transport.abort()
        with suppress(OSError):
            await reader.read()

    async def _binary(self):
        async with self._open() as client:
            await client.send(b"not text")
            with suppress(websockets.ConnectionClosed):
                while True:
                    await asyncio.wait_for(client.recv(), DEADLINE)
            if client.close_code != 1003:
                self.wrong.append(f"binary closed with {client.close_code}")

    async def _slow(self):
        """Read nothing until the broker has had enough."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.program.address)
        async with connect(
            self._url(),
            sock=sock,
            compression=None,
            max_queue=1,
            ping_interval=None,
            close_timeout=1,
        ) as client:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), SLOW_SECONDS)
            client.transport.abort()

    async def _watching(self):
        """Follow the events for a while, and hang up in the midst of them."""
        reader, writer = await asyncio.open_connection(*self.program.address)
        head = f"GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._key}"
        writer.write(f"{head}\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
        await asyncio.sleep(self.random.uniform(0, 3))
        writer.transport.abort()

    async def _silent(self):
        async with self._open(max_queue=None):
            await asyncio.sleep(self.random.uniform(0, 5))

    async def _cast(self):
        reader, writer = await asyncio.open_connection(*self.program.address)
        for host in itertools.cycle(HOSTS):
            if self._is_over.is_set():
                break
            data = {"cast": self._casts[host], "filler": FILLER}
            body = json.dumps({"host": host, "data": data}).encode()
            head = "POST /message HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE)
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            receipt = json.loads(await reader.readexactly(length))
            if receipt["matched"] != receipt["sent"] + receipt["dropped"]:
                self.wrong.append(f"a receipt that does not add up: {receipt}")
            self._casts[host] += 1
            await asyncio.sleep(1 / CASTS_A_SECOND)
        writer.close()

    async def _reload(self):
        """Change the host, and let another come and go, while all goes on."""
        for number in itertools.count():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), RELOAD_SECONDS)
            if self._is_over.is_set():
                return
            self.program.configure(lambda hosts, number=number: _turn(hosts, number))
            answer = self.program.ask_with_key("POST", "/reload", {})
            if answer.status != 200:
                self.wrong.append(f"a reload was refused: {answer.json}")

    # The samples

    async def _look(self):
        while not self._is_over.is_set():
            self._take_sample()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), SAMPLE_SECONDS)

    def _take_sample(self):
        health = self.program.health()
        for ledger in self.ledgers:
            ledger.read()
        self.journal = max(self.journal, journal_size(self.program))
        seen = {
            "second": time.monotonic() - self.began,
            "connections": health["connections"],
            "hooks": sum(sum(ledger.ended.values()) for ledger in self.ledgers),
            "casts": sum(self._casts.values()),
            "dropped": sum(health["dropped"].values()),
        }
        self.samples.append((seen, sample(self.program.pid)))
        bound = health["cap"]
        if self.samples[-1][1].children > bound:
            self.wrong.append(f"more processes than limits.concurrency ({bound})")

    async def _settle(self):
        """Everybody has left: wait until the broker is through with them."""
        deadline = time.monotonic() + 2 * DEADLINE
        while not self._is_quiet():
            if time.monotonic() > deadline:
                self.wrong.append(f"not quiet at the end: {self.program.health()}")
                break
            await asyncio.sleep(0.2)
        self._take_sample()
        self._judge()

    def _is_quiet(self):
        health = self.program.health()
        pools = health["pools"].values()
        is_empty = not health["connections"] + health["leaving"]
        return is_empty and not any(p["busy"] + p["queued"] for p in pools)

    def _judge(self):
        for ledger in self.ledgers:
            try:
                ledger.check()
            except AssertionError as error:
                self.wrong.append(str(error))
        after = self.samples[-1][1]
        # A kept connection of the bridge more or less is no leak.
        if after.own_descriptors > self.before.own_descriptors + 2:
            change = f"{self.before} -> {after}"
            self.wrong.append(f"descriptors are left: {change}")
        if after.children > self.program.health()["workers"]:
            self.wrong.append(f"{after.children} processes are left")
        if self.growth > GROWTH:
            self.wrong.append(f"memory grew by {self.growth} bytes after the warm-up")

    @property
    def growth(self):
        """The last fifth's median over that of the fifth after the warm-up."""
        memory = [seen.memory for _, seen in self.samples]
        fifth = max(1, round(len(memory) * WARM_UP))
        if len(memory) < 4 * fifth:
            return 0
        return statistics.median(memory[-fifth:]) - statistics.median(memory[fifth : 2 * fifth])


def _turn(hosts, number):
    for host in HOSTS:
        hosts[host] = {**hosts[host], "timeout": 20.0 + number % 2}
    if number % 2:
        hosts["guest.example.com"] = {"hooks": []}
    else:
        hosts.pop("guest.example.com", None)


class Order:
    """What one client hears: casts without a gap, replies in the order of its messages."""

    def __init__(self):
        self.replies = 0
        self.casts = 0
        self.wrong = []
        self._next_cast = None

    def take(self, text):
        message = json.loads(text)
        if "cast" in message:
            self.casts += 1
            if self._next_cast not in (None, message["cast"]):
                self.wrong.append(f"cast {message['cast']} instead of {self._next_cast}")
            self._next_cast = message["cast"] + 1
        else:
            if message != {"n": self.replies}:
                self.wrong.append(f"{message} instead of reply {self.replies}")
            self.replies += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--output", type=Path, default=None, help="write the report there, too")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    say = sys.stdout.write
    say(f"seed {seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        soak = churn(Path(folder), options.minutes * 60, seed)
    text = report(soak, seed, GROWTH)
    say(text)
    if options.output is not None:
        options.output.write_text(text)
    for wrong in soak.wrong[:20]:
        sys.stderr.write(f"wrong: {wrong}\n")
    return 1 if soak.wrong else 0


def churn(folder, seconds, seed):
    """Run a broker under the load; the run, judged."""
    hooks = ["connect", "receive", "close"]
    hosts = {
        name: {"app": str(app), "runtime": runtime, "hooks": hooks}
        for name, (app, runtime) in HOSTS.items()
    }
    program = Program(folder, hosts, watches=False, limits={"send_buffer": SEND_BUFFER})
    soak = Soak(program, seconds, seed)
    try:
        asyncio.run(soak.run())
    except BaseException:
        program.kill()
        raise
    program.stop()
    soak.rows = journal_rows(program.folder / "state")
    if soak.rows:
        soak.wrong.append(f"{soak.rows} rows are left in the journal")
    return soak


def journal_size(program):
    """Bytes of the journal, with what was not written back to it yet."""
    return sum(path.stat().st_size for path in (program.folder / "state").glob("journal-*"))


if __name__ == "__main__":
    sys.exit(main())
