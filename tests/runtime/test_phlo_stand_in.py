"""The stand-in for a Phlo engine, over plain pipes: an engine's manners, the bad ones too."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager

import pytest

from tests.runtime.apps import APPS, NAME, PHP

pytestmark = pytest.mark.php

APP = APPS / "phlo" / "www" / "app.php"
SOCKET = "0123456789abcdef"
READY = b'{"t":"ready"}\n'
YES, NO = ["return", True], ["return", False]


def run(*arguments, stdin=b"", boot="", php=()):
    return subprocess.run(
        [PHP, *php, APP, *arguments],
        input=stdin,
        env={"ENGINE_BOOT": boot},
        capture_output=True,
        check=False,
        timeout=20,
    )


def job(*steps, id_="a1", target="websocket::receive", stream=True):
    """One line of stdin: a job that does the steps."""
    is_hook = target.startswith(("ws::", "websocket::"))
    args = [NAME, "[]", SOCKET, json.dumps({"do": steps})] if is_hook else [steps]
    line = {"id": id_, "target": target, "args": args, "stream": stream}
    return json.dumps(line).encode() + b"\n"


def served(*jobs, **more):
    return run("phlo_serve", stdin=b"".join(jobs), **more)


@pytest.mark.parametrize("name", ["ws", "websocket"])
@pytest.mark.parametrize(("step", "printed"), [(YES, b"x\ntrue\n"), (NO, b"x\nfalse\n")])
def test_both_class_names_answer_with_a_boolean_after_what_was_printed(name, step, printed):
    message = json.dumps({"do": [["print", "x"], step]})
    done = run(f"{name}::receive", NAME, "t", SOCKET, message)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"")


def test_another_target_prints_its_result_as_json():
    done = run("tasks::sum", "3", "4")
    assert (done.returncode, done.stdout) == (0, b'{"sum":7,"of":["3","4"]}\n')


def test_the_end_of_stdin_ends_a_worker_cleanly():
    done = served()
    assert (done.returncode, done.stdout, done.stderr) == (0, READY, b"")


def test_printed_lines_become_frames_and_blank_ones_too():
    done = served(job(["print", "a/b \u00e9"], ["print", ""], ["write", "three"], YES))
    assert done.stdout == READY + (
        rb'{"id":"a1","t":"line","data":"a\/b \u00e9"}' + b"\n"
        b'{"id":"a1","t":"line","data":""}\n'
        b'{"id":"a1","t":"line","data":"three"}\n'
        b'{"id":"a1","t":"done","result":true}\n'
    )


def test_without_stream_printed_text_lands_raw_between_the_frames():
    done = served(job(["print", "x"], ["write", "three"], stream=False), job(id_="a2"))
    assert done.stdout == READY + (
        b'x\nthree{"id":"a1","t":"done","result":false}\n{"id":"a2","t":"done","result":false}\n'
    )


@pytest.mark.parametrize("step", [["warn", 0], ["throw", "no"], ["error", ["no", 120]]])
def test_a_failure_is_an_error_frame_and_the_worker_lives_on(step):
    done = served(job(["print", "[1]"], step), job(id_="a2"))
    line, error, next_ = map(json.loads, done.stdout.splitlines()[1:])
    assert (line["t"], error["t"], error["id"]) == ("line", "error", "a1")
    assert next_ == {"id": "a2", "t": "done", "result": False}
    assert done.returncode == 0


def test_a_result_that_is_not_utf8_is_an_empty_line_and_never_done():
    done = served(job(["return_bytes", "ff"], target="tasks::run"), job(id_="a2"))
    assert done.stdout == READY + b'\n{"id":"a2","t":"done","result":false}\n'


@pytest.mark.parametrize(("step", "code"), [(["die", "bye"], 0), (["exit", 0], 0)])
def test_an_exit_ends_the_worker_without_a_frame(step, code):
    done = served(job(["print", "[1]"], step), job(id_="a2"))
    assert done.stdout == READY + b'{"id":"a1","t":"line","data":"[1]"}\n'
    assert done.returncode == code


def test_a_lack_of_memory_ends_the_worker_without_a_frame():
    done = served(job(["memory", 0]), job(id_="a2"), php=["-d", "display_errors=0"])
    assert (done.returncode, done.stdout) == (255, READY)


def test_a_boot_that_fails_says_nothing_on_stdout():
    done = served(job(), boot="error")
    assert (done.returncode, done.stdout) == (1, b"")
    assert json.loads(done.stderr)["error"] == "the database is not there"


def test_a_warning_at_the_start_stands_before_ready():
    warning, ready, end = served(job(), boot="warning").stdout.rpartition(READY)
    assert warning.startswith(b"\nWarning: ")
    assert ready
    assert json.loads(end)["t"] == "done"


def test_another_target_takes_values_and_gives_one():
    line = {"id": "a1", "target": "tasks::sum", "args": [1, 2.5], "stream": False}
    done = served(json.dumps(line).encode() + b"\n")
    frame = {"id": "a1", "t": "done", "result": {"sum": 3.5, "of": [1, 2.5]}}
    assert json.loads(done.stdout.splitlines()[1]) == frame


@contextmanager
def worker():
    """A worker that is ready; ask(job) writes a job, and frames are read one by one."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([PHP, APP, "phlo_serve"], **pipes) as process:
        try:
            assert process.stdout.readline() == READY
            yield process
        finally:
            process.kill()


def ask(process, line):
    process.stdin.write(line)
    process.stdin.flush()


def test_a_worker_keeps_from_one_job_to_the_next_what_it_knows():
    with worker() as process:
        for number in (1, 2):
            ask(process, job(["calls", 0]))
            line, end = (json.loads(process.stdout.readline()) for _ in range(2))
            assert (json.loads(line["data"]), end["t"]) == ({"calls": number}, "done")


def test_a_line_is_there_before_its_job_is_done(gate):
    with worker() as process:
        ask(process, job(["print", "[1]"], ["wait", gate.path], ["print", "[2]"]))
        assert json.loads(process.stdout.readline())["data"] == "[1]"
        gate.let_one_pass()
        assert json.loads(process.stdout.readline())["data"] == "[2]"
