from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.recorder import stream

FULL = "error: cannot write to stdout: No space left on device\n"
CLOSED = "error: cannot write to stdout: it is closed\n"

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.fixture
def shell(environ):
    """Runs a shell line, in which `$phlows` is the program."""
    phlows = f"{sys.executable} -m phlows_cli"

    def run(line):
        return subprocess.run(
            ["/bin/sh", "-c", line],
            env={**environ, "phlows": phlows},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def _chatty(app):
    """An app that prints far more than a pipe holds."""
    app("for n in range(50_000): print('{\"n\":%d}' % n)")


PRINTING = ["status", "--help", "completion bash", "hook receive --app app.py {}"]


@needs_full
@pytest.mark.usefixtures("_chatty")
@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_line_and_exit_1(
    shell, config, recorder, environ, command, unbuffered
):
    config(port=int(recorder.url.rpartition(":")[2]))
    recorder.answers["/health"] = (200, {"status": "ok"})
    environ["PYTHONUNBUFFERED"] = unbuffered
    done = shell(f"$phlows {command} >/dev/full")
    assert (done.stderr, done.returncode) == (FULL, 1)


@pytest.mark.usefixtures("_chatty")
@pytest.mark.parametrize("command", [*PRINTING, "status --json"])
def test_a_closed_stdout_is_one_line_and_exit_1(shell, config, recorder, command):
    config(port=int(recorder.url.rpartition(":")[2]))
    recorder.answers["/health"] = (200, {"status": "ok"})
    done = shell(f"$phlows {command} >&-")
    if "--json" in command:
        expected = '{"status":"error","message":"cannot write to stdout: it is closed"}\n'
    else:
        expected = CLOSED
    assert (done.stderr, done.returncode) == (expected, 1)


@pytest.mark.usefixtures("_chatty")
def test_a_reader_that_leaves_ends_a_hook_silently(shell):
    done = shell("$phlows hook receive --app app.py '{}' | head -1")
    assert done.stdout.startswith("$ ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["tail", "tail --json", "record -"])
def test_a_reader_that_leaves_a_stream_ends_it_with_exit_code_0(shell, recorder, command):
    line = b'{"time":1.5,"type":"hook","host":"h","socket":"3e41eca363bb3073","token":""}\n'
    recorder.answers["/events"] = recorder.answers["/record"] = stream(line * 5000)
    done = shell(f"($phlows {command} --url {recorder.url}; echo $? >&2) | head -1")
    assert (done.stdout.count("\n"), done.stderr) == (1, "0\n")


@pytest.mark.parametrize("command", ["cast --data -", "hook receive --app app.py -"])
def test_a_closed_stdin_is_said_to_be(shell, config, app, command):
    config("app.example.com")
    app("pass")
    done = shell(f"$phlows {command} <&-")
    message = "error: stdin is closed: pipe something into it, or give @FILE\n"
    assert (done.stderr, done.returncode) == (message, 2)


@needs_full
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_an_error_that_cannot_be_printed_still_has_its_code(shell, redirection):
    done = shell(f"$phlows nonsense {redirection}")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 2)


@needs_full
@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_the_broker_runs_whatever_its_streams(environ, config, program, tmp_path, redirection):
    path = config(text=f'listen = "unix:{tmp_path}/s"')
    line = f"exec {sys.executable} -m phlows_cli serve -c {path} {redirection}"
    broker = subprocess.Popen(
        ["/bin/sh", "-c", line], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        for _ in range(200):
            done = program("status", "--url", f"unix:{tmp_path}/s")
            if done.returncode == 0 or broker.poll() is not None:
                break
        assert re.match("phlows .* up ", done.stdout), done.stderr
        broker.send_signal(signal.SIGTERM)
        broker.communicate(timeout=30)
    finally:
        broker.kill()
        broker.communicate()
    assert broker.returncode == 0
