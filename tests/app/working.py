"""A worker as the broker runs it: a real process, real pipes, frames read as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import phlows_cli

WHERE_PHLOWS_IS = str(Path(phlows_cli.__file__).parents[1])
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": WHERE_PHLOWS_IS, "PYTHONDONTWRITEBYTECODE": "1"}
HEAD = "from phlows_cli.app import apply, run, stream, ws_cast\n"


class Worker:
    """One worker process of an app that is written into a folder."""

    def __init__(self, folder, code, env=None):
        path = folder / "app.py"
        path.write_text(HEAD + dedent(code) + "\nrun()\n", encoding="utf-8")
        self._stderr_path = folder / "stderr.txt"
        self._jobs = 0
        with self._stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, path, "phlo_serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**ENV, **(env or {})},
                cwd=folder,
            )
        # every wait has an end: without frames a test fails
        self._clock = threading.Timer(60, self.process.kill)
        self._clock.start()

    @property
    def stderr(self):
        return self._stderr_path.read_text("utf-8", "replace")

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def frame(self):
        """The next frame; None at the end of the worker."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def give(self, target, *args, stream=True):
        """Write a job; return its id."""
        self._jobs += 1
        job = {"id": f"j{self._jobs}", "target": target, "args": args, "stream": stream}
        self.write(json.dumps(job).encode() + b"\n")
        return job["id"]

    def answer(self, job_id):
        """The frames of a job: its lines, and its last frame without the id."""
        lines = []
        while True:
            frame = self.frame()
            assert frame is not None, self.stderr
            assert frame.pop("id") == job_id
            if frame["t"] != "line":
                return lines, frame
            lines.append(frame["data"])

    def call(self, target, *args, stream=True):
        return self.answer(self.give(target, *args, stream=stream))

    def hook(self, name, message="{}", host="h"):
        args = [host, "t", "s", message] if name == "receive" else [host, "t", "s"]
        return self.call(f"ws::{name}", *args)

    def end(self):
        """Close stdin; return the exit code."""
        self.process.stdin.close()
        rest = self.process.stdout.read()
        assert rest == b""
        return self.process.wait(30)

    def close(self):
        self._clock.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue
