"""A service manager as phlows sees one: it holds the socket and is told things."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time

import tomli_w

from tests.conformance.program import environment
from tests.conformance.stream import DEADLINE

START = (
    "import os, sys; given = int(sys.argv[1]); os.dup2(given, 3); os.close(given); "
    "os.environ['LISTEN_PID'] = str(os.getpid()); os.execv(sys.argv[2], sys.argv[2:])"
)


class Manager:
    """Holds a listening socket, starts brokers with it and hears what they tell."""

    def __init__(self, folder, config, listening, **environ):
        self.folder = folder
        self.listening = listening
        server = {"state_dir": str(folder / "state"), "port": 1, "log_format": "json"}
        config = {**config, "server": {**server, **config.get("server", {})}}
        (folder / "phlows.toml").write_text(tomli_w.dumps(config))
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.bind(str(folder / "notify"))
        told = {"NOTIFY_SOCKET": str(folder / "notify"), "LISTEN_FDS": "1"}
        self._environ = {**environment(folder), **told, **environ}
        self.process = None

    def start(self):
        """Start a broker and wait until it says that it is ready; what it said."""
        descriptor = self.listening.fileno()
        program = [sys.executable, "-m", "phlows_cli", "serve", "--config"]
        command = [sys.executable, "-c", START, str(descriptor), *program]
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "phlows.toml")],
                env=self._environ,
                pass_fds=[descriptor],
                stderr=stderr,
            )
        return self.told("READY=1")

    def told(self, line):
        """The next message that has this line; others that come before it are let go."""
        deadline = time.monotonic() + DEADLINE
        while True:
            ready, _, _ = select.select([self._ears], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"{line} was not told: {self.stderr()[-2000:]}")
            lines = self._ears.recv(4096).decode().split("\n")
            if line in lines:
                return lines

    def stderr(self):
        return (self.folder / "stderr").read_text()

    def stop(self, number=15):
        """End the broker in order."""
        self.process.send_signal(number)
        assert self.process.wait(DEADLINE) == 0, self.stderr()[-2000:]

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._ears.close()
        self.listening.close()

    def signal(self, number):
        os.kill(self.process.pid, number)
