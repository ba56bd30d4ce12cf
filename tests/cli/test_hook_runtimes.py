"""phlows hook on resident apps and URLs, and many times."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from phlows_cli.cli.repetition import summary, worst
from phlows_cli.model import HookResult, Outcome

HOST = '[hosts."app.example.com"]\napp = "{}"\n'


# Other runtimes


BEHAVING = Path(__file__).parents[1] / "apps" / "behaving.py"


@pytest.fixture
def resident(config):
    more = 'runtime = "resident"\n[limits]\nmax_message = 1000000\n'
    config(text=HOST.format(BEHAVING) + more)


@pytest.mark.parametrize(
    ("steps", "outcome", "code"),
    [
        ([["print", "true"]], "accepted", 0),
        ([["print", "false"]], "refused", 4),
        ([["print", "welcome"]], "failed", 5),
        ([["exit", 3]], "failed", 5),
    ],
)
def test_a_hook_of_a_resident_app_is_run_by_a_worker(resident, report, steps, outcome, code):
    answer = report("auth", "--token", json.dumps(steps), "--socket", "s1")
    assert (answer["outcome"], answer["code"]) == (outcome, code)
    assert answer["exit_code"] is None
    worker = [sys.executable, str(BEHAVING), "phlo_serve", "ws::auth", "app.example.com"]
    assert answer["command"] == [*worker, json.dumps(steps), "s1"]


def test_the_lines_of_a_worker_are_shown_as_any_others(resident, report):
    message = json.dumps([["print", '{"a":1}'], ["print", "words"]])
    answer = report("receive", message)
    assert answer["lines"] == [
        {"text": '{"a":1}', "sent": ['{"a":1}']},
        {"text": "words", "sent": []},
    ]


def test_a_resident_app_may_be_given_what_one_argument_would_not_hold(resident, report):
    answer = report("receive", "-", input=json.dumps([["print", '["' + "x" * 140_000 + '"]']]))
    assert answer["code"] == 0
    assert len(answer["lines"][0]["sent"][0]) == 140_004


@pytest.fixture
def url_app(config):
    """Registers behaving_url.py, with words in its URL that nobody should see."""
    program = BEHAVING.with_name("behaving_url.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().strip()
        config(text=HOST.format(f"{url}?key=secret"))
        yield url
        server.stdin.close()


def test_a_hook_of_an_app_behind_a_url_is_posted_to_it(url_app, report):
    answer = report("receive", "--token", "t", "--socket", "s1", '[["print", "[1]"]]')
    called = ["ws::receive", "app.example.com", "t", "s1", '[["print", "[1]"]]']
    assert answer["command"] == ["POST", url_app, *called]
    assert answer["lines"] == [{"text": "[1]", "sent": ["[1]"]}]
    assert (answer["outcome"], answer["code"]) == ("accepted", 0)
    assert "secret" not in json.dumps(answer)


def test_a_url_that_fails_is_exit_code_5(url_app, report):
    answer = report("connect", "--token", '[["exit", 3]]')
    assert (answer["outcome"], answer["code"]) == ("failed", 5)
    assert "secret" not in json.dumps(answer)


# Many times


def test_a_repeated_hook_is_counted_and_timed(app, config, report):
    config(text=HOST.format(app("print('true')")))
    told = report("auth", "--repeat", "3")
    assert told.pop("code") == 0
    assert (told["count"], told["outcomes"], told["reason"]) == (3, {"accepted": 3}, "")
    assert list(told["ms"]) == ["min", "p50", "p90", "p99", "max"]
    times = list(told["ms"].values())
    assert times == sorted(times)


def test_people_see_one_line_of_outcomes_and_one_of_times(app, config, phlows):
    config(text=HOST.format(app("print('false')")))
    result = phlows("hook", "auth", "--repeat", "2")
    outcomes, times, reason = result.stdout.splitlines()
    assert outcomes == "2 refused"
    assert re.fullmatch(r"ms: min [\d.]+  p50 [\d.]+  p90 [\d.]+  p99 [\d.]+  max [\d.]+", times)
    assert reason.startswith("the first reason: ")
    assert result.exit_code == 4


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["accepted"], "accepted"),
        (["accepted", "refused"], "refused"),
        (["refused", "overloaded", "accepted"], "overloaded"),
        (["failed", "overloaded"], "failed"),
        (["accepted", "failed", "timeout"], "timeout"),
    ],
)
def test_the_worst_outcome_is_the_exit_code_of_all(outcomes, code):
    assert worst([HookResult(Outcome(name)) for name in outcomes]) == code


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.005], [5, 5, 5, 5, 5]),
        ([0.002, 0.001], [1, 1, 2, 2, 2]),
        ([number / 1000 for number in range(100, 0, -1)], [1, 50, 90, 99, 100]),
        ([number / 1000 for number in range(1, 1001)], [1, 500, 900, 990, 1000]),
    ],
)
def test_a_percentile_is_the_least_time_that_so_many_do_not_exceed(seconds, expected):
    told = summary([HookResult(Outcome.ACCEPTED, time) for time in seconds])
    assert list(told["ms"].values()) == expected


@pytest.mark.parametrize("host", ["resident", "url_app"])
def test_a_repeated_hook_is_run_by_each_runtime(request, host, report):
    request.getfixturevalue(host)
    told = report("receive", '[["print", "[1]"]]', "--repeat", "5")
    assert (told["outcomes"], told["code"]) == ({"accepted": 5}, 0)
