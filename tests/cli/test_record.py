from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import threading

import pytest

from phlows_cli.cli.recordings.capture import capture
from phlows_cli.cli.recordings.sink import Sink
from tests.cli.recorder import stream

HEAD = b'{"type":"recording","format":1,"phlows":"1","time":1.0,"host":"","payloads":"masked"}\n'
CALL = (
    b'{"type":"hook","time":2.0,"host":"h","socket":"s","hook":"connect","token":"",'
    b'"outcome":"accepted","reason":"","ms":1.0}\n'
)
LOST = b'{"type":"lost","time":3.0,"count":4}\n'


@pytest.fixture
def record(phlows, recorder):
    def run(*args, **settings):
        return phlows("record", *args, "--url", recorder.url, **settings)

    return run


def test_lines_are_written_as_they_come_until_the_broker_goes_away(record, recorder, tmp_path):
    recorder.answers["/record"] = stream(HEAD + CALL[:20], CALL[20:] + LOST)
    result = record("calls")
    assert (result.exit_code, result.stdout) == (3, "")
    told, error = result.stderr.splitlines()
    assert told == "recorded 1 call into calls, 4 lost: the broker was faster than this"
    assert error == f"error: the broker at {recorder.url} has gone away"
    assert (tmp_path / "calls").read_bytes() == HEAD + CALL + LOST
    assert stat.S_IMODE((tmp_path / "calls").stat().st_mode) == 0o600


def test_a_broker_that_breaks_off_leaves_the_whole_lines(record, recorder, tmp_path):
    recorder.answers["/record"] = stream(HEAD + CALL, CALL[:20], is_whole=False)
    assert record("calls").exit_code == 3
    assert (tmp_path / "calls").read_bytes() == HEAD + CALL


def test_the_question_is_what_was_typed(record, recorder):
    recorder.answers["/record"] = stream(HEAD)
    record("calls", "--host", "h", "--payloads", "all", "--keep", "a", "--keep", "b")
    assert recorder.last.query == {"host": "h", "payloads": "all", "keep": "a,b"}
    record("other")
    assert recorder.last.query == {"payloads": "masked"}


def test_count_ends_it_with_exit_code_0(record, recorder, tmp_path):
    end = threading.Event()
    recorder.answers["/record"] = stream(HEAD + CALL * 5, then=end)
    result = record("calls", "--count", "2", "--json")
    end.set()
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert told == {
        "file": "calls",
        "calls": 2,
        "lost": 0,
        "bytes": len(HEAD + CALL * 2),
        "ended": "count",
    }
    assert (tmp_path / "calls").read_bytes() == HEAD + CALL * 2


def test_seconds_end_it_though_nothing_comes(record, recorder):
    end = threading.Event()
    recorder.answers["/record"] = stream(HEAD, then=end)
    result = record("calls", "--seconds", "0.05", "--json")
    end.set()
    assert (result.exit_code, json.loads(result.stdout)["ended"]) == (0, "seconds")
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_the_size_is_bounded_and_that_is_said(record, recorder, tmp_path):
    recorder.answers["/record"] = stream(
        HEAD + (CALL[:-2] + b',"x":"' + b"x" * 600_000 + b'"}\n') * 3
    )
    result = record("calls", "--max-size", "1")
    assert (result.exit_code, result.stderr) == (
        0,
        "recorded 1 call into calls; the rest would exceed --max-size\n",
    )
    assert (tmp_path / "calls").stat().st_size < 1024 * 1024


def test_stdout_is_the_recording_alone(record, recorder):
    recorder.answers["/record"] = stream(HEAD + CALL)
    result = record("-")
    assert result.stdout_bytes == HEAD + CALL
    assert result.stderr.startswith("recorded 1 call\n")
    assert json.loads(record("-", "--json").stderr.splitlines()[0])["calls"] == 1


def test_a_file_that_is_there_is_asked_about_before_the_broker(record, recorder, tmp_path):
    (tmp_path / "calls").write_text("mine")
    result = record("calls")
    assert (result.exit_code, recorder.requests) == (2, [])
    assert "calls exists: add to it with --append, write over it with --force" in result.stderr
    assert (tmp_path / "calls").read_text() == "mine"


