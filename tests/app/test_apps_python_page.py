"""The examples of docs/apps-python.md do what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from phlows_cli.app.streaming import FAILED, HEADERS
from phlows_cli.app.worker import LEAVE_TIMEOUT
from tests.app.working import ENV

PAGE = (Path(__file__).parents[2] / "docs" / "apps-python.md").read_text("utf-8")
CHAT, STREAM, TEST = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("token", "answer"), [("Ann", "true\n"), ("Mallory", "false\n")])
def test_the_chat_answers_one_shot(tmp_path, token, answer):
    (tmp_path / "chat.py").write_text(CHAT)
    command = [sys.executable, tmp_path / "chat.py", "ws::auth", "example.com", token, "s1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENV)
    assert done.stdout == answer


def test_the_chat_answers_as_a_worker(worker):
    app = worker(CHAT.replace("run()\n", ""), env={"PHLOWS_URL": "unix:/nowhere.sock"})
    lines, last = app.hook("receive", '{"text":"hi"}')
    assert lines == ['{"value": {"#text": ""}}']
    assert last == {"t": "done", "result": None}


def test_the_stream_is_a_wsgi_app():
    names = {}
    exec(compile(STREAM, "page", "exec"), names)
    heads = []
    lines = list(names["application"]({}, lambda *head: heads.append(head)))
    assert lines[0] == b'{"inner": {"#progress": "1/3"}}\n'
    assert lines[-1] == b'{"toast": "Done"}\n'
    assert heads == [("200 OK", list(HEADERS.items()))]


def test_the_test_of_the_page_passes(tmp_path):
    (tmp_path / "chat.py").write_text(CHAT)
    (tmp_path / "test_chat.py").write_text(TEST + "\n\ntest_strangers_are_refused()\n")
    subprocess.run([sys.executable, "test_chat.py"], cwd=tmp_path, check=True, env=ENV)


def test_what_the_page_quotes_is_what_the_code_says():
    assert f'`{{"error": "{FAILED["error"]}"}}`' in PAGE
    assert f"get {LEAVE_TIMEOUT:.0f} seconds" in PAGE
    assert all(f"`{name}: {value}`" in PAGE for name, value in HEADERS.items())
