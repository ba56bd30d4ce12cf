"""A shell on a terminal of tmux: typed to, looked at, and waited for."""

from __future__ import annotations

import os
import re
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tests.conformance.program import environment

ROOT = Path(__file__).parents[3]
PATIENCE = 20.0
"""Seconds that anything may take: only a failure waits so long."""


class Screen:
    """One window of a tmux server of its own, until the block ends."""

    def __init__(self, folder, width=80, height=24, **environ):
        self.folder = folder
        self._server = ["tmux", "-u", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._environ = {**environment(folder), "PYTHONPATH": str(ROOT), "PS1": "$ ", **environ}
        for name in ("TMUX", "COLUMNS", "LINES"):  # of the terminal that the tests run in
            self._environ.pop(name, None)
        size = ("-x", str(width), "-y", str(height))
        self._tmux("new-session", "-d", *size, "bash", "--norc", "--noprofile")
        self._output = self._follow()

    def _follow(self):
        """Get told of whatever is printed."""
        path = self.folder / "printed"
        os.mkfifo(path)
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._tmux("pipe-pane", f"exec cat > {shlex.quote(str(path))}")
        return end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._tmux("kill-server")
        os.close(self._output)

    def _tmux(self, *command):
        done = subprocess.run(
            [*self._server, *command], env=self._environ, capture_output=True, text=True, check=True
        )
        return done.stdout

    def keys(self, *names):
        """Press keys by tmux' names for them; a text is typed."""
        for name in names:
            self._tmux("send-keys", name)

    def bytes(self, data):
        """Send bytes as a terminal would, whatever they mean."""
        self._tmux("send-keys", "-H", *(f"{byte:02x}" for byte in data))

    def run(self, *arguments, before="true"):
        """Type a command of phlows, and what tells how it left the terminal."""
        self.python("-m", "phlows_cli", *arguments, before=before)

    def python(self, *arguments, before="true"):
        """Type a command of Python in the same way."""
        command = shlex.join([sys.executable, *arguments])
        line = f"clear; stty -g > before; {before}; {command}; echo code $? > code; stty -g > after"
        self._tmux("send-keys", f"cd {shlex.quote(str(self.folder))}; {line}; echo fin''ished")
        self.keys("Enter")

    def resize(self, width, height):
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def lines(self):
        return self._tmux("capture-pane", "-p").splitlines()

    def styles(self):
        """The codes of all styles on the screen."""
        coded = self._tmux("capture-pane", "-p", "-e")
        return [
            code for found in re.findall(r"\x1b\[([\d;]*)m", coded) for code in found.split(";")
        ]

    def modes(self, name=""):
        """What `stty -g` said when it wrote a file; without one, what it says now.

        All modes, but nothing of the size: `stty -a` folds its text to that.
        """
        if not name:
            self.keys("stty -g > now; echo writ''ten", "Enter")
            self.until("written")
        return (self.folder / (name or "now")).read_text()

    def pid(self):
        """The process of the command that runs."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        found = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True)
        return int(found.stdout.split()[0])

    def until(self, what):
        """The screen's lines, once a pattern is found in them or a function says so."""
        if isinstance(what, str):
            pattern = re.compile(what)
            return self.until(lambda lines: pattern.search("\n".join(lines)))
        deadline = time.monotonic() + PATIENCE
        while not what(lines := self.lines()):
            left = deadline - time.monotonic()
            assert left > 0, "\n".join(lines)
            if select.select([self._output], [], [], left)[0]:
                os.read(self._output, 65536)
        return lines

    def left(self):
        """Wait for the end of the command; its exit code. It left the terminal as it was."""
        self.until("finished")
        cursor, other = self._tmux(
            "display-message", "-p", "#{cursor_flag} #{alternate_on}"
        ).split()
        assert (cursor, other) == ("1", "0")
        after, before = self.modes("after"), self.modes("before")
        assert after == before, f"{after} is not {before}"
        return int((self.folder / "code").read_text().split()[1])
