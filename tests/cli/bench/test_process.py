"""The command as a process: interrupted, killed, without descriptors, on a terminal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.cli.bench.conftest import processes_of, until
from tests.cli.terminal import Terminal

LONG = {
    "fanout": ("fanout", "--sockets", "20", "--seconds", "600"),
    "echo": ("echo", "--sockets", "5", "--seconds", "600"),
    "connect": ("connect", "--count", "10000000"),
}


@pytest.fixture
def started(environ, temporary):
    """A bench that runs, and whose broker runs."""
    running = []

    def start(name):
        process = subprocess.Popen(
            [sys.executable, "-m", "phlows_cli", "bench", *LONG[name], "--json"],
            env=environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        until(lambda: list(temporary.glob("phlows-bench-*/state/key")))
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_shows_what_was_measured_and_leaves_nothing(started, temporary, name):
    process = started(name)
    until(lambda: _has_sockets(process.pid))
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    result = json.loads(out)
    assert (process.returncode, result["interrupted"], result["bench"]) == (130, True, name)
    assert "Traceback" not in errors
    assert processes_of(temporary) == []
    assert list(temporary.iterdir()) == []


def _has_sockets(pid):
    from pathlib import Path

    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(descriptor.readlink()))
        except OSError:
            continue  # closed in between
    return sum("socket:" in link for link in links) >= 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_however_it_ends_its_broker_and_its_files_go(started, temporary, how):
    process = started("fanout")
    assert processes_of(temporary)
    process.send_signal(how)
    process.communicate(timeout=30)
    until(lambda: not processes_of(temporary))
    until(lambda: not list(temporary.iterdir()))


def test_too_few_descriptors_are_told_before_anything_starts(environ, temporary):
    command = f"ulimit -n 200; exec {sys.executable} -m phlows_cli bench fanout --sockets 500"
    done = subprocess.run(
        ["sh", "-c", command], env=environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "500 sockets need 564 descriptors and the hard limit is 200: 136 sockets" in done.stderr


def test_a_terminal_shows_how_far_it_is(environ):
    environ = {**environ, "TERM": "xterm", "COLUMNS": "120"}
    argv = [sys.executable, "-m", "phlows_cli", "bench", *LONG["fanout"][:-1], "0.5"]
    with Terminal(argv, environ) as terminal:
        terminal.wait_for(r"casting.* a second")
        terminal.wait_for("ok: nothing lost")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("fanout", "--size", "10"), "--size"),
        (("fanout", "--size", "1000000", "--outstanding", "10000"), "lower --outstanding"),
        (("echo", "--rate", "5", "--closed-loop"), "exclude each other"),
        (("fanout", "--url", "3001", "--host", "a", "--target", "token"), "needs --token"),
        (("fanout", "--host", "a", "--connect", "wss://127.0.0.1:1/x"), "--url"),
        (("connect", "--host", "a", "--connect", "ftp://x"), "wss://host/path"),
        (("fanout", "--ca", "none.pem", "--url", "https://localhost", "--host", "a"), "none.pem"),
        (("echo", "--app", "none.py"), "--app none.py is not a file"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(phlows, args, words):
    result = phlows("bench", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_an_app_is_for_a_broker_of_its_own(phlows, app):
    path = app("print(message)")
    result = phlows("bench", "echo", "--app", str(path), "--url", "3001", "--host", "a")
    assert result.exit_code == 2
    assert "leave --url and --host away" in result.stderr
