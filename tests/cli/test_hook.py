from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from phlows_cli.cli.rehearsal import message_text, verdict
from phlows_cli.errors import UsageError
from phlows_cli.model import HookResult, Outcome

HOST = '[hosts."app.example.com"]\napp = "{}"\n'


@pytest.fixture
def registered(app, config):
    """Registers a Python app of this body as app.example.com."""

    def write(body, text=""):
        return config(text=HOST.format(app(body)) + text)

    return write


def refusal(result):
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr.splitlines()[0].removeprefix("error: ")


def test_the_app_gets_what_the_broker_would_give_it(registered, report, tmp_path):
    registered(
        "import json, os; print(json.dumps({'argv': sys.argv, 'cwd': os.getcwd(),"
        " 'env': dict(os.environ), 'stdin': sys.stdin.read()}))",
        'env = { GREETING = "hello" }\n',
    )
    os.environ["UNRELATED"] = "secret"
    try:
        answer = report("receive", "--token", "abc", "--socket", "s1", '{"type":"ping"}')
    finally:
        del os.environ["UNRELATED"]
    (line,) = answer["lines"]
    assert line["sent"] == [line["text"]]
    seen = json.loads(line["text"])
    expected = ["ws::receive", "app.example.com", "abc", "s1", '{"type":"ping"}']
    assert seen["argv"] == [str(tmp_path / "app.py"), *expected]
    assert answer["command"] == [sys.executable, *seen["argv"]]
    assert seen["cwd"] == str(tmp_path)
    assert seen["stdin"] == ""
    assert seen["env"]["GREETING"] == "hello"
    assert seen["env"]["PHLOWS_URL"] == "http://127.0.0.1:3001"
    assert "UNRELATED" not in seen["env"]


def test_the_whole_of_json_is_one_object(registered, report):
    registered("print('{\"pong\":1}true'); print('note'); print('warned', file=sys.stderr)")
    answer = report("receive", "{}")
    assert answer.pop("ms") > 0
    assert re.fullmatch(r"[0-9a-f]{16}", answer["command"][-2])
    del answer["command"]
    assert answer == {
        "lines": [
            {"text": '{"pong":1}true', "sent": ['{"pong":1}']},
            {"text": "note", "sent": []},
        ],
        "stderr": ["warned"],
        "outcome": "accepted",
        "reason": "",
        "exit_code": 0,
        "dropped": 0,
        "code": 0,
    }


def test_people_see_the_command_each_line_and_what_becomes_of_it(registered, phlows, tmp_path):
    registered(
        "print('{\"a\":1}'); print('{\"a\":2}true'); print('Warning: \\x1b[1m'); print('true')\n"
        "print(); sys.stdout.flush(); print('oops', file=sys.stderr)"
    )
    result = phlows("hook", "receive", "--token", "it's", "--socket", "s1", "[1]")
    first, *lines, last = result.stdout.splitlines()
    python, path = sys.executable, tmp_path / "app.py"
    assert first == f"$ {python} {path} ws::receive app.example.com 'it'\"'\"'s' s1 '[1]'"
    assert "stderr   oops" in lines
    lines.remove("stderr   oops")
    assert lines == [
        'sent     {"a":1}',
        'printed  {"a":2}true',
        'sent     {"a":2}',
        "not sent Warning: \\x1b[1m  (not JSON)",
        "not sent true",
        "not sent ",
    ]
    assert re.fullmatch(r"accepted, exit code 0, \d+\.\d ms", last)
    assert result.exit_code == 0