def test_force_writes_over_it_once_the_broker_answers(record, recorder, tmp_path):
    file = tmp_path / "calls"
    file.write_text("mine" * 1000)
    file.chmod(0o644)
    assert record("calls", "--force").exit_code == 4
    assert file.read_text() == "mine" * 1000
    recorder.answers["/record"] = stream(HEAD)
    record("calls", "--force")
    assert file.read_bytes() == HEAD
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_append_goes_on_after_the_last_whole_line(record, recorder, tmp_path):
    (tmp_path / "calls").write_bytes(HEAD + CALL + CALL[:30])
    recorder.answers["/record"] = stream(HEAD + LOST)
    record("calls", "--append")
    assert (tmp_path / "calls").read_bytes() == HEAD + CALL + HEAD + LOST
    record("new", "--append")
    assert (tmp_path / "new").read_bytes() == HEAD + LOST


def test_append_leaves_what_is_no_recording_alone(record, recorder, tmp_path):
    (tmp_path / "notes").write_text("mine\nmine")
    result = record("notes", "--append")
    assert (result.exit_code, recorder.requests) == (2, [])
    assert "notes is no recording" in result.stderr
    assert record("notes", "--append", "--force").exit_code == 2


def test_a_place_that_cannot_be_written_is_named(record, recorder):
    recorder.answers["/record"] = stream(HEAD)
    result = record("none/calls")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: cannot write none/calls: No such file or directory\n",
    )


def test_a_disk_that_is_full_is_said_without_a_traceback(record, recorder):
    recorder.answers["/record"] = stream(HEAD)
    result = record("/dev/full", "--force")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: cannot write /dev/full: No space left on device\n",
    )


def test_what_is_no_recording_is_not_written(record, recorder, tmp_path):
    recorder.answers["/record"] = stream(b"<html>\n")
    assert record("calls").exit_code == 1
    assert (tmp_path / "calls").read_bytes() == b""


def test_a_refusal_is_exit_code_4_and_leaves_no_file(record, recorder, tmp_path):
    message = "unknown host 'x': register it with `phlows host add`"
    recorder.answers["/record"] = (400, {"status": "error", "message": message})
    result = record("calls", "--host", "x")
    assert (result.exit_code, result.stderr) == (4, f"error: {message}\n")
    assert not (tmp_path / "calls").exists()


def test_no_broker_is_exit_code_3_and_leaves_no_file(phlows, tmp_path):
    assert phlows("record", "calls", "--url", f"unix:{tmp_path}/none").exit_code == 3
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_with_exit_code_0(recorder, environ, tmp_path, number):
    end = threading.Event()
    recorder.answers["/record"] = stream(HEAD + CALL * 3, then=end)
    process, told = on_a_terminal(recorder.url, environ, number)
    end.set()
    assert process.wait(30) == 0
    assert "3 calls so far" in told
    assert told.endswith("recorded 3 calls into calls\r\n")
    assert (tmp_path / "calls").read_bytes() == HEAD + CALL * 3


def test_a_signal_that_comes_while_it_ends_is_no_traceback(tmp_path):
    def lines():
        try:
            yield CALL.strip()
        finally:
            signal.raise_signal(signal.SIGINT)

    with Sink(str(tmp_path / "calls"), 10_000) as sink:
        done = capture(lines(), sink, None, 1)
    assert (done.calls, done.ended) == (1, "count")


def test_ctrl_c_while_python_itself_ends_is_no_traceback(environ):
    program = (
        "import atexit, signal, sys; sys.argv = ['phlows', '--version'];"
        "atexit.register(signal.raise_signal, signal.SIGINT);"
        "from phlows_cli.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def on_a_terminal(url, environ, number):
    """A recording whose stderr is a terminal, ended once it has shown how far it is."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "phlows_cli", "record", "calls", "--url", url]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    told = b""
    try:
        while piece := os.read(ours, 1024):
            is_first = b"3 calls so far" in piece and b"3 calls so far" not in told
            told += piece
            if is_first:
                process.send_signal(number)
    except OSError:  # a terminal without anyone at its other end
        pass
    os.close(ours)
    return process, told.decode()
