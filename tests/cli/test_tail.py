from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from phlows_cli.cli.follow import FIRST_PAUSE, LONGEST_PAUSE, Backoff
from tests.cli.recorder import in_turn, send, stream

ONE = b'{"time":1.5,"type":"auth","host":"h","socket":"3e41eca363bb3073","token":"ba7816bf8f01"}\n'
TWO = b'{"time":2.5,"type":"lost","count":3}\n'


@pytest.fixture
def tail(phlows, recorder):
    def run(*args, **settings):
        return phlows("tail", "--url", recorder.url, *args, **settings)

    return run


def test_events_are_lines_until_the_broker_goes_away(tail, recorder):
    recorder.answers["/events"] = stream(ONE[:20], ONE[20:] + TWO)
    result = tail("--no-reconnect")
    assert result.exit_code == 3
    first, second = result.stdout.splitlines()
    assert first.endswith("auth     h  3e41eca363bb3073  ba7816bf8f01")
    assert second.endswith("3 events lost: this reader is too slow")
    assert result.stderr == f"error: the broker at {recorder.url} has gone away\n"


def test_a_broker_that_breaks_off_is_gone_too(tail, recorder):
    recorder.answers["/events"] = stream(ONE, is_whole=False)
    result = tail("--no-reconnect")
    assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
    assert result.stderr == f"error: the broker at {recorder.url} has gone away\n"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_broker_that_comes_back_is_followed_again(tail, recorder, form):
    recorder.answers["/events"] = in_turn(
        stream(ONE),
        lambda handler: send(handler, 502, b"<h1>Bad Gateway</h1>"),
        lambda handler: send(handler, 503, b'{"status":"error","message":"stopping"}'),
        stream(TWO),
        lambda handler: send(handler, 400, b'{"status":"error","message":"not this filter"}'),
    )
    result = tail(*form)
    assert len(result.stdout.splitlines()) == 2
    assert result.stderr.splitlines() == [
        f"the broker at {recorder.url} has gone away: waiting for it",
        f"the broker at {recorder.url} is back",
        f"the broker at {recorder.url} has gone away: waiting for it",
        '{"status":"error","message":"not this filter"}' if form else "error: not this filter",
    ]
    assert result.exit_code == 4


HOOKS = [
    {"outcome": "accepted", "ms": 99.9},
    {"outcome": "accepted", "ms": 100.0},
    {"outcome": "failed", "ms": 5.0},
    {"outcome": "timeout", "ms": 1500.0},
    {"outcome": "refused", "ms": 1.0},
]
LINES = [
    json.dumps({"time": 1.5, "type": "hook", "host": "h", "hook": "auth", "reason": "", **hook})
    for hook in HOOKS
]


@pytest.mark.parametrize(
    ("options", "passing"),
    [
        (("--slow", "100ms"), [1, 3]),
        (("--slow", "1.5s"), [3]),
        (("--failed",), [2, 3]),
        (("--failed", "--slow", "100ms", "--type", "hook"), [3]),
    ],
)
def test_slow_and_failed_hooks_are_picked_out(tail, recorder, options, passing):
    recorder.answers["/events"] = stream(*(f"{line}\n".encode() for line in LINES), TWO)
    result = tail("--json", "--no-reconnect", *options)
    assert recorder.last.query == {"type": "hook"}
    assert result.stdout.splitlines() == [*(LINES[n] for n in passing), TWO.decode().strip()]
    recorder.answers["/events"] = stream(*(f"{line}\n".encode() for line in LINES))
    shown = tail("--no-reconnect", *options).stdout.splitlines()
    assert [line.partition(" in ")[2] for line in shown] == [
        f"{HOOKS[n]['ms']:.1f} ms" for n in passing
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--slow", "100"), "'100' is not a duration such as 100ms or 1.5s"),
        (("--slow", "2h"), "'2h' is not a duration"),
        (("--slow", "3601s"), "'3601s' is over an hour"),
        (("--failed", "--type", "cast"), "--slow and --failed are about hooks"),
    ],
)
def test_filters_that_cannot_be_meant_are_usage_errors(tail, recorder, options, said):
    result = tail(*options)
    assert (result.exit_code, recorder.requests) == (2, [])
    assert said in result.stderr


def test_json_is_the_lines_as_they_came(tail, recorder):
    recorder.answers["/events"] = stream(ONE + TWO)
    assert tail("--json", "--no-reconnect").stdout_bytes == ONE + TWO


def test_colours_are_for_terminals(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    assert "\x1b" not in tail("--no-reconnect").stdout
    assert "\x1b" in tail("--no-reconnect", color=True).stdout


def test_without_filters_nothing_is_asked_for(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail("--no-reconnect")
    assert recorder.last.query == {}


def test_filters_are_the_brokers_to_apply(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail(
        "--no-reconnect",
        "--host",
        "h",
        "--token",
        "ba7816bf8f01",
        "--socket",
        "s",
        "--type",
        "hook",
    )
    assert recorder.last.query == {
        "host": "h",
        "token": "ba7816bf8f01",
        "socket": "s",
        "type": "hook",
    }


def test_the_host_of_other_commands_is_no_filter(tail, recorder):
    recorder.answers["/events"] = stream(ONE)
    tail("--no-reconnect", env={"PHLOWS_HOST": "h"})
    assert recorder.last.query == {}


def test_an_unknown_type_is_a_usage_error(tail, recorder):
    assert tail("--type", "hooks").exit_code == 2
    assert recorder.requests == []


def test_a_refusal_is_exit_code_4(tail, recorder):
    message = "unknown host 'h': register it with `phlows host add`"
    recorder.answers["/events"] = (400, {"status": "error", "message": message})
    result = tail("--host", "h")
    assert (result.exit_code, result.stderr) == (4, f"error: {message}\n")


def test_a_token_is_not_taken_for_its_hash_nor_repeated(tail, recorder):
    result = tail("--token", "Ann")
    assert (result.exit_code, recorder.requests) == (2, [])
    assert "--token takes the token's sha256" in result.stderr
    assert "Ann" not in result.stderr


def test_the_help_tells_how_to_hash_a_token(tail):
    assert "printf %s TOKEN | sha256sum | cut -c1-12" in tail("--help").stdout


def test_no_broker_is_exit_code_3(phlows, tmp_path):
    assert phlows("tail", "--url", f"unix:{tmp_path}/none").exit_code == 3


def test_pauses_grow_to_a_bound_and_begin_again():
    backoff = Backoff()
    pauses = [backoff.next() for _ in range(20)]
    assert all(0 < pause <= LONGEST_PAUSE for pause in pauses)
    assert min(pauses[5:]) >= LONGEST_PAUSE / 2 > pauses[0]
    backoff.reset()
    assert backoff.next() <= FIRST_PAUSE


def test_sigterm_ends_it_in_a_pipe(recorder, environ):
    end = threading.Event()
    recorder.answers["/events"] = stream(ONE, then=end)
    command = [sys.executable, "-m", "phlows_cli", "tail", "--json", "--url", recorder.url]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == ONE
        process.terminate()
        _, errors = process.communicate(timeout=30)
    end.set()
    assert (process.returncode, errors) == (-signal.SIGTERM, b"")


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