def test_a_line_is_shown_when_it_is_printed(registered, environ, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    registered(f"print('[1]', flush=True); open({str(gate)!r}).read(); print('[2]')")
    command = [sys.executable, "-m", "phlows_cli", "hook", "receive", "{}"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("$ ")
        assert process.stdout.readline() == "sent     [1]\n"
        gate.write_text("go on")  # blocks until the app opens it: the line came before
        assert process.stdout.readline() == "sent     [2]\n"
        assert process.stdout.read().startswith("accepted")
    assert process.returncode == 0


@pytest.mark.parametrize("hook", ["connect", "auth", "close"])
def test_only_receive_answers_the_client(registered, report, hook):
    registered("print('{\"a\":1}'); print('true')")
    answer = report(hook)
    assert answer["lines"] == [{"text": '{"a":1}', "sent": []}, {"text": "true", "sent": []}]
    assert answer["code"] == 0


@pytest.mark.parametrize(
    ("hook", "body", "outcome", "code"),
    [
        ("connect", "print('true')", "accepted", 0),
        ("connect", "pass", "accepted", 0),
        ("connect", "print('false')", "refused", 4),
        ("auth", "print('true')", "accepted", 0),
        ("auth", "print('false')", "refused", 4),
        ("auth", "print('welcome')", "failed", 5),
        ("auth", "sys.exit(3)", "failed", 5),
        ("receive", "sys.exit(1)", "failed", 5),
        ("close", "sys.exit(1)", "failed", 5),
        ("close", "print('false')", "accepted", 0),
    ],
)
def test_the_exit_code_tells_what_the_hook_answered(registered, report, hook, body, outcome, code):
    registered(body)
    answer = report(hook, *(["{}"] if hook == "receive" else []))
    assert (answer["outcome"], answer["code"]) == (outcome, code)


def test_a_hook_that_takes_too_long_is_exit_code_6(registered, report):
    registered("import time; time.sleep(60)", "timeout = 0.3\n")
    answer = report("connect")
    assert (answer["outcome"], answer["code"]) == ("timeout", 6)
    assert "0.3 s" in answer["reason"]


def test_an_app_that_is_not_there_is_a_failed_hook(config, report, tmp_path):
    config(text=HOST.format(tmp_path / "gone.py"))
    answer = report("connect")
    assert (answer["outcome"], answer["exit_code"], answer["code"]) == ("failed", None, 5)
    assert "gone.py does not exist" in answer["reason"]


def test_ctrl_c_ends_the_app_and_exits_with_130(registered, environ):
    registered("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    command = [sys.executable, "-m", "phlows_cli", "hook", "receive", "{}"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        app_id = int(process.stdout.readline().split()[-1])
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(app_id, 0)


@pytest.mark.parametrize("spelled", ["receive", "ws::receive"])
def test_a_hook_can_be_spelled_as_the_app_sees_it(registered, report, spelled):
    registered("pass")
    assert report(spelled, "{}")["command"][2] == "ws::receive"


@pytest.mark.parametrize("host", [(), ("--host", "Chat.example.com")])
def test_an_app_that_is_not_there_is_blamed_on_the_option(report, host):
    answer = report("connect", "--app", "gone.py", *host)
    assert answer["reason"].endswith("gone.py does not exist: correct --app")
    assert answer["code"] == 5


def test_with_no_host_registered_the_other_way_is_named(phlows):
    assert refusal(phlows("hook", "auth")) == (
        "no host is registered in any phlows.toml: register one with `phlows host add`,"
        " or name an app with --app"
    )


def test_another_class_than_the_hosts_is_remarked_on(registered, phlows):
    registered("pass")
    result = phlows("hook", "websocket::connect", "--json")
    assert json.loads(result.stdout)["command"][2] == "ws::connect"
    assert result.stderr == "app.example.com has hook_class 'ws': calling ws::connect\n"


def test_an_app_that_is_not_registered_is_called_by_its_path(app, report, tmp_path):
    app("print('true')", "other.py")
    answer = report("auth", "--app", "other.py", "--token", "t", "--socket", "s")
    assert answer["command"][1:] == [str(tmp_path / "other.py"), "ws::auth", "localhost", "t", "s"]
    assert answer["code"] == 0


def test_an_app_that_is_not_registered_takes_its_settings_from_options(app, report):
    app("import time; print('{}', flush=True); time.sleep(60)")
    args = [
        "--app",
        "app.py",
        "--host",
        "Any.Example.com.",
        "--hook-class",
        "my",
        "--timeout",
        "0.3",
    ]
    answer = report("connect", *args)
    assert answer["command"][2:4] == ["my::connect", "any.example.com"]
    assert answer["outcome"] == "timeout"


def test_the_spelling_is_the_class_of_an_app_that_is_not_registered(app, report):
    app("pass")
    assert report("websocket::connect", "--app", "app.py")["command"][2] == "websocket::connect"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["recieve", "{}"], "hook 'recieve' is not one of connect, auth, receive, close"),
        (["ws::", "{}"], "hook 'ws::' is not one of connect, auth, receive, close"),
        (["receive"], "receive needs a MESSAGE"),
        (["auth", "{}"], "auth takes no MESSAGE"),
        (["auth", "--timeout", "3"], "--hook-class and --timeout go with --app: "),
        (["auth", "--hook-class", "x"], "--hook-class and --timeout go with --app: "),
        (["auth", "--host", "x"], "unknown host 'x': register it with `phlows host add`"),
        (["auth", "--app", "app.py", "--timeout", "0"], "--timeout is 0: "),
        (["receive", "@missing"], "cannot read missing: No such file or directory"),
    ],
)
def test_what_cannot_be_called_is_a_usage_error(registered, phlows, args, message):
    registered("pass")
    assert refusal(phlows("hook", *args)).startswith(message)


def test_a_hook_that_the_host_does_not_have_is_not_run(registered, phlows):
    registered("pass", 'hooks = ["connect"]\n')
    assert refusal(phlows("hook", "close")) == (
        "app.example.com has no close in its hooks: the broker would run nothing"
    )


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("wsToken=1", "message has the reserved key wsToken"),
        ("[", "message is not a JSON object or array"),
        ('{"wsToken":1}', "message has the reserved key wsToken"),
        ("[" * 513 + "]" * 513, "message is nested deeper than 512"),
    ],
)
def test_a_message_that_the_broker_would_not_take_is_not_run(registered, phlows, message, problem):
    registered("print('ran')")
    assert refusal(phlows("hook", "receive", message)) == (
        f"{problem}: the broker would answer with an error, and not run receive"
    )


