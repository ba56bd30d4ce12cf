"""A program on a terminal of its own, typed to and read from."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

PATIENCE = 30.0
"""Seconds to wait for what must come."""


class Terminal:
    """Runs a program on a pseudo-terminal until the block ends."""

    def __init__(self, argv, environ):
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            argv, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text):
        """Press keys."""
        os.write(self._ours, text.encode())

    def wait_for(self, pattern):
        """Read until the pattern has come; returns its last group, and forgets what was read."""
        deadline = time.monotonic() + PATIENCE
        while (found := re.search(pattern, self._seen)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} never came: {self._seen!r}"
            if select.select([self._ours], [], [], left)[0]:
                self._seen += os.read(self._ours, 65536).decode("utf-8", "replace")
        self._seen = self._seen[found.end() :]
        return found[found.lastindex or 0]
