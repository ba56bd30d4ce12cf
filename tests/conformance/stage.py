"""What the apps of one host are to do, and what they were asked to."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.conformance.stream import DEADLINE

SECRET = "topsecret"
"""In every token that a test uses: no log line and no event may hold it."""


@dataclass(frozen=True)
class Call:
    """One start of the app, as the app saw it."""

    hook: str
    socket: str
    argv: list
    env: dict
    cwd: str
    pid: int


class Stage:
    """One host: its plan, its calls, and a bell that its apps ring."""

    def __init__(self, folder, host):
        folder.mkdir(parents=True)
        self.folder = folder
        self.host = host
        os.mkfifo(folder / "bell")
        # For both ways, so that no app waits for a reader.
        self._bell = os.open(folder / "bell", os.O_RDWR | os.O_NONBLOCK)

    def close(self):
        os.close(self._bell)

    def hush(self):
        """Take the rings of the bell away: it holds so many and no more."""
        with suppress(BlockingIOError):
            while True:
                os.read(self._bell, 65536)

    def plan(self, **steps):
        """Say what each hook does; one left out does what is usual."""
        draft = self.folder / "draft.json"
        draft.write_text(json.dumps(steps))
        draft.rename(self.folder / "plan.json")

    def lines(self):
        """What was recorded so far, line by line; the last may not be whole."""
        try:
            return (self.folder / "calls").read_text().split("\n")[:-1]
        except FileNotFoundError:
            return []

    def records(self, event):
        return [line for line in map(json.loads, self.lines()) if line["event"] == event]

    def started(self):
        """The calls so far, in the order they began."""
        fields = Call.__dataclass_fields__
        return [Call(**{f: line[f] for f in fields}) for line in self.records("start")]

    def calls(self, count):
        """The first `count` calls, once so many have begun."""
        return self.until(lambda: found if len(found := self.started()) >= count else None)

    def call(self, hook, number=1):
        """The n-th call of a hook, once it has begun."""

        def find():
            found = [call for call in self.started() if call.hook == hook]
            return found[number - 1] if len(found) >= number else None

        return self.until(find)

    def argvs(self, count):
        """The arguments of the first `count` calls."""
        return [call.argv for call in self.calls(count)]

    def hooks_of(self, socket_id):
        """The hooks that ran for one socket, in order."""
        return [call.hook for call in self.started() if call.socket == socket_id]

    def answers(self, count=1):
        """What the bridge answered to the first questions of the app."""
        values = self.until(lambda: _at_least(count, self.records("answer")))
        return [answer["value"] for answer in values]

    def until(self, find, seconds=DEADLINE):
        """Wait until `find` finds something; it looks whenever the bell rings."""
        deadline = time.monotonic() + seconds
        while not (found := find()):
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._bell], [], [], max(0.0, left))
            if not ready:
                raise TimeoutError(f"{self.host} has only: {self.lines()[-50:]}")
            self.hush()
        return found


def _at_least(count, found):
    return found if len(found) >= count else None


class Gate:
    """Where hooks wait until the test lets them on: `["gate", gate.port]`."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self._waiting = []

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def arrival(self):
        """Wait for the next hook; it stays until `let_on`."""
        arrived, _ = self._listener.accept()
        arrived.settimeout(DEADLINE)
        visitor = Visitor(arrived)
        self._waiting.append(visitor)
        return visitor

    def let_all_on(self):
        for visitor in self._waiting:
            visitor.let_on()

    def close(self):
        self.let_all_on()
        self._listener.close()


class Visitor:
    """A hook at the gate."""

    def __init__(self, sock):
        self._sock = sock
        said = b""
        while not said.endswith(b"\n"):
            said += sock.recv(1024)
        self.hook, self.socket = said.decode().split()

    def let_on(self):
        self._sock.close()
