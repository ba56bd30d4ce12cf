from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from phlows_cli.cli.main import cli
from tests.cli.recorder import recording

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _a_folder_of_its_own(tmp_path, monkeypatch):
    """No test sees the configuration, the key or the variables of who runs it."""
    for name in [name for name in os.environ if name.startswith(("PHLOWS_", "_PHLOWS", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _a_recursion_limit_of_its_own():
    """`phlows replay` raises it for its process, which is ours here."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


@pytest.fixture
def runner():
    """click's runner, with stdout and stderr apart (before 8.2 it has to be asked)."""
    can_mix = "mix_stderr" in inspect.signature(CliRunner).parameters
    return CliRunner(mix_stderr=False) if can_mix else CliRunner()


@pytest.fixture
def phlows(runner):
    """Runs a command line in this process."""

    def run(*args, **settings):
        return runner.invoke(cli, list(args), catch_exceptions=False, **settings)

    return run


@pytest.fixture
def environ():
    """The environment in which `python -m phlows_cli` is this checkout's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def program(environ):
    """Runs a command line as a process of its own."""

    def run(*args, **settings):
        command = [sys.executable, "-m", "phlows_cli", *args]
        settings.setdefault("env", environ)
        settings.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, **settings
        )

    return run


@pytest.fixture
def recorder():
    """A real HTTP server in the broker's place."""
    with recording() as running:
        yield running


@pytest.fixture
def config(tmp_path):
    """Writes phlows.toml with hosts of these names, and more text."""

    def write(*hosts, text="", port=3001):
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        lines = ["[server]", f"port = {port}", f'state_dir = "{state}"', text]
        lines += [f'[hosts."{name}"]\nhooks = []' for name in hosts]
        path = tmp_path / "phlows.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def app(tmp_path):
    """Writes a Python app of this body; `hook`, `host`, `token`, ... are its arguments."""

    def write(body, name="app.py"):
        head = (
            "import sys\n"
            "command, host, token, socket, *rest = sys.argv[1:]\n"
            "hook = command.partition('::')[2]\n"
            "message = rest[0] if rest else None\n"
        )
        path = tmp_path / name
        path.write_text(head + body + "\n")
        return path

    return write


@pytest.fixture
def report(phlows):
    """Runs `phlows hook ... --json`; its answer, and its exit code as `code`."""

    def run(*args, **settings):
        result = phlows("hook", *args, "--json", **settings)
        assert result.stdout.count("\n") == 1, result.stderr
        return {**json.loads(result.stdout), "code": result.exit_code}

    return run
