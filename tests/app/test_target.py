"""What of an app may be called by name, and what it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.app.test_worker import DONE
from tests.app.working import ENV, HEAD

APP = """
    import os
    from os import system, environ
    from json import dumps
    from types import SimpleNamespace

    def echo(*args): return args
    async def later(value): return {"value": value}
    def nothing(): print('{"printed":1}')
    def fail(): raise LookupError("no")
    def _hidden(): return 1
    number = 7

    class tasks:
        @staticmethod
        def run(n=1): return n * 2
        @classmethod
        def name(cls): return cls.__name__
        @staticmethod
        def _secret(): return 1
        inner = SimpleNamespace(deep=echo)

    class Counter:
        def add(self, n): return n + 1
    counter = Counter()
"""
CALLS = [
    ("echo", [1, "a", None, {"b": [2.5]}], [1, "a", None, {"b": [2.5]}]),
    ("later", [{"x": 1}], {"value": {"x": 1}}),
    ("tasks::run", [], 2),
    ("tasks::run", [4], 8),
    ("tasks.run", [4], 8),
    ("tasks::name", [], "tasks"),
    ("counter::add", [1], 2),
]
REFUSED = [
    "os::system", "os.system", "system", "environ::get", "environ::copy", "dumps", "run", "apply",
    "ws_cast", "_hidden", "tasks::_secret", "tasks::__init__", "echo::__call__", "__builtins__",
    "__builtins__::eval", "eval", "number", "tasks", "tasks::inner::deep", "tasks::missing",
    "missing", "", "::", "::echo", "echo::", "SimpleNamespace",
]  # fmt: skip


@pytest.fixture
def once(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(HEAD + dedent(APP) + "run()\n")

    def call(*arguments):
        command = [sys.executable, path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=ENV, check=False)

    return call


def test_functions_and_methods_of_the_app_are_called_with_json_values(worker):
    app = worker(APP)
    for target, args, result in CALLS:
        assert app.call(target, *args) == ([], {"t": "done", "result": result})
    assert app.call("nothing") == (['{"printed":1}'], DONE)


@pytest.mark.parametrize(("target", "args", "result"), CALLS)
def test_one_shot_prints_the_result_as_the_last_line(once, target, args, result):
    texts = [arg if isinstance(arg, str) else json.dumps(arg) for arg in args]
    done = once(target, *texts)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == result


def test_one_shot_prints_null_for_no_result_after_what_was_printed(once):
    assert once("nothing").stdout == '{"printed":1}\nnull\n'


def test_one_shot_fails_as_a_hook_does(once):
    done = once("fail")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("LookupError: no\n")


def test_a_text_stays_the_text_that_it_is(once):
    assert json.loads(once("echo", "a b", '"quoted"', "{").stdout) == ["a b", '"quoted"', "{"]


def test_what_is_not_the_apps_own_cannot_be_called(worker):
    app = worker(APP)
    for target in REFUSED:
        lines, last = app.call(target)
        message = f"no hook or function of this app is called {target!r}"
        assert (lines, last) == ([], {"t": "error", "message": message})
    assert app.call("echo", 1)[1]["result"] == [1]


@pytest.mark.parametrize("target", ["os::system", "_hidden", "environ::get"])
def test_one_shot_refuses_alike(once, target):
    done = once(target, "PATH")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no hook or function of this app is called {target!r}" in done.stderr


def test_a_name_that_ends_as_a_hook_is_always_the_hook(once):
    assert once("tasks::connect", "h", "t", "s").stdout == "true\n"
