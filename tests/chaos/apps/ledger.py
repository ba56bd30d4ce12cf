"""ledger.sh as a bare resident worker: it writes down and answers the same."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from json import dumps, loads

STAGE = os.environ["STAGE"]
CALLS = os.open(f"{STAGE}/calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
BELL = os.open(f"{STAGE}/bell", os.O_RDWR | os.O_NONBLOCK)


def main():
    say({"t": "ready"})
    for line in sys.stdin:
        job = loads(line)
        hook = job["target"].partition("::")[2]
        _, _, socket, *messages = job["args"]
        os.write(CALLS, f"+ {hook} {socket} {os.getpid()}\n".encode())
        for message in messages:
            say({"id": job["id"], "t": "line", "data": message})
        os.write(CALLS, f"- {hook} {socket} {os.getpid()}\n".encode())
        with suppress(BlockingIOError):  # nobody has listened for long
            os.write(BELL, b".")
        say({"id": job["id"], "t": "done", "result": True})


def say(value):
    os.write(1, dumps(value).encode() + b"\n")


if __name__ == "__main__":
    main()
