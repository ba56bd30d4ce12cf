"""A PHP app on phlows.php: started for one event, or spoken to over its pipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
SDK = ROOT / "phlows_cli" / "assets" / "phlows.php"
APP = ROOT / "tests" / "apps" / "sdk.php"
DEADLINE = 30.0
"""Seconds after which a process that should have ended is killed: then its test fails."""

CONTEXT = ("app.example.com", "topsecret", "0123456789abcdef")


def php():
    return shutil.which("php-zts") or shutil.which("php")


def environment(**extra):
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PHLOWS_URL": "unix:/nowhere/at/all.sock", **extra}


def run(app, *arguments, **env):
    """Start the app once and wait for its end."""
    return subprocess.run(
        [php(), app, *arguments],
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


def receive(app, message, **env):
    return run(app, "ws::receive", *CONTEXT, json.dumps(message), **env)


@contextmanager
def website(page, **env):
    """PHP's own web server with one page; yields its address."""
    port = free_port()
    server = subprocess.Popen(
        [php(), "-d", "output_buffering=4096", "-S", f"127.0.0.1:{port}", page],
        env=environment(**env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(DEADLINE, server.kill)
    watchdog.start()
    try:
        while "started" not in (line := server.stderr.readline()):
            assert line, "the web server did not start"
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.kill()
        watchdog.cancel()
        server.communicate()


class Worker:
    """A resident app: `ask` gives it an event and returns its frames."""

    def __init__(self, app=APP, is_ready=True, **env):
        self.process = subprocess.Popen(
            [php(), app, "phlo_serve"],
            env=environment(**env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._stderr = []
        self._reader = threading.Thread(target=self._read_stderr)
        self._reader.start()
        self._watchdog = threading.Timer(DEADLINE, self.process.kill)
        self._watchdog.start()
        self._asked = 0
        if is_ready:
            assert self.line() == b'{"t":"ready","env":true}'

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self._end()

    def _read_stderr(self):
        for line in self.process.stderr:
            self._stderr.append(line.decode())

    def _end(self):
        self.process.wait()
        self._watchdog.cancel()
        self._watchdog.join()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()

    def line(self):
        """The next line of stdout, byte for byte without its newline; b"" at the end."""
        return self.process.stdout.readline().removesuffix(b"\n")

    def frame(self):
        line = self.line()
        return json.loads(line) if line else None

    def write(self, line):
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, target, *args, stream=True):
        """Write an event's line; returns its id."""
        self._asked += 1
        id_ = f"a{self._asked}"
        job = {"id": id_, "target": target, "args": args, "stream": stream}
        self.write(json.dumps(job).encode())
        return id_

    def ask(self, target, *args, stream=True):
        """What the event prints, and its last frame without the id."""
        id_, lines = self.send(target, *args, stream=stream), []
        while (frame := self.frame())["t"] == "line":
            assert list(frame) == ["id", "t", "data"]
            assert frame["id"] == id_
            lines.append(frame["data"])
        assert list(frame)[:2] == ["id", "t"]
        assert frame.pop("id") == id_
        return lines, frame

    def receive(self, do="data", stream=True, **more):
        """Ask for one thing that tests/apps/sdk.php does."""
        return self.ask("ws::receive", *CONTEXT, json.dumps({"do": do, **more}), stream=stream)

    def look(self, do="look"):
        """What the app sees around it."""
        (line,), _ = self.receive(do)
        return json.loads(line)

    def end(self):
        """Close its stdin; returns the exit code once nothing more is printed."""
        self.process.stdin.close()
        assert self.process.stdout.read() == b""
        self._end()
        return self.process.returncode

    @property
    def stderr(self):
        """All of stderr; only after the end."""
        return "".join(self._stderr)
