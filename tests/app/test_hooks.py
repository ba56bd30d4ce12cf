"""Apps as the broker runs them: a process each, real arguments, real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import phlows_cli
from phlows_cli import model
from phlows_cli.app import hooks

WHERE_PHLOWS_IS = str(Path(phlows_cli.__file__).parents[1])
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": WHERE_PHLOWS_IS, "PYTHONDONTWRITEBYTECODE": "1"}
ERRORS = "phlows_cli.errors"
HEAD = "from phlows_cli.app import run, ws_cast, ws_count, ws_presence\n"


@pytest.fixture
def app(tmp_path):
    """Write an app and run hooks of it: app(code, "ws::auth", ...)."""

    def call(code, command, *args, env=None):
        path = tmp_path / "app.py"
        path.write_text(HEAD + dedent(code) + "\nrun()\n", encoding="utf-8")
        args = args or ("example.com", "tok", "s1")
        return subprocess.run(
            [sys.executable, path, command, *args],
            capture_output=True,
            timeout=30,
            check=False,
            encoding="utf-8",
            env={**ENV, **(env or {})},
        )

    return call


def test_the_names_of_the_hooks_are_those_of_the_broker():
    assert hooks.HOOK_NAMES == model.HOOK_NAMES


@pytest.mark.parametrize("hook", ["connect", "auth"])
@pytest.mark.parametrize(("verdict", "shown"), [("True", "true\n"), ("False", "false\n")])
def test_connect_and_auth_print_the_verdict_of_their_function(app, hook, verdict, shown):
    done = app(f"def ws_{hook}(ws_host, ws_token, ws_socket): return {verdict}", f"ws::{hook}")
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


@pytest.mark.parametrize(
    ("value", "type_name"),
    [("None", "NoneType"), ("1", "int"), ("'true'", "str"), ("{'id': 7}", "dict"), ("0", "int")],
)
def test_auth_accepts_nothing_but_true_and_says_what_it_got(app, value, type_name):
    done = app(f"def ws_auth(ws_host, ws_token, ws_socket): return {value}", "ws::auth")
    assert (done.returncode, done.stdout) == (0, "false\n")
    assert done.stderr == f"ws_auth returned {type_name}: only True accepts\n"


@pytest.mark.parametrize("value", ["None", "0", "''", "{'sent': 0}"])
def test_connect_is_refused_by_an_explicit_false_only(app, value):
    done = app(f"def ws_connect(ws_host, ws_token, ws_socket): return {value}", "ws::connect")
    assert (done.returncode, done.stdout) == (0, "true\n")


@pytest.mark.parametrize(
    ("command", "args", "shown"),
    [
        ("ws::connect", ("h", "t", "s"), "true\n"),
        ("ws::auth", ("h", "t", "s"), "true\n"),
        ("ws::receive", ("h", "t", "s", '{"a":1}'), ""),
        ("ws::close", ("h", "t", "s"), ""),
    ],
)
def test_a_missing_function_accepts_or_does_nothing(app, command, args, shown):
    done = app("", command, *args)
    assert (done.returncode, done.stdout, done.stderr) == (0, shown, "")


@pytest.mark.parametrize("hook", ["connect", "auth", "close"])
def test_a_hook_is_given_host_token_and_socket(app, hook):
    code = f"""
        import sys
        def ws_{hook}(ws_host, ws_token, ws_socket):
            print(ws_host, ws_token, ws_socket, file=sys.stderr)
            return True
    """
    assert app(code, f"ws::{hook}", "h.example", "", "s9").stderr == "h.example  s9\n"


def test_any_class_may_stand_before_the_hook(app):
    assert app("def ws_auth(*_): return True", "websocket::auth").stdout == "true\n"


def test_an_object_arrives_as_keywords(app):
    code = "def ws_receive(ws_host, ws_token, ws_socket, **data): print(ws_socket, data)"
    done = app(code, "ws::receive", "h", "t", "s", '{"type":"ping","n":[1,null]}')
    assert done.stdout == "s {'type': 'ping', 'n': [1, None]}\n"


def test_an_array_is_spread_by_position(app):
    code = "def ws_receive(ws_host, ws_token, ws_socket, *data): print(data)"
    assert (
        app(code, "ws::receive", "h", "t", "s", '[1,{"a":2},"b"]').stdout == "(1, {'a': 2}, 'b')\n"
    )


def test_the_value_of_receive_and_close_is_not_printed(app):
    code = """
        def ws_receive(ws_host, ws_token, ws_socket, **data): return {"secret": 1}
        def ws_close(ws_host, ws_token, ws_socket): return {"secret": 1}
    """
    assert app(code, "ws::receive", "h", "t", "s", "{}").stdout == ""
    assert app(code, "ws::close").stdout == ""


@pytest.mark.parametrize("hook", ["connect", "auth", "close"])
def test_async_functions_are_waited_for(app, hook):
    code = f"""
        import asyncio, sys
        async def ws_{hook}(ws_host, ws_token, ws_socket):
            await asyncio.sleep(0)
            sys.stderr.write("ran")
            return False
    """
    done = app(code, f"ws::{hook}")
    assert (done.returncode, done.stderr) == (0, "ran")
    assert done.stdout == ("" if hook == "close" else "false\n")


def test_an_async_receive_is_waited_for(app):
    code = """
        import asyncio
        async def ws_receive(ws_host, ws_token, ws_socket, **data):
            await asyncio.sleep(0)
            print(data)
    """
    assert app(code, "ws::receive", "h", "t", "s", '{"a":1}').stdout == "{'a': 1}\n"


@pytest.mark.parametrize("hook", ["connect", "auth", "receive", "close"])
def test_an_exception_is_a_traceback_on_stderr_and_exit_1(app, hook):
    code = f"def ws_{hook}(*_, **__): raise LookupError('no such user')"
    done = app(code, f"ws::{hook}", "h", "t", "s", "{}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("LookupError: no such user\n")


def test_a_printed_line_leaves_when_it_is_printed(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        HEAD
        + "import sys\n"
        + "def ws_receive(ws_host, ws_token, ws_socket, **data):\n"
        + "    print('first')\n"
        + "    sys.stdin.read()\n"
        + "    print('second')\n"
        + "run()\n"
    )
    command = [sys.executable, path, "ws::receive", "h", "t", "s", "{}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=ENV, **pipes) as process:
        # the app is still waiting for its input to end: the line was not held back
        assert process.stdout.readline() == b"first\n"
        process.stdin.close()
        assert process.stdout.read() == b"second\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
def test_arguments_and_output_are_utf_8_in_any_locale(app, locale):
    code = "def ws_receive(ws_host, ws_token, ws_socket, **data): print(ws_token, data['text'])"
    args = ("h", "zoë", "s", '{"text":"naïve ✓ 🦦"}')
    done = app(code, "ws::receive", *args, env={"LC_ALL": locale, "PYTHONUTF8": "0"})
    assert done.stdout == "zoë naïve ✓ 🦦\n"


def test_a_lone_surrogate_in_a_message_reaches_the_app(app):
    code = "def ws_receive(ws_host, ws_token, ws_socket, **data): print(ascii(data['text']))"
    assert app(code, "ws::receive", "h", "t", "s", '{"text":"\\ud800"}').stdout == "'\\ud800'\n"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((), "needs a host, a token and a socket id"),
        (("h",), "needs a host, a token and a socket id"),
        (("h", "t"), "needs a host, a token and a socket id"),
        (("h", "t", "s"), "receive needs a message: a JSON object or array"),
        (("h", "t", "s", "7"), "receive needs a message: a JSON object or array"),
        (("h", "t", "s", "{"), "receive needs a message: a JSON object or array"),
    ],
)
def test_a_wrong_command_line_is_told_with_its_usage(args, reason):
    with pytest.raises(hooks.UsageError, match=reason):
        hooks.parse("ws::receive", list(args))


@pytest.mark.parametrize("command", ["", "ws::", "ws::recieve", "auth::ws"])
def test_an_unknown_hook_exits_2_and_prints_nothing(app, command):
    done = app("def ws_auth(*_): return True", command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no hook or function of this app is called {command!r}\nusage: " in done.stderr


def test_no_arguments_at_all_is_a_usage_error():
    with pytest.raises(hooks.UsageError, match="no hook or function of this app is called ''"):
        hooks.find_call({}, "", [])


def test_a_usage_error_of_the_app_itself_is_a_failed_hook(app):
    code = "def ws_connect(ws_host, ws_token, ws_socket): ws_cast(ws_port='ftp://x')"
    done = app(code, "ws::connect")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a broker's address" in done.stderr
    assert "usage:" not in done.stderr


def test_an_imported_app_does_not_run(tmp_path):
    (tmp_path / "chat.py").write_text(
        HEAD + "def ws_auth(*_): return True\nrun()\nprint('imported')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import chat", "ws::auth", "h", "t", "s"],
        cwd=tmp_path,
        env=ENV,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "imported\n"


def test_a_hook_that_asks_for_nothing_imports_nothing_slow(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        HEAD + "import sys\nrun()\nprint(*sorted(m for m in sys.modules), file=sys.stderr)\n"
    )
    # -S: what an installation's .pth files import is not ours
    command = [sys.executable, "-S", path, "ws::connect", "h", "t", "s"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENV)
    loaded = set(done.stderr.split())
    assert done.stdout == "true\n"
    assert "phlows_cli.app.hooks" in loaded
    slow = {"typing", "dataclasses", "inspect", "asyncio", "http.client", "socket", "json", "re"}
    assert loaded & slow == set()
    ours = {name for name in loaded if name.startswith("phlows_cli.")}
    assert ours == {"phlows_cli.app", "phlows_cli.app.bridge", "phlows_cli.app.hooks", ERRORS}