@pytest.mark.parametrize("message", ["hello", "5", '"a=b"', ""])
def test_a_message_that_is_none_is_shown_with_what_would_be_one(registered, phlows, message):
    registered("print('ran')")
    assert refusal(phlows("hook", "receive", message)) == (
        f"message {message!r} is not a JSON object or array: give that, or items, such as type=ping"
    )


def test_a_message_can_be_made_of_items(registered, report):
    registered("import json; print(json.dumps([message]))")
    (line,) = report("receive", "type=chat.send", "text=a=b", "n:=3")["lines"]
    assert json.loads(json.loads(line["text"])[0]) == {"type": "chat.send", "text": "a=b", "n": 3}


def test_a_line_of_a_hook_whose_lines_are_never_sent_is_just_printed(registered, phlows):
    registered("print('true')")
    assert "\nprinted  true\n" in phlows("hook", "auth", "--token", "t").stdout


def test_a_message_that_would_close_the_socket_says_with_which_code():
    with pytest.raises(UsageError, match=r"5 bytes exceeds 4 \(limits.max_message\).* 1009"):
        message_text(b"[1,2]", 4)
    with pytest.raises(UsageError, match=r"not UTF-8.* 1007"):
        message_text(b'["\xff"]', 100)
    assert message_text(b"[1,2]", 5) == "[1,2]"


def test_a_message_over_what_one_argument_holds_is_not_run(registered, phlows, tmp_path):
    path = registered("print('ran')")
    path.write_text(path.read_text() + "[limits]\nmax_message = 1000000\n")
    (tmp_path / "m.json").write_text('["' + "x" * 140_000 + '"]')
    assert "1009" in refusal(phlows("hook", "receive", "@m.json"))


def test_a_message_comes_from_a_file_or_stdin_without_its_last_newline(
    registered, report, tmp_path
):
    registered("import json; print(json.dumps([message]))")
    (tmp_path / "m.json").write_text('{"a": 1}\n')
    for args, settings in ((["@m.json"], {}), (["-"], {"input": '{"a": 1}\n'})):
        (line,) = report("receive", *args, **settings)["lines"]
        assert json.loads(line["text"]) == ['{"a": 1}']


def test_output_over_the_limit_is_told(registered, phlows):
    path = registered("print('[1]'); print('x' * 5000)")
    path.write_text(path.read_text() + "[limits]\noutput = 1024\n")
    lines = phlows("hook", "receive", "{}").stdout.splitlines()
    assert lines[1] == "sent     [1]"
    assert "bytes over limits.output (1024) dropped" in lines[-1]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (HookResult(Outcome.ACCEPTED, 0.0123, exit_code=0), "accepted, exit code 0, 12.3 ms"),
        (
            HookResult(Outcome.FAILED, 1, "exit code 3", exit_code=3),
            "failed: exit code 3, 1000.0 ms",
        ),
        (
            HookResult(Outcome.TIMEOUT, 1, "late", exit_code=-9, dropped=7, output_limit=1024),
            (
                "timeout: late, killed by SIGKILL, 7 bytes over limits.output (1024) dropped, "
                "1000.0 ms"
            ),
        ),
        (HookResult(Outcome.FAILED, 0, "no such app"), "failed: no such app, 0.0 ms"),
    ],
)
def test_the_verdict_says_each_thing_once(result, line):
    assert verdict(result) == line


@pytest.mark.php
def test_a_php_app_is_called_by_php(config, report, tmp_path):
    path = tmp_path / "app.php"
    path.write_text('<?php echo json_encode(["got" => json_decode($argv[5])]), "\\n";')
    config(text=HOST.format(path))
    answer = report("receive", '{"a":[1]}')
    assert answer["lines"] == [{"text": '{"got":{"a":[1]}}', "sent": ['{"got":{"a":[1]}}']}]
    assert answer["command"][0] in (shutil.which("php-zts"), shutil.which("php"))


def test_a_token_may_stand_in_a_file_or_come_from_stdin(report, app, tmp_path):
    app("print('true' if token == 'Ann' else 'false')")
    (tmp_path / "token.txt").write_text("Ann\n")
    assert report("auth", "--app", "app.py", "--token", "@token.txt")["code"] == 0
    assert report("auth", "--app", "app.py", "--token", "-", input="Ann\n")["code"] == 0
    assert report("auth", "--app", "app.py", "--token", "Bob")["code"] == 4


def test_stdin_is_not_the_token_and_the_message(phlows, app):
    app("pass")
    done = phlows("hook", "receive", "-", "--app", "app.py", "--token", "-", input="{}")
    assert (done.exit_code, "stdin is one thing" in done.stderr) == (2, True)
