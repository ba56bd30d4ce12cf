"""witness.sh as a bare resident worker: what it writes down and answers is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
REFUSED = {"connect": "nobody", "auth": "stranger"}


def note(*facts):
    os.write(LEDGER, (" ".join(fact or "-" for fact in facts) + "\n").encode())


def answer_to(job):
    """Do one hook; its result, and the line that it prints, if any."""
    hook = job["target"].partition("::")[2]
    host, token, socket, *messages = job["args"]
    env = job.get("env", {})
    message = json.loads(messages[0]) if messages else {}
    facts = [
        hook, host, socket, token, str(message.get("n", "-")),
        env.get("PHLOWS_CLOSE_REASON"), env.get("PHLOWS_CLOSE_ATTEMPT"), str(os.getpid()),
    ]  # fmt: skip
    note("+", *facts, "-")
    if "slow" in message:
        subprocess.run(["sleep", "60"], check=False)
    result = REFUSED.get(hook) != token
    note("-", *facts, "" if messages else str(result).lower())
    return result, *messages


def main():
    say({"t": "ready", "env": True})
    for line in sys.stdin:
        job = json.loads(line)
        result, *lines = answer_to(job)
        for text in lines:
            say({"id": job["id"], "t": "line", "data": text})
        say({"id": job["id"], "t": "done", "result": result})


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
