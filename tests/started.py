"""A command of phlows as a process, with all it says."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from tests.conformance.program import Growing, environment

ROOT = Path(__file__).parents[1]
DEADLINE = 20.0
"""Seconds that anything may take: only a failure waits so long."""


def command_and_environment(folder, *arguments):
    """How to run a command of this checkout, which keeps what it keeps in a folder."""
    folders = {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "phlows_cli", *map(str, arguments)]
    return command, {**environment(folder), **folders}


class Started:
    """`phlows <arguments>`, from the line of stderr in which `ready` stands until stop()."""

    def __init__(self, folder, *arguments, ready):
        command, environ = command_and_environment(folder, *arguments)
        self.process = subprocess.Popen(
            command,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.lines = Growing()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self._says(ready)
        except BaseException:
            self.stop("kill")
            raise

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                self.lines.add([line.rstrip("\n")])
        self.lines.add(["(the end)"])

    def _says(self, text):
        """Wait for a line of stderr."""
        self.lines.until(lambda lines: any(text in line or line == "(the end)" for line in lines))
        assert any(text in line for line in self.lines.all()), self.lines.all()

    def stop(self, how="terminate"):
        """End it; its exit code, once all it said was read. A traceback is a failure."""
        getattr(self.process, how)()
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert not [line for line in self.lines.all() if "Traceback" in line], self.lines.all()
        return code


def failed(folder, *arguments):
    """The exit code and the one line of a command that ends by itself."""
    command, environ = command_and_environment(folder, *arguments)
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    (line,) = done.stderr.strip().splitlines()  # and so no invitation, and no traceback
    return done.returncode, line
