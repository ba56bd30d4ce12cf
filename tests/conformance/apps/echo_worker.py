"""A resident worker that answers each message with itself, byte for byte."""

import json
import sys


def say(frame):
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


say({"t": "ready"})
for line in sys.stdin:
    job = json.loads(line)
    if job["target"].endswith("::receive"):
        say({"id": job["id"], "t": "line", "data": job["args"][3]})
    say({"id": job["id"], "t": "done", "result": None})
