"""phlows call: an app's own functions, by every runtime, without a broker."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

BEHAVING = Path(__file__).parents[1] / "apps" / "behaving.py"
ECHO = "import json, sys\nprint('a line')\nprint(json.dumps(sys.argv[1:]))\n"


@pytest.fixture
def registered(config, tmp_path):
    """Registers an app of this body as app.example.com."""

    def write(body=ECHO, text="", app=None):
        if app is None:
            app = tmp_path / "app.py"
            app.write_text(body)
        return config(text=f'[hosts."app.example.com"]\napp = "{app}"\n{text}')

    return write


@pytest.fixture
def resident(registered):
    return lambda text="": registered(app=BEHAVING, text=f'runtime = "resident"\n{text}')


@pytest.fixture
def report(phlows):
    """Runs `phlows call app.example.com ... --json`: its answer, its exit code as `code`."""

    def run(*args):
        result = phlows("call", "app.example.com", *args, "--json")
        assert result.stdout.count("\n") == 1, result.stderr
        assert result.stderr == ""
        return {**json.loads(result.stdout), "code": result.exit_code}

    return run


def steps(*steps):
    return json.dumps(steps)


def test_a_variable_names_the_host_where_none_is_typed(registered, phlows, monkeypatch):
    registered()
    assert "missing argument 'TARGET'" in phlows("call", "tasks::run").stderr
    monkeypatch.setenv("PHLOWS_HOST", "app.example.com")
    for typed in (["tasks::run"], ["tasks::run", "a"], ["app.example.com", "tasks::run", "a"]):
        result = phlows("call", *typed, "--json")
        assert json.loads(result.stdout)["result"] == typed[typed.index("tasks::run") :]
    assert "missing argument 'HOST'" in phlows("call").stderr


def test_the_app_gets_the_target_and_the_arguments_as_the_broker_gives_them(registered, report):
    registered()
    answer = report("tasks::run", "text", ":=", '{"a":1}', ":=2026", ":=null", ':="quoted"', "")
    expected = ["tasks::run", "text", '{"a": 1}', "2026", "null", "quoted", ""]
    assert answer["result"] == expected
    assert answer["lines"] == [{"text": "a line"}, {"text": json.dumps(expected)}]
    assert answer["command"][2:] == expected
    assert (answer["outcome"], answer["exit_code"], answer["code"]) == ("accepted", 0, 0)


def test_a_worker_gets_json_values(resident, report):
    resident()
    answer = report("a::b", steps(["echo", 0]), ":=5", ":=", "[1]")
    assert answer["result"] == ["a::b", steps(["echo", 0]), 5, [1]]
    assert answer["command"] == [
        sys.executable,
        str(BEHAVING),
        "phlo_serve",
        *answer["command"][3:],
    ]
    assert (answer["exit_code"], answer["code"]) == (None, 0)


def test_people_see_the_command_the_lines_the_result_and_the_time(registered, phlows):
    registered("import sys\nprint('\\x1b[1m')\nprint('oops', file=sys.stderr)\nprint('{\"n\":1}')")
    result = phlows("call", "APP.example.com", "tasks::run", "it's")
    first, *lines, last = result.stdout.splitlines()
    assert first.startswith("$ ")
    assert first.endswith("app.py tasks::run 'it'\"'\"'s'")
    assert sorted(lines) == [
        "printed  \\x1b[1m",
        'printed  {"n":1}',
        'result   {"n":1}',
        "stderr   oops",
    ]
    assert re.fullmatch(r"done, exit code 0, \d+\.\d ms", last)
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_call_without_a_result_shows_none(registered, phlows, report):
    registered("print('words')")
    assert report("a::b")["result"] is None
    lines = phlows("call", "app.example.com", "a::b").stdout.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["$", "printed", "done,"]


@pytest.mark.parametrize(
    ("body", "text", "outcome", "code"),
    [
        ("raise SystemExit(3)", "", "failed", 5),
        ("import time; time.sleep(60)", "timeout = 0.3\n", "timeout", 6),
        ("print('false')", "", "accepted", 0),
    ],
)
def test_the_exit_code_tells_how_it_ended(registered, report, body, text, outcome, code):
    registered(body, text)
    answer = report("a::b")
    assert (answer["outcome"], answer["code"]) == (outcome, code)


def test_an_app_that_does_not_boot_is_a_failed_call_told_once(registered, phlows):
    registered("raise SystemExit('no database')", 'runtime = "resident"\n')
    result = phlows("call", "app.example.com", "a::b")
    assert result.exit_code == 5
    assert result.stdout.splitlines()[-1].startswith("failed: the app does not boot: ")
    assert "stderr   no database" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["gone.example.com", "a"], "there is no host 'gone.example.com'"),
        (["app.example.com", "a", ":={"], "'{' after := is not JSON"),
        (["app.example.com", "a", ":=NaN"], "'NaN' after := is not JSON"),
        (["app.example.com", "a", ":=-Infinity"], "'-Infinity' after := is not JSON"),
        (["app.example.com", "a", ":=" + "[" * 100_000], "after := is not JSON"),
        (["app.example.com", "a", "b", ":="], "'' after := is not JSON"),
        (["app.example.com", "a", "--repeat", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_called_runs_nothing(registered, phlows, args, message):
    registered()
    result = phlows("call", *args)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert message in result.stderr


def test_a_host_that_is_only_pushed_to_has_nothing_to_call(config, phlows):
    config("push.example.com")
    result = phlows("call", "push.example.com", "a")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "push.example.com has no app: it is only pushed to" in result.stderr


# Many times


def test_repeated_calls_are_counted_and_timed(registered, phlows, report):
    registered()
    told = report("a::b", "--repeat", "3")
    assert told.pop("code") == 0
    assert (told["count"], told["outcomes"], told["reason"]) == (3, {"accepted": 3}, "")
    times = [told["ms"][name] for name in ("min", "p50", "p90", "p99", "max")]
    assert times == sorted(times)
    assert times[0] > 0
    text = phlows("call", "app.example.com", "a::b", "--repeat", "1").stdout
    assert re.fullmatch(r"1 accepted\nms: min [\d.]+  p50 .*  p90 .*  p99 .*  max [\d.]+\n", text)


WORKER = """
import json, pathlib, sys
pathlib.Path(__file__).with_name("booted").mkdir()  # fails the second time
print('{"t":"ready"}', flush=True)
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "t": "done", "result": 1}), flush=True)
"""


def test_repeated_calls_of_a_resident_app_are_those_of_one_worker(registered, report):
    registered(WORKER, 'runtime = "resident"\n')
    told = report("a::b", "--repeat", "20")
    assert (told["count"], told["outcomes"]) == (20, {"accepted": 20})


def test_an_app_that_does_not_boot_is_not_repeated(registered, phlows):
    registered("raise SystemExit('no database')", 'runtime = "resident"\n')
    result = phlows("call", "app.example.com", "a::b", "--repeat", "20")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "app.example.com: the app does not boot: " in result.stderr
    assert result.stderr.count("not boot") == 1


def test_the_worst_of_the_repeated_calls_is_the_exit_code(registered, report, tmp_path):
    once = tmp_path / "once"
    registered(f"import pathlib\np = pathlib.Path({str(once)!r})\np.mkdir()\n")
    told = report("a::b", "--repeat", "2")
    assert told["outcomes"] == {"accepted": 1, "failed": 1}
    assert told["reason"] == "exit code 1"
    assert told["code"] == 5


def test_json_may_stand_in_a_file(phlows, config, app, tmp_path):
    app("print(sys.argv[2:])")
    config(text='[hosts."app.test"]\napp = "app.py"')
    (tmp_path / "n.json").write_text("[1]")
    done = phlows("call", "app.test", "tasks::run", ":=", "@n.json", ":=@n.json", "@n.json")
    assert done.stdout.count("[1]") >= 2
    assert "@n.json" in done.stdout
    assert phlows("call", "app.test", "tasks::run", ":=@none").exit_code == 2
