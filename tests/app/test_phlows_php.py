"""phlows.php for one event: a command line in, lines and an exit code out."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.app.php_app import APP, CONTEXT, SDK, php, receive, run

pytestmark = pytest.mark.php

USAGE = b"usage: php "


@pytest.fixture
def app(tmp_path):
    """Write an app that has this source after the file it requires."""

    def written(source):
        path = tmp_path / "app.php"
        path.write_text(f"<?php\nrequire '{SDK}';\n{source}\n")
        return path

    return written


def hook(name, token, app=APP):
    return run(app, f"ws::{name}", CONTEXT[0], token, CONTEXT[2])


@pytest.mark.parametrize("path", [SDK, APP])
def test_php_finds_no_fault_in_it(path):
    done = subprocess.run([php(), "-l", path], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("name", "token", "printed"),
    [
        ("connect", "true", b"true\n"),
        ("connect", "false", b"false\n"),
        ("connect", "null", b"true\n"),
        ("connect", "one", b"true\n"),
        ("connect", "loud false", b"good morning\nfalse\n"),
        ("auth", "true", b"true\n"),
        ("auth", "false", b"false\n"),
        ("auth", "null", b"false\n"),
        ("auth", "one", b"false\n"),
        ("auth", "text", b"false\n"),
        ("auth", "loud true", b"good morning\ntrue\n"),
    ],
)
def test_only_false_refuses_a_connect_and_only_true_accepts_an_auth(name, token, printed):
    done = hook(name, token)
    assert (done.returncode, done.stdout) == (0, printed)


def test_an_auth_that_returned_no_boolean_is_told():
    assert hook("auth", "one").stderr == b"wsAuth returned int: only true accepts\n"
    assert hook("auth", "false").stderr == b""


@pytest.mark.parametrize(("name", "printed"), [("connect", b"true\n"), ("auth", b"true\n")])
def test_a_missing_hook_accepts(app, name, printed):
    assert hook(name, "t", app("phlows_run();")).stdout == printed


def test_a_missing_receive_or_close_does_nothing(app):
    path = app("phlows_run();")
    for done in (receive(path, {"a": 1}), hook("close", "t", path)):
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_receive_and_close_return_is_not_printed():
    assert hook("close", "t").stdout == b'{"closed":"0123456789abcdef"}\n'
    assert receive(APP, {"a": 1}).stdout.endswith(b'{"a":1}]')


def test_any_class_may_stand_before_the_hook():
    for command in ("websocket::auth", r"App\Chat::auth", "my-ws::auth"):
        assert run(APP, command, CONTEXT[0], "true", CONTEXT[2]).stdout == b"true\n"


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ({}, {}),
        ([], {}),
        (["a", {"b": 1}], ["a", {"b": 1}]),
        ({"host": 1, "token": 2, "socket": 3, "data": 4}, None),
        ({"a-b": 1, "": 2, "naïve ✓": 3, "this": 4, "$x": 5}, None),
        ({"x": 1, "7": "a", "3": "b"}, {"0": "a", "1": "b", "x": 1}),
        ({"5": "a"}, ["a"]),
    ],
)
def test_a_message_of_any_keys_reaches_a_variadic_receive(message, data):
    done = receive(APP, message)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [list(CONTEXT), message if data is None else data]


def test_keys_are_named_arguments_and_a_list_goes_by_position(app):
    path = app("""
        function wsReceive($wsHost, $wsToken, $wsSocket, string $text = '', int $n = 0) {
            apply(text: $text, n: $n);
        }
        phlows_run();""")
    assert receive(path, {"n": 2, "text": "hi"}).stdout == b'{"text":"hi","n":2}\n'
    assert receive(path, ["hi", 2]).stdout == b'{"text":"hi","n":2}\n'
    failed = receive(path, {"unknown": 1})
    assert (failed.returncode, failed.stdout) == (1, b"")


def test_an_exception_fails_with_a_trace_on_stderr_and_no_token_in_it():
    done = hook("auth", "throw")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"DomainException: topsecret" in done.stderr
    assert b"verdict()" in done.stderr
    assert b"'throw'" not in done.stderr


def test_a_warning_goes_to_stderr_once_and_not_to_the_client():
    done = receive(APP, {"do": "warn"})
    assert (done.returncode, done.stdout) == (0, b'{"after":1}\n')
    assert done.stderr.count(b"Undefined variable $undefined") == 1


def test_running_out_of_memory_prints_nothing_of_it():
    done = receive(APP, {"do": "out_of_memory"})
    assert (done.returncode, done.stdout) == (255, b"a\nb")
    assert b"Allowed memory size" in done.stderr


@pytest.mark.parametrize(("with_", "code"), [(0, 0), (3, 3), ("bye", 0)])
def test_exit_keeps_its_code_and_what_was_printed(with_, code):
    done = receive(APP, {"do": "end", "with": with_})
    assert (done.returncode, done.stdout[:6]) == (code, b"so far")


def test_an_app_that_ended_our_buffer_still_answers_on_a_line_of_its_own(app):
    path = app("""
        function wsAuth() {
            while (ob_get_level() > 0) { ob_end_flush(); }
            echo 'three';
            return true;
        }
        phlows_run();""")
    assert hook("auth", "t", path).stdout == b"three\ntrue\n"


def test_what_the_boot_printed_is_not_glued_to_the_answer(app):
    assert hook("auth", "t", app("echo 'boot'; phlows_run();")).stdout == b"boot\ntrue\n"


def test_an_open_buffer_of_the_boot_is_not_lost(app):
    path = app("ob_start(); echo 'boot'; phlows_run();")
    assert hook("auth", "t", path).stdout == b"boot\ntrue\n"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (("tasks::echoed", "a", "{}"), b'printed by a task\n["a","{}"]\n'),
        (("tasks::typed", "4"), b"5\n"),
        (("tasks::nothing",), b"null\n"),
        (("tasks::broken_text",), '"a\ufffdb"\n'.encode()),
        (("plain", "a", "b"), b'"a b"\n'),
    ],
)
def test_a_function_of_the_app_is_called_and_its_value_printed_as_json(command, printed):
    done = run(APP, *command)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"")


def test_a_value_that_is_not_json_fails():
    done = run(APP, "tasks::endless")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"JsonException" in done.stderr


NO_TARGETS = (
    "",
    "system",
    "phpinfo",
    "wsCast",
    "phlows_run",
    "tasks::hidden",
    "tasks::of_an_object",
    "tasks::unknown",
    "DateTime::getLastErrors",
    "dates::getLastErrors",
    "ws::unknown",
    "tasks",
    "plain; phpinfo()",
    "plain\n",
)


@pytest.mark.parametrize("target", NO_TARGETS)
def test_what_is_no_function_of_the_app_is_a_usage_error(target):
    done = run(APP, target, "a", "b")
    assert (done.returncode, done.stdout) == (2, b"")
    assert USAGE in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("ws::auth",),
        ("ws::close", "h", "t"),
        ("ws::receive", *CONTEXT),
        ("ws::receive", *CONTEXT, "{"),
        ("ws::receive", *CONTEXT, "7"),
    ],
)
def test_a_hook_that_lacks_arguments_is_a_usage_error(arguments):
    done = run(APP, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert USAGE in done.stderr


def test_an_app_that_a_test_includes_does_nothing(tmp_path):
    test = tmp_path / "test.php"
    test.write_text(f"<?php require '{APP}'; echo function_exists('wsAuth') ? 'here' : 'no';")
    done = run(test, "--filter", "x")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"here", b"")


def test_an_app_may_be_included_by_the_file_that_is_started(tmp_path):
    front = tmp_path / "front.php"
    front.write_text(f"<?php require '{APP}';")
    assert hook("auth", "true", front).stdout == b"true\n"


def test_functions_that_the_app_has_already_are_left_alone(app):
    path = app("""
        function apply(...$commands) { echo 'mine'; }
        function wsCast(...$data) { return 'mine'; }
        function wsReceive() { apply(); echo wsCast(); }
        phlows_run();""")
    done = receive(path, {})
    assert (done.stdout, done.stderr) == (b"minemine", b"")
