from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from tests.cli.recorder import stream

ONE = b'{"time":1.5,"type":"auth","host":"h","socket":"3e41eca363bb3073","token":"ba7816bf8f01"}\n'
TWO = b'{"time":2.5,"type":"lost","count":3}\n'


@pytest.fixture
def tail(phlows, recorder):
    def run(*args, **settings):
        return phlows("tail", "--url", recorder.url, *args, **settings)

    return run


def test_events_are_lines_until_the_broker_goes_away(tail, recorder):
    recorder.answers["/events"] = stream(ONE[:20], ONE[20:] + TWO)
    result = tail()
    assert result.exit_code == 3
    first, second = result.stdout.splitlines()
    assert first.endswith("auth     h  3e41eca363bb3073  ba7816bf8f01")
    assert second.endswith("3 events lost: this reader is too slow")
    assert result.stderr == f"error: the broker at {recorder.url} has gone away\n"


def test_a_broker_that_breaks_off_is_gone_too(tail, recorder):
    recorder.answers["/events"] = stream(ONE, is_whole=False)
    result = tail()
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
    assert result.stderr == f"error: the broker at {recorder.url} has gone away\n"


def test_json_is_the_lines_as_they_came(tail, recorder):
    recorder.answers["/events"] = stream(ONE + TWO)
    assert tail("--json").stdout_bytes == ONE + TWO


def test_colours_are_for_terminals(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    assert "\x1b" not in tail().stdout
    assert "\x1b" in tail(color=True).stdout


def test_without_filters_nothing_is_asked_for(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail()
    assert recorder.last.query == {}


def test_filters_are_the_brokers_to_apply(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail("--host", "h", "--token", "ba7816bf8f01", "--socket", "s", "--type", "hook")
    assert recorder.last.query == {
        "host": "h",
        "token": "ba7816bf8f01",
        "socket": "s",
        "type": "hook",
    }


def test_the_host_of_other_commands_is_no_filter(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail(env={"PHLOWS_HOST": "h"})
    assert recorder.last.query == {}


def test_an_unknown_type_is_a_usage_error(tail, recorder):
    assert tail("--type", "hooks").exit_code == 2
    assert recorder.requests == []


def test_a_refusal_is_exit_code_4(tail, recorder):
    message = "token is not a sha256 or its first 12 hex characters"
    recorder.answers["/events"] = (400, {"status": "error", "message": message})
    result = tail("--token", "Ann")
    assert (result.exit_code, result.stderr) == (4, f"error: {message}\n")


def test_the_help_tells_how_to_hash_a_token(tail):
    assert "printf %s TOKEN | sha256sum | cut -c1-12" in tail("--help").stdout


def test_no_broker_is_exit_code_3(phlows, tmp_path):
    assert phlows("tail", "--url", f"unix:{tmp_path}/none").exit_code == 3


def test_lines_come_at_once_and_ctrl_c_ends_it_with_130(recorder, environ):
    end = threading.Event()
    recorder.answers["/events"] = stream(ONE, then=end)
    command = [sys.executable, "-m", "phlows_cli", "tail", "--url", recorder.url]
    del environ["PYTHONUNBUFFERED"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().endswith("ba7816bf8f01\n")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    end.set()
    assert process.returncode == 130
    assert errors.strip() == ""
