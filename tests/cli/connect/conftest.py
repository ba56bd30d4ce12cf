from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.certs import ONE
from tests.started import DEADLINE, Started

if TYPE_CHECKING:
    from pathlib import Path

APP = r"""#!/bin/sh
# Tokens that begin with "good" are let in; what is received is answered.
case "$1" in
  *::connect) if [ "$2" = no.test ]; then echo false; fi ;;
  *::auth)
    case "$3" in
      good*) echo true ;;
      crash) exit 3 ;;
      *) echo false ;;
    esac ;;
  *::receive)
    case "$5" in
      *twice*) echo '{"n":1}'; echo '{"n":2}' ;;
      *) printf '{"got":%s,"token":"%s"}\n' "$5" "$3" ;;
    esac ;;
esac
"""

CONFIG = """
[server]
listen = ["127.0.0.1", "unix:{folder}/broker.sock"]
port = 0
state_dir = "{folder}/state"
path = ["/websocket", "/other"]
journal = "memory"
{tls}
[limits]
auth_timeout = 1.0
message_rate = {rate}
[hosts."message.test"]
app = "app.sh"
[hosts."upgrade.test"]
app = "app.sh"
auth = "upgrade"
token_cookie = "sid"
[hosts."none.test"]
app = "app.sh"
auth = "none"
hooks = ["connect", "receive"]
[hosts."app.test"]
app = "app.sh"
auth = "none"
hooks = ["receive"]
[hosts."no.test"]
app = "app.sh"
hooks = ["connect"]
"""


@dataclass
class Broker:
    """A running `phlows serve`, and where it is."""

    started: Started
    folder: Path
    url: str

    @property
    def path(self):
        return self.folder / "phlows.toml"


@contextmanager
def serving(folder, *, has_tls=False, rate=0.0):
    app = folder / "app.sh"
    app.write_text(APP)
    app.chmod(0o755)
    tls = f'tls_cert = "{ONE[0]}"\ntls_key = "{ONE[1]}"' if has_tls else ""
    path = folder / "phlows.toml"
    path.write_text(CONFIG.format(folder=folder, tls=tls, rate=rate))
    started = Started(folder, "serve", "--config", path, "--json", ready="addresses")
    (line,) = [line for line in started.lines.all() if "addresses" in line]
    try:
        yield Broker(started, folder, json.loads(line)["addresses"][0])
    finally:
        started.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that a whole file shares."""
    with serving(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path):
    """Starts brokers of a test's own, which it may stop."""
    return lambda **settings: serving(tmp_path, **settings)


@pytest.fixture
def connect(phlows, broker):
    """Runs `phlows connect` in this process; nobody types."""

    def run(*args, **settings):
        return phlows("connect", "-c", str(broker.path), "--url", broker.url, *args, **settings)

    return run


@pytest.fixture
def piped(environ):
    """Runs `phlows connect` as a process that is given this on stdin."""

    def run(*args, given="", **settings):
        return subprocess.run(
            [sys.executable, "-m", "phlows_cli", "connect", *map(str, args)],
            env=environ,
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            timeout=30,
            check=False,
            **settings,
        )

    return run


@contextmanager
def standing_in(handle):
    """A WebSocket server in a thread, whose every connection `handle` is given."""
    from websockets.sync.server import serve

    with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


def events(stdout):
    """The happenings of --json, without their times."""
    told = [json.loads(line) for line in stdout.splitlines()]
    assert all(isinstance(one.pop("time"), float) for one in told)
    return told


class Screen:
    """A program on a terminal that tmux draws: what a person sees of it."""

    def __init__(self, folder, command, environ, size):
        self._tmux = ["tmux", "-f", "/dev/null", "-S", str(folder / "tmux")]
        columns, rows = size
        self._run("new-session", "-d", "-x", columns, "-y", rows, shlex.join(command), env=environ)

    def _run(self, *args, env=None):
        command = [*self._tmux, *map(str, args)]
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=DEADLINE, check=True
        )
        return done.stdout

    def stop(self):
        """End the program, and tmux with it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def type(self, text):
        """Type text as it is."""
        self._run("send-keys", "-l", text)

    def press(self, key):
        """Press a key that has a name."""
        self._run("send-keys", key)

    def resize(self, columns, rows):
        """Make the window another size."""
        self._run("resize-window", "-x", columns, "-y", rows)

    def wait_for(self, pattern):
        """Look until the pattern is on the screen; lines lose the spaces at their ends."""
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, seen := self._run("capture-pane", "-p"), re.MULTILINE):
            assert time.monotonic() < end, f"{pattern!r} never came:\n{seen}"
            time.sleep(0.02)  # a screen cannot be waited on
        return seen


@pytest.fixture
def tmux(tmp_path, environ):
    """Starts programs on screens of a size."""
    screens = []

    def start(command, columns, rows):
        screens.append(Screen(tmp_path, command, environ, (columns, rows)))
        return screens[-1]

    yield start
    for screen in screens:
        screen.stop()
