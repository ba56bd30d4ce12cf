"""What apps/ledger.sh wrote down, read as it grows; and what must hold of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from tests.conformance.stream import DEADLINE

APP = Path(__file__).parent / "apps" / "ledger.sh"
WORKER = Path(__file__).parent / "apps" / "ledger.py"


class Ledger:
    """The hooks of one host: what began, what ended, how many at a time."""

    def __init__(self, stage):
        self._stage = stage
        self._position = 0
        self._rest = b""
        self._running = 0
        self.most_at_once = 0
        self.begun = Counter()
        self.ended = Counter()
        self.pids = set()
        self.hooks_of = defaultdict(list)

    def read(self):
        """Take in what was written since the last look."""
        self._stage.hush()
        try:
            with (self._stage.folder / "calls").open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return
        self._position += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(line.decode())

    def _take(self, line):
        sign, hook, socket, pid = line.split(" ")
        if sign == "-":
            self.ended[hook] += 1
            self._running -= 1
            return
        self.begun[hook] += 1
        self.hooks_of[socket].append(hook)
        self.pids.add(int(pid))
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)

    def wait(self, is_enough, seconds=DEADLINE):
        """Read on until the ledger has what a test needs to see."""

        def look():
            self.read()
            return is_enough(self)

        self._stage.until(look, seconds)

    def check(self):
        """Every socket's life is whole: connect, what it received, close, and nothing more."""
        for socket, hooks in self.hooks_of.items():
            whole = ["connect", *["receive"] * (len(hooks) - 2), "close"]
            assert hooks == whole, f"the hooks of {socket} are {hooks}"
        assert self.begun == self.ended
