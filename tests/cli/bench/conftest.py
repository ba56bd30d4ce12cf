from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.started import Started

SMALL = {
    "fanout": ("--sockets", "50", "--casts", "200"),
    "echo": ("--sockets", "20", "--rate", "400", "--seconds", "0.5"),
    "connect": ("--count", "50", "--concurrency", "10"),
    "storm": ("--sockets", "50"),
}
"""Each bench, small enough for a test."""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary brokers have their folders; none may be left."""
    import tempfile

    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert list(folder.glob("phlows-bench-*")) == []


@pytest.fixture
def bench(phlows):
    """Runs a bench in this process; its result, with the exit code as `code`."""

    def run(*args, **settings):
        result = phlows("bench", *args, "--json", **settings)
        assert result.stdout.count("\n") == 1, result.stderr
        return {**json.loads(result.stdout), "code": result.exit_code}

    return run


@pytest.fixture
def serving(tmp_path):
    """Starts a real broker with this configuration; its first address."""
    running = []

    def start(text, hosts='[hosts."app.test"]\nhooks = []\n'):
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        path = tmp_path / "phlows.toml"
        path.write_text(f'[server]\nport = 0\nstate_dir = "{state}"\n{text}\n{hosts}')
        broker = Started(tmp_path, "serve", "--config", path, "--json", ready='"addresses"')
        running.append(broker)
        line = next(line for line in broker.lines.all() if '"addresses"' in line)
        return json.loads(line)["addresses"][0]

    yield start
    for broker in running:
        broker.stop()


def processes_of(folder):
    """The processes that were told of a folder, or of one in it."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if str(folder).encode() in command.read_bytes():
                found.append(int(command.parent.name))
    return found


def until(condition):
    """Wait for what another process is to do."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # nothing tells of the end of a process that is not ours
