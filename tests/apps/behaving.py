"""An app that does as it is told: the steps come as JSON in the token, or the message.

[["print", "text"], ["exit", 3], ...]; text is printed and flushed at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def act(steps):
    for name, value in steps:
        globals()[f"step_{name}"](value)


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def step_print(text):
    say(text)


def step_write(text):
    os.write(1, text.encode("latin-1"))


def step_echo(_):
    say(json.dumps(sys.argv[1:]))


def step_fill(size):
    os.write(2, b"filling\n")
    for _ in range(size // 1024):
        sys.stdout.write("x" * 1023 + "\n")


def step_wait(path):
    with Path(path).open("rb", buffering=0) as gate:
        gate.read(1)


def step_exit(code):
    sys.exit(code)


def step_kill(number):
    os.kill(os.getpid(), number)


def step_deaf(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def step_spawn(count):
    """Start children that outlive this process unless they are killed."""
    for _ in range(count):
        child = subprocess.Popen(["sleep", "300"])
        say(json.dumps(child.pid))


def step_hang(_):
    while True:
        signal.pause()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    act(json.loads(arguments[4] if len(arguments) > 4 else arguments[2]))
