from __future__ import annotations

import os
import sys

import pytest

from phlows_cli.cli.doctor import programs
from phlows_cli.cli.doctor.programs import run
from phlows_cli.errors import TimedOutError


def python(body):
    return [sys.executable, "-c", body]


def test_a_program_tells_its_code_and_what_it_said():
    done = run(python("import sys; print('yes'); print('no', file=sys.stderr); sys.exit(3)"), 20)
    assert (done.code, done.stdout, done.stderr, done.words) == (3, "yes\n", "no\n", "no")


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path):
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    # The child holds the pipe open: its end is the end of all of them.
    command = ["/bin/sh", "-c", f"sleep 600 > {alive} & sleep 600"]
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(TimedOutError, match="did not answer in time"):
        run(command, 0.5)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_program_that_prints_without_end_is_ended(monkeypatch):
    with pytest.raises(TimedOutError):
        run(["/bin/sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxx; done"], 0.5)


def test_of_much_output_the_beginning_is_kept(monkeypatch):
    monkeypatch.setattr(programs, "OUTPUT_LIMIT", 10)
    done = run(python("print('x' * 100000)"), 20)
    assert (done.code, done.stdout) == (0, "x" * 10)


def test_a_program_is_ended_once_it_is_enough():
    body = "import time; print('ready', flush=True); time.sleep(600)"
    done = run(python(body), 20, is_enough=lambda chunk: b"ready" in chunk)
    assert done.stdout.startswith("ready")


def test_a_program_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        run(["/none/such"], 5)
