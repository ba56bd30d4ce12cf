"""Stand-ins with real behaviour: a client, an app, a transport, a clock."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from phlows_cli.model import CloseCode, HookResult, Outcome


class FakeClock:
    """Seconds that pass when the test says so."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


def payload_of(frame):
    """The payload of a text frame as servers send it."""
    assert frame[0] == 0x81, f"not a whole text frame: {frame[:2]!r}"
    begin = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[begin:]


class FakePeer:
    """A client's connection: keeps its frames and counts its holds as a channel does.

    `is_slow` makes the next frame one too many: it is refused and the session
    ended, as an outbox does with a slow consumer.
    """

    def __init__(self, address="192.0.2.7", agent="fake/1"):
        self.address = address
        self.agent = agent
        self.frames = []
        self.closed = None
        self.holds = 0
        self.is_slow = False
        self.session = None
        self.shared = 0

    @property
    def messages(self):
        return [payload_of(frame) for frame in self.frames]

    @property
    def code(self):
        return None if self.closed is None else self.closed[0]

    def reply(self, frame, extra=0):
        return self.send(frame)

    def send(self, frame):
        if self.closed is not None or (self.session and self.session.is_gone):
            return False
        if self.is_slow:
            self.session.end(CloseCode.SLOW_CONSUMER, "slow consumer")
            return False
        self.frames.append(frame)
        return True

    def close(self, code, reason):
        assert self.closed is None, "closed twice"
        self.closed = (code, reason)

    def pause_reading(self):
        self.holds += 1

    def resume_reading(self):
        assert self.holds, "resumed without a hold"
        self.holds -= 1


@dataclass(eq=False)
class Call:
    """One hook call that the test brings to its end."""

    hook: object
    on_line: object
    done: asyncio.Future

    def prints(self, line):
        self.on_line(line)

    def ends(self, outcome, **fields):
        self.done.set_result(HookResult(outcome, **fields))

    def accepts(self):
        self.ends(Outcome.ACCEPTED)

    def refuses(self):
        self.ends(Outcome.REFUSED, reason="the app answered false")

    def fails(self):
        self.ends(Outcome.FAILED, reason="exit code 1", exit_code=1)


class ScriptedRuntime:
    """An app whose hooks end when the test says so.

    Hooks named in `automatic` are accepted at once. `calls` has them all, in
    the order in which they started.
    """

    def __init__(self, automatic=()):
        self.message_limit = 131_071
        self.automatic = set(automatic)
        self.calls = []
        self.is_at_limit = False
        self.is_stopped = False
        self.ended = asyncio.Event()
        self.running = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._by_hand = asyncio.Queue()

    @property
    def busy(self):
        return self.running

    @property
    def queued(self):
        return 0

    problem = ""
    worker_count = 0

    def workers(self):
        return []

    async def warm(self, count):
        return ""

    @property
    def names(self):
        return [call.hook.name for call in self.calls]

    def is_full(self, coming=0):
        return self.is_at_limit

    async def call(self, hook, on_line):
        call = Call(hook, on_line, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        if hook.name in self.automatic:
            return HookResult(Outcome.ACCEPTED)
        self._by_hand.put_nowait(call)
        self.running += 1
        self._quiet.clear()
        try:
            return await call.done
        finally:
            self.running -= 1
            if not self.running:
                self._quiet.set()

    async def started(self, name):
        """Wait for the next hook that is not automatic: it must be this one."""
        call = await asyncio.wait_for(self._by_hand.get(), 5)
        assert call.hook.name == name, f"{call.hook.name} started, not {name}"
        return call

    def not_started(self):
        """Whether no hook waits for the test."""
        return self._by_hand.empty()

    async def retire(self):
        await self._quiet.wait()
        await self.stop()

    async def stop(self):
        self.is_stopped = True
        self.ended.set()
        for call in self.calls:
            if not call.done.done():
                call.ends(Outcome.FAILED, reason="stopped")


class FakeTransport:
    """A transport whose reader takes `appetite` bytes and then no more.

    Like asyncio's with a high-water mark of 0: it pauses its protocol within
    the write that it cannot pass on at once, and resumes it when all is read.
    `events` has what else was done to it.
    """

    def __init__(self, appetite=10**9, protocol=None):
        self.appetite = appetite
        self.protocol = protocol
        self.writes = []
        self.events = []
        self.is_paused = False
        self.is_lost = False
        self.can_end = True
        self._buffered = 0

    @property
    def written(self):
        return b"".join(self.writes)

    def get_extra_info(self, name):
        return ("127.0.0.1", 4711) if name == "peername" else None

    def set_protocol(self, protocol):
        self.protocol = protocol

    def set_write_buffer_limits(self, high):
        assert high == 0, "only then is a stall seen within the write"

    def get_write_buffer_size(self):
        return self._buffered

    def write(self, data):
        assert not self.is_lost, "written to a transport that is lost"
        assert "eof" not in self.events, "written after the end of the stream"
        self.writes.append(bytes(data))
        taken = min(len(data), self.appetite)
        self.appetite -= taken
        self._buffered += len(data) - taken
        if self._buffered and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def reads(self, size=10**6):
        """The other side reads on."""
        taken = min(size, self._buffered)
        self._buffered -= taken
        self.appetite += size - taken
        if self.is_paused and not self._buffered:
            self.is_paused = False
            self.protocol.resume_writing()

    def pause_reading(self):
        self.events.append("pause")

    def resume_reading(self):
        self.events.append("resume")

    def can_write_eof(self):
        return self.can_end

    def write_eof(self):
        self.events.append("eof")

    def is_closing(self):
        return self.is_lost or "close" in self.events

    def close(self):
        self.events.append("close")

    def abort(self):
        self.events.append("abort")
        self.is_lost = True

    def lose(self):
        """The connection is lost: what asyncio tells once, at the end."""
        self.is_lost = True
        self.protocol.connection_lost(None)


class Turns(deque):
    """A call_soon that the test turns: `run` is one turn of the loop."""

    def call_soon(self, work, *arguments):
        self.append((work, arguments))

    def run(self):
        for _ in range(len(self)):
            work, arguments = self.popleft()
            work(*arguments)


async def turns(number=8):
    """Let whatever is ready run; nothing that a test has not ended goes on by itself."""
    for _ in range(number):
        await asyncio.sleep(0)


class FakeControl:
    """What the bridge may ask of the process: noted, and answered as told."""

    def __init__(self, changes=None, error=None):
        self.changes = changes or {"added": [], "removed": []}
        self.error = error
        self.asked = []

    def reload(self):
        self.asked.append("reload")
        if self.error is not None:
            raise self.error
        return self.changes

    def drain(self):
        self.asked.append("drain")

    async def renew(self, host):
        self.asked.append(f"renew {host}")
        return {"replaced": {}, "failed": {}}

    def metrics(self):
        return b"phlows_casts_total 1.0\n"
