"""An app that does as it is told: the steps come as JSON in the token, or the message.

[["print", "text"], ["exit", 3], ...]; text is printed and flushed at once. As
`phlo_serve` it is a bare resident worker: what a hook prints becomes frames,
and a last line that is JSON is the hook's result. The steps of a task are its
first parameter; those in the environment variable BOOT are done before `ready`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from threading import Thread


class Out:
    """Where lines go: plain, or framed as those of a job."""

    job = ""
    last = ""


def act(steps):
    for name, value in steps:
        globals()[f"step_{name}"](value)


def say(line):
    Out.last = line or Out.last
    if Out.job:
        line = framed("line", data=line)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def framed(kind, **fields):
    return json.dumps({"id": Out.job, "t": kind, **fields}, separators=(",", ":"))


def step_print(text):
    say(text)


def step_skip(_):
    """Do nothing."""


def step_size(text):
    say(str(len(text)))


def step_long(size):
    say("x" * size)


def step_text(size):
    """A line that is JSON and very long."""
    say(json.dumps("x" * size))


def step_write(text):
    os.write(1, text.encode("latin-1"))


def step_echo(_):
    say(json.dumps(sys.argv[1:]))


def step_fill(size):
    os.write(2, b"filling\n")
    for _ in range(size // 1024):
        say("x" * 1023)


def step_wait(path):
    with Path(path).open("rb", buffering=0) as gate:
        gate.read(1)


def step_exit(code):
    sys.exit(code)


def step_need(path):
    """Go on only if there is such a file."""
    if not Path(path).exists():
        sys.exit(4)


def step_exit_later(path):
    """End the process, whatever it does, when a gate lets it pass."""

    def leave():
        step_wait(path)
        os._exit(0)

    Thread(target=leave, daemon=True).start()


def step_kill(number):
    os.kill(os.getpid(), number)


def step_deaf(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def step_spawn(count):
    """Start children that outlive this process unless they are killed."""
    import subprocess  # its import costs every start a third

    for _ in range(count):
        child = subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL)
        say(json.dumps(child.pid))


def step_pid(_):
    say(json.dumps(os.getpid()))


def step_hang(_):
    while True:
        signal.pause()


def run(arguments):
    if arguments[0].startswith("ws::"):
        act(json.loads(arguments[4] if len(arguments) > 4 else arguments[2]))
    else:
        act(json.loads(arguments[1]))


def result():
    """The last line, if it is JSON: what a hook of a worker answers."""
    try:
        return json.loads(Out.last)
    except ValueError:
        return None


def serve():
    boot = os.environ.get("BOOT")
    if boot:
        act(json.loads(boot))
    say('{"t":"ready"}')
    for line in sys.stdin:
        job = json.loads(line)
        Out.job, Out.last = job["id"], ""
        sys.argv[1:] = [job["target"], *job["args"]]
        run(sys.argv[1:])
        end = framed("done", result=result())
        Out.job = ""
        say(end)


if __name__ == "__main__":
    if sys.argv[1:] == ["phlo_serve"]:
        serve()
    else:
        run(sys.argv[1:])
