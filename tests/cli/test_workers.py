"""phlows workers: what it asks of a broker, and how it shows the answer."""

from __future__ import annotations

import json

import pytest

WORKERS = [
    {
        "host": "app.example.com",
        "pid": 4711,
        "state": "idle",
        "jobs": 12,
        "age": 3720.2,
        "memory": 33554432,
    },
    {"host": "b.test", "pid": 12, "state": "busy", "jobs": 0, "age": 0.2, "memory": None},
]


@pytest.fixture
def listing(phlows, recorder):
    def run(*args, found=WORKERS):
        recorder.answers["/workers"] = (200, {"status": "ok", "workers": found})
        return phlows("workers", "--url", recorder.url, *args)

    return run


@pytest.fixture
def reload(phlows, recorder):
    def run(*args, replaced=(), failed=()):
        done = {"status": "ok", "replaced": dict(replaced), "failed": dict(failed)}
        recorder.answers["/workers/reload"] = (200, done)
        return phlows("workers", "reload", "--url", recorder.url, *args)

    return run


def test_workers_are_listed_one_a_line(listing, recorder):
    result = listing()
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
HOST              PID  STATE  JOBS  AGE        MEMORY
app.example.com  4711  idle     12  1 h 2 min  32.0 MiB
b.test             12  busy      0  0 s        -
"""
    )
    assert (recorder.last.method, recorder.last.path) == ("GET", "/workers")


def test_workers_with_json_are_the_brokers_list(listing):
    assert json.loads(listing("--json").stdout) == WORKERS


def test_where_there_is_none_it_is_said_how_to_have_some(listing):
    result = listing(found=[])
    assert (result.exit_code, result.stdout) == (0, "")
    assert 'runtime = "resident"' in result.stderr
    assert json.loads(listing("--json", found=[]).stdout) == []


@pytest.mark.parametrize(
    ("args", "body"), [((), {}), (("app.example.com",), {"host": "app.example.com"})]
)
def test_a_reload_names_the_host_or_none(reload, recorder, args, body):
    result = reload(*args, replaced={"app.example.com": 1, "b.test": 3})
    assert result.exit_code == 0
    assert result.stdout == "app.example.com: 1 worker replaced\nb.test: 3 workers replaced\n"
    assert (recorder.last.method, recorder.last.json()) == ("POST", body)


def test_a_host_whose_new_workers_do_not_boot_is_exit_code_1(reload):
    result = reload(replaced={"b.test": 2}, failed={"app.example.com": "exit code 1: \x1b[2J"})
    assert result.exit_code == 1
    assert result.stdout == (
        "b.test: 2 workers replaced\napp.example.com: not replaced: exit code 1: \\x1b[2J\n"
    )


def test_a_reload_with_json_is_the_brokers_answer_and_the_same_exit_code(reload):
    result = reload("--json", failed={"b.test": "why"})
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == {"b.test": "why"}


def test_nothing_to_replace_is_said(reload):
    result = reload()
    assert (result.exit_code, result.stdout) == (0, "no worker to replace\n")


def test_what_the_broker_refuses_is_told(phlows, recorder):
    refusal = {"status": "error", "message": "unknown host 'x'"}
    recorder.answers["/workers/reload"] = (400, refusal)
    result = phlows("workers", "reload", "x", "--url", recorder.url)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: unknown host 'x'\n"


@pytest.mark.parametrize("args", [("workers",), ("workers", "reload")])
def test_no_broker_is_exit_code_3(phlows, tmp_path, args):
    result = phlows(*args, "--url", f"unix:{tmp_path}/none")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "`phlows serve`" in result.stderr
