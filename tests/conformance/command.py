"""Commands of phlows, run as a person or a deployment does."""

from __future__ import annotations

import subprocess
import sys

from tests.conformance.program import environment

PATIENCE = 30
"""Seconds a command may take."""


def phlows(program, *arguments):
    """Run `phlows ...` beside a broker and with its configuration: (exit code, stdout, stderr)."""
    config = str(program.folder / "phlows.toml")
    return run(*arguments, "--config", config, environ=program.environ)


def run(*arguments, environ):
    done = subprocess.run(
        [sys.executable, "-m", "phlows_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environ,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def check(tmp_path, config):
    """`phlows config check` of a text: (exit code, what it said)."""
    return _with(tmp_path, config, "config", "check")


def serve(tmp_path, config):
    """Start a broker that is expected to end at once: (exit code, what it said)."""
    return _with(tmp_path, config, "serve")


def _with(tmp_path, config, *command):
    file = tmp_path / "phlows.toml"
    file.write_text(config)
    code, said, errors = run(*command, "--config", str(file), environ=environment(tmp_path))
    return code, said + errors
