from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from phlows_cli.cli.commands.new import FILES
from phlows_cli.cli.main import COMMANDS
from phlows_cli.config import load_config
from tests.cli.conftest import ROOT
from tests.conformance.client import RefusedError, WebSocket
from tests.ports import free_port

LANGUAGES = ["python", pytest.param("php", marks=pytest.mark.php)]
TESTS = {"python": [sys.executable, "test_app.py"], "php": ["php", "test.php"]}


@pytest.fixture
def made(phlows, tmp_path):
    """Makes an app in a folder; its processes find the phlows of this checkout."""

    def make(language):
        folder = tmp_path / "my app"
        assert phlows("new", str(folder), "--lang", language).exit_code == 0
        config = folder / "phlows.toml"
        config.write_text(f'{config.read_text()}\nenv = {{ PYTHONPATH = "{ROOT}" }}\n')
        return folder

    return make


@pytest.fixture
def command_path(tmp_path, environ):
    """An environment in which `phlows` is a command."""
    command = tmp_path / "bin" / "phlows"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phlows_cli "$@"\n')
    command.chmod(0o755)
    return {**environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@contextmanager
def serving(folder, environ):
    """`phlows serve` in a folder, on a port of its own."""
    port = free_port()
    command = [sys.executable, "-m", "phlows_cli", "serve", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert any("listening" in line for line in process.stderr), "the broker ended before"
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 0


def until(socket, found):
    """The first message in which something is found."""
    while True:
        if (value := found(socket.receive_json())) is not None:
            return value


@pytest.mark.parametrize("language", FILES)
def test_the_files_are_written_and_named(phlows, tmp_path, language):
    told = phlows("new", "chat", "--lang", language)
    assert (told.exit_code, told.stderr) == (0, "")
    assert files_in(tmp_path / "chat") == sorted(FILES[language])
    assert all(name in told.stdout for name in FILES[language])
    assert "cd chat" in told.stdout


def test_json_says_where_and_what(phlows, tmp_path):
    told = json.loads(phlows("new", "chat", "--json").stdout)
    assert told == {
        "folder": str(tmp_path / "chat"),
        "language": "python",
        "files": sorted(FILES["python"]),
    }


def test_an_empty_folder_will_do_and_so_will_this_one(phlows, tmp_path):
    told = phlows("new", ".")
    assert told.exit_code == 0
    assert "cd " not in told.stdout
    assert "app.py" in files_in(tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(phlows, tmp_path):
    (tmp_path / "app.py").write_text("mine")
    told = phlows("new", str(tmp_path))
    assert told.exit_code == 2
    assert told.stderr == f"error: {tmp_path} is not empty: name a folder that is new or empty\n"
    assert (files_in(tmp_path), (tmp_path / "app.py").read_text()) == (["app.py"], "mine")


def test_a_file_is_no_folder(phlows, tmp_path):
    (tmp_path / "chat").write_text("mine")
    told = phlows("new", "chat")
    assert (told.exit_code, (tmp_path / "chat").read_text()) == (2, "mine")
    assert "chat is a file" in told.stderr


def test_a_folder_that_cannot_be_made_is_an_error_and_not_a_traceback(phlows, tmp_path):
    (tmp_path / "file").write_text("")
    told = phlows("new", "file/chat")
    assert told.exit_code == 1
    assert told.stderr.startswith("error: file/chat")


def test_the_php_app_comes_with_the_file_that_it_needs(phlows, tmp_path):
    phlows("new", "chat", "--lang", "php")
    assert (tmp_path / "chat/phlows.php").read_text() == phlows("sdk", "php").stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_own_test_passes(made, command_path, language):
    done = run_test(made(language), language, command_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) >= 4
    assert all(line.startswith("ok  ") for line in lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_own_test_fails_when_the_app_lets_everyone_in(made, command_path, language):
    folder = made(language)
    app = next(folder.glob("app.*"))
    before = app.read_text()
    app.write_text(
        before.replace("return 0 < ", "return True or 0 < ").replace(
            "return trim", "return true || trim"
        )
    )
    assert app.read_text() != before
    assert run_test(folder, language, command_path).returncode == 1


def run_test(folder, language, environ):
    return subprocess.run(
        TESTS[language],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_runs_at_once_and_two_visitors_talk(made, environ, language):
    with serving(made(language), environ) as port:
        ann, bob = (WebSocket.open(("127.0.0.1", port), "localhost") for _ in "ab")
        for number, (visitor, name) in enumerate(((ann, "Ann"), (bob, "Bob")), 1):
            visitor.authenticate(name)
            visitor.send({"type": "join"})
            until(visitor, lambda m, n=str(number): m.get("inner", {}).get("#count") == n or None)
        bob.send({"type": "say", "text": "<i>hi</i>"})
        said = until(ann, lambda m: m.get("append", {}).get("#messages"))
        assert said == "<li><b>Bob</b> &lt;i&gt;hi&lt;/i&gt;</li>"
        assert until(bob, lambda m: m.get("value")) == {"#text": ""}
        bob.close()
        until(ann, lambda m: m.get("inner", {}).get("#count") == "1" or None)
        ann.drop()


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_of_its_web_server_may_connect_and_others_may_not(made, environ, language):
    with serving(made(language), environ) as port:
        for origin in ("http://localhost:8000", "http://127.0.0.1:8000"):
            headers = [("Origin", origin)]
            WebSocket.open(("127.0.0.1", port), "localhost", headers=headers).drop()
        with pytest.raises(RefusedError) as refused:
            WebSocket.open(
                ("127.0.0.1", port), "localhost", headers=[("Origin", "http://evil.example")]
            )
    assert refused.value.status == 403


@pytest.mark.parametrize("language", FILES)
def test_the_page_names_the_port_and_the_elements_that_the_rest_names(made, language):
    folder = made(language)
    config = load_config(folder / "phlows.toml")
    page = (folder / "public/index.html").read_text()
    ports = re.findall(r"//localhost:(\d+)/", page)
    assert len(ports) == 2
    assert {int(port) for port in ports} == {config.server.port}
    named = set(re.findall(r"""["']#(\w+)["']""", next(folder.glob("app.*")).read_text()))
    assert len(named) == 3
    assert named <= set(re.findall(r'\bid="(\w+)"', page))


@pytest.mark.parametrize("language", FILES)
def test_the_readme_names_files_and_commands_that_there_are(made, language):
    folder = made(language)
    text = (folder / "README.md").read_text()
    files = set(re.findall(r"`([\w/]+\.(?:py|php|html|toml))`", text))
    assert len(files) >= 3
    assert {name for name in files if not (folder / name).is_file()} == set()
    commands = set(re.findall(r"^phlows (\w+)", text, re.MULTILINE))
    assert commands <= {row.name for section in COMMANDS for row in section.rows}
    assert {"serve", "cast", "hook"} <= commands
