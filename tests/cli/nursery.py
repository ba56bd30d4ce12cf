"""Command lines run in forks of one process, which has imported everything once.

A process each would be the same test at thirty times the price. It reads a case
a line, as JSON, and answers each with a line: exit code, stdout and stderr.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 20
"""Seconds after which a command is said to hang."""


class Nursery:
    """Runs `phlows` command lines; each is a process with descriptors of its own."""

    def __init__(self, environ):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *argv, cwd, stdout="file", patience=None, **variables):
        """Run one; `patience` are the seconds that it gives a silent broker, where not its own."""
        case = {"argv": argv, "cwd": str(cwd), "stdout": stdout, "env": variables}
        case["patience"] = patience
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=PATIENCE)


def preload():
    """Import what commands import."""
    import requests  # noqa: F401 - for its price

    import phlows_cli.cli.rehearsal
    import phlows_cli.service  # noqa: F401
    from phlows_cli.cli import main

    return main.cli


def wait_no_longer_than(seconds):
    from phlows_cli.cli import client
    from phlows_cli.cli.commands import workers
    from phlows_cli.cli.load import line

    client.READ_TIMEOUT = line.TIMEOUT = workers.RELOAD_TIMEOUT = seconds


def run(cli, case):
    """One case: the child never returns."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = as_child(cli, case, out, err)
            except BaseException:  # noqa: BLE001 - as an interpreter ends
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        signal.alarm(PATIENCE)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except TimeoutError:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = "hangs"
        signal.alarm(0)
        texts = [
            stream.seek(0) or stream.read().decode("utf-8", "replace") for stream in (out, err)
        ]
    return {"code": code, "out": texts[0], "err": texts[1]}


def as_child(cli, case, out, err):
    os.setpgid(0, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.chdir(case["cwd"])
    os.environ.update(case["env"])
    if case["patience"]:
        wait_no_longer_than(case["patience"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(err.fileno(), 2)
    if case["stdout"] == "file":
        os.dup2(out.fileno(), 1)
    elif case["stdout"] == "full":
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
    else:
        os.close(1)
        sys.stdout = None
    try:
        cli.main(case["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    if sys.stdout is not None:
        sys.stdout.flush()
    sys.stderr.flush()
    return code


def too_late(*_):
    raise TimeoutError


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # not this folder, whose modules have names of others
    signal.signal(signal.SIGALRM, too_late)
    program = preload()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(program, json.loads(line))) + "\n")
        sys.stdout.flush()
