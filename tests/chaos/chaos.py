"""Everything at once, by a seed: what must hold is looked at from outside.

    python -m tests.chaos.chaos --seconds 60 --seed 7

The seed decides each step before the first is made (plan.py). The rules are those of
docs/protocol.md: see witness.py for the hooks and visitor.py for what clients hear.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

from tests.chaos import witness
from tests.chaos.arena import Arena, describe
from tests.chaos.plan import HOSTS, plan
from tests.chaos.process import sample
from tests.chaos.visitor import Visitor

LONGEST = 0.7
"""Seconds at most that the broker is frozen, or has for its start before it is killed."""

FULL_SECONDS = 1.0
"""How long a disk stays full."""

PATIENCE = 90.0
"""Seconds for all close hooks to be run in the end, retries included."""

STARTING = 30.0
"""Seconds at most between the first start of the broker and the first step."""

FILLER = "x" * 4000
MANY_CASTS = 60
FLOOD = 400
DESCRIPTORS = 8
MEMORY = 24 << 20
"""What a broker after the chaos may have over one that was just started."""


class Chaos:
    """One run: its clients, its faults, and what it found wrong."""

    def __init__(self, arena):
        self.arena = arena
        self.wrong = []
        self.done = Counter()
        self.seen = Counter()
        self._visitors = {}
        self._open = set()
        self._leaving = set()
        self._came = 0
        self._casts = 0
        self._freeing = None

    async def run(self, steps):
        self._began = time.monotonic() - STARTING
        try:
            await self._take(steps)
            await self._settle()
        finally:
            for task in self._leaving:
                task.cancel()
            for visitor in self._open:
                visitor.abort()
            await asyncio.sleep(0)  # in which they close

    async def _take(self, steps):
        for step in steps:
            await asyncio.sleep(max(0.0, self._began + STARTING + step.at - time.monotonic()))
            await getattr(self, "_" + step.name.replace(" ", "_"))(**step.how)
            self.done[step.name] += 1

    # What clients do

    async def _come(self, slot, host, token, **_):
        if slot in self._visitors:
            return
        self._came += 1
        name = f"{self._came}"
        visitor = await Visitor.come(self.arena.program.address, name, host, HOSTS[host], token)
        if visitor is not None:
            self._visitors[slot] = visitor
            self._open.add(visitor)

    async def _speak(self, slot, count, **_):
        if slot in self._visitors:
            self._visitors[slot].speak(count)

    async def _speak_slowly(self, slot, **_):
        if slot in self._visitors:
            self._visitors[slot].speak(1, slow=True)

    async def _flood(self, slot, **_):
        if slot in self._visitors:
            self._visitors[slot].speak(FLOOD)

    async def _be_rude(self, slot, **_):
        if slot in self._visitors:
            self._visitors[slot].be_rude()

    async def _stall(self, slot, **_):
        if slot in self._visitors:
            self._visitors.pop(slot).stall()

    async def _leave(self, slot, leave, **_):
        if slot in self._visitors:
            visitor = self._visitors.pop(slot)
            task = asyncio.create_task(self._see_off(visitor, leave))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _see_off(self, visitor, how):
        await visitor.leave(how)
        self._open.discard(visitor)
        self.wrong += visitor.wrong
        self.seen["clients"] += 1
        self.seen["answers"] += visitor.answered
        self.seen["casts heard"] += visitor.casts
        self.seen[f"closed with {visitor.code}"] += visitor.code != 0

    async def _half_a_head(self, host, share, **_):
        head = f"GET /websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nX: "
        with suppress(OSError):
            _, writer = await asyncio.open_connection(*self.arena.program.address)
            writer.write(head[: 1 + int(share * len(head))].encode())
            writer.transport.abort()

    # Casts

    async def _cast(self, host, targets, **_):
        await self._cast_to(host, targets)

    async def _cast_much(self, host, **_):
        for _ in range(MANY_CASTS):
            await self._cast_to(host, ["all"], filler=FILLER)

    async def _cast_to(self, host, targets, **more):
        """One cast; its payload names its audience, so that others know it is not theirs."""
        self._casts += 1
        data = {"cast": self._casts, "host": host, "to": targets, **more}
        status, receipt = await self._post("/message", host=host, target=targets, data=data)
        if status == 200:
            self.seen["casts dropped"] += receipt["dropped"]
            if receipt["matched"] != receipt["sent"] + receipt["dropped"]:
                self.wrong.append(f"a receipt that does not add up: {receipt}")
        self.seen[f"casts answered {status}"] += 1

    async def _disconnect(self, host, targets, **_):
        await self._post("/disconnect", host=host, target=targets)

    async def _post(self, path, **body):
        """Status and answer; 0 when there is no broker that answers."""
        text = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self.arena.program.key}\r\nConnection: close\r\n"
            f"Content-Length: {len(text)}\r\n\r\n"
        )
        try:
            async with asyncio.timeout(20.0):
                reader, writer = await asyncio.open_connection(*self.arena.program.address)
                writer.write(head.encode() + text)
                answer = await reader.read()
                writer.close()
        except OSError:
            return 0, {}
        return int(answer[9:12] or 0), json.loads(answer.partition(b"\r\n\r\n")[2] or b"{}")

    # Faults: the clients go on meanwhile

    async def _kill_the_broker(self, **_):
        await asyncio.to_thread(self.arena.kill)

    async def _kill_the_broker_twice(self, share, **_):
        await asyncio.to_thread(self.arena.kill_twice, share * LONGEST)

    async def _stop_the_broker(self, **_):
        self.wrong += await asyncio.to_thread(self.arena.stop)

    async def _kill_a_hook(self, share, **_):
        await asyncio.to_thread(self.arena.kill_hook, share)

    async def _reload(self, **_):
        self.arena.reload()

    async def _fill_the_disk(self, **_):
        self.arena.fill_disk()
        loop = asyncio.get_running_loop()
        self._freeing = loop.call_later(FULL_SECONDS, self.arena.free_disk)

    async def _jump_in_time(self, seconds, **_):
        self.arena.jump_in_time(seconds)

    async def _freeze(self, share, **_):
        await asyncio.to_thread(self.arena.freeze, share * LONGEST)

    # The end

    async def _settle(self):
        """Everybody leaves, nothing is broken any more: what is owed must be done now."""
        if self._freeing is not None:
            self._freeing.cancel()
        self.arena.restore()
        for slot in list(self._visitors):
            await self._leave(slot, "politely" if slot % 2 else "reset")
        if self._leaving:
            await asyncio.wait(self._leaving)
        for visitor in self._open:  # those that do not read
            visitor.abort()
            self.wrong += visitor.wrong
        await asyncio.to_thread(self._judge)

    def _judge(self):
        self._await_quiet()
        self._check_clock()
        after = self._sample_at_rest()
        self.wrong += self.arena.stop()
        self.wrong += self._find_leaks(after, sample(self.arena.program.pid))
        self._await_quiet()
        self.arena.look_at_drops()
        self.arena.program.stop()
        lines = witness.read(self.arena.ledger)
        rules = witness.Rules(HOSTS, marks=not self.arena.was_full, kills=True, crashes=True)
        self.wrong += rules.check(lines)
        self.wrong += [f"left: process {describe(pid)}" for pid in self.arena.left_behind()]
        if rows := journal_rows(self.arena.state):
            self.wrong.append(f"{rows} rows are left in the journal")
        self._account()
        self._count(lines)

    def _sample_at_rest(self):
        """A look at the broker once connections that were closing are closed."""
        deadline = time.monotonic() + PATIENCE
        looks = [sample(self.arena.program.pid)]
        while len({look.own_descriptors for look in looks[-4:]}) > 1 or len(looks) < 4:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
            looks.append(sample(self.arena.program.pid))
        return looks[-1]

    def _check_clock(self):
        """What is measured in seconds does not jump with the wall clock."""
        self.arena.jump_in_time(-86400.0)
        uptime = self.arena.program.health()["uptime"]
        if not 0 <= uptime <= time.monotonic() - self._began:
            self.wrong.append(f"up for {uptime} s when the clock has jumped")

    def _await_quiet(self):
        """Wait until nothing is owed or under way, or it has been long enough."""
        deadline = time.monotonic() + PATIENCE
        while not self._is_quiet():
            if time.monotonic() > deadline:
                self.wrong.append(f"not quiet at the end: {self.arena.program.health()}")
                return
            time.sleep(0.1)

    def _is_quiet(self):
        health = self.arena.program.health()
        is_at_rest = not any(p["busy"] + p["queued"] for p in health["pools"].values())
        is_at_rest = is_at_rest and not health["connections"]
        return is_at_rest and not witness.owed(witness.read(self.arena.ledger))

    def _find_leaks(self, after, fresh):
        """A broker after all this, beside one that was just started."""
        if after.own_descriptors > fresh.own_descriptors + DESCRIPTORS:
            yield f"descriptors are left: {after}, {fresh} when just started"
        if after.memory > fresh.memory + MEMORY:
            yield f"memory has grown: {after}, {fresh} when just started"

    def _account(self):
        """What casters and clients were told is in the counts of /health, too."""
        counted = self.arena.dropped["frame to a slow consumer"]
        if self.seen["casts dropped"] > counted:
            self.wrong.append(f"receipts tell of {self.seen['casts dropped']} drops, not {counted}")
        # A life's last moment, between the question and its end, is not counted.
        if self.seen["closed with 1013"] > self.arena.dropped.total() + self.arena.lives:
            self.wrong.append(f"sent away, and not counted: {self.arena.dropped}")

    def _count(self, lines):
        begun = Counter(line.hook for line in lines if line.sign == "+")
        self.seen.update({f"hooks {hook}": count for hook, count in begun.items()})
        reasons = [line.reason for line in lines if (line.sign, line.hook) == ("+", "close")]
        self.seen.update({f"closes {reason}": n for reason, n in Counter(reasons).items()})
        self.seen["sockets"] = len(witness.lives(lines))


def journal_rows(state):
    """How many rows the journals hold, once no broker has them open."""
    rows = 0
    for path in state.glob("journal-*.db"):
        with closing(sqlite3.connect(path)) as database:
            rows += database.execute("SELECT count(*) FROM sockets").fetchone()[0]
    return rows


def churn(folder, seed, seconds):
    """A whole run; what it did and found."""
    arena = Arena(folder)
    try:
        chaos = Chaos(arena)
        asyncio.run(chaos.run(plan(seed, seconds)))
    finally:
        arena.close()
    return chaos


def report(chaos, seed, seconds):
    """The run in a few lines."""
    arena = chaos.arena
    disk = "" if arena.has_disk else "; no full disk: that takes root and mount"
    lines = [
        f"SEED={seed} SECONDS={seconds:g}: {arena.lives} lives of the broker{disk}",
        f"  steps: {listed(chaos.done)}",
        f"  seen: {listed(chaos.seen)}",
        f"  dropped: {listed(arena.dropped)}",
        *(f"  wrong: {wrong}" for wrong in chaos.wrong[:20]),
    ]
    return "\n".join(lines) + "\n"


def listed(counts):
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    with tempfile.TemporaryDirectory() as folder:
        chaos = churn(Path(folder), seed, options.seconds)
    sys.stdout.write(report(chaos, seed, options.seconds))
    return 1 if chaos.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
