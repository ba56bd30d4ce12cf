"""An app that records each call and then acts as the test wrote down.

A plan holds the steps of each hook; a message {"do": [...]} brings its own.
What is slow to import is imported where it is needed: this starts often.
"""

# ruff: noqa: PTH109, PTH123, PTH208 - pathlib takes longer to import than all else here
from __future__ import annotations

import json
import os
import sys

STAGE = os.environ["STAGE"]
COMMAND, HOST, TOKEN, SOCKET, *MESSAGE = sys.argv[1:]
HOOK = COMMAND.partition("::")[2]
USUAL = {"connect": [["print", "true"]], "auth": [["print", "true"]]}


def record(event, **more):
    """Append one line; then ring, so that the test looks."""
    line = json.dumps({"event": event, "hook": HOOK, "socket": SOCKET, **more}) + "\n"
    write_to(f"{STAGE}/calls", line.encode(), os.O_APPEND | os.O_CREAT)
    write_to(f"{STAGE}/bell", b".", 0)


def write_to(path, data, flags):
    descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)


def steps():
    message = json.loads(MESSAGE[0]) if MESSAGE else None
    if isinstance(message, dict) and "do" in message:
        return message["do"]
    return read_plan().get(HOOK, USUAL.get(HOOK, []))


def read_plan():
    try:
        with open(f"{STAGE}/plan.json") as plan:
            return json.load(plan)
    except FileNotFoundError:
        return {}


def filled(text):
    return text.replace("$socket", SOCKET).replace("$host", HOST).replace("$token", TOKEN)


def ask(what, body=b"", *headers):
    """One request to the bridge; its answer's body."""
    import socket

    host, _, port = os.environ["PHLOWS_URL"].removeprefix("http://").rpartition(":")
    lines = [f"{what} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    with socket.create_connection((host.strip("[]"), int(port)), 20) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def step_print(text):
    os.write(1, filled(text).encode() + b"\n")


def step_write(text):
    os.write(1, text.encode("latin-1"))


def step_fill(size):
    os.write(1, b"x" * 1023 + b"\n")
    for _ in range(size // 1024):
        os.write(1, b"x" * 1023 + b"\n")


def step_complain(text):
    os.write(2, text.encode() + b"\n")


def step_gate(port):
    """Wait until the test lets us on, or has gone."""
    import socket

    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.settimeout(60)
        sock.sendall(f"{HOOK} {SOCKET}\n".encode())
        sock.recv(1)


def step_cast(body):
    body = filled(json.dumps({"host": HOST, **body}))
    record("answer", value=ask("POST /message", body.encode()))


def step_health():
    record("answer", value=ask("GET /health")["hosts"][HOST])


def step_presence():
    with open(os.environ["KEY_FILE"]) as file:
        key = file.read().strip()
    asked = ask(f"GET /presence?host={HOST}", b"", f"Authorization: Bearer {key}")
    record("answer", value=asked["sockets"])


def step_descriptors():
    """Those that are open, but for the listing's own."""
    record("answer", value=sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1])


def step_exit(code):
    os._exit(code)


def step_kill(number):
    os.kill(os.getpid(), number)


record("start", argv=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd(), pid=os.getpid())
for name, *arguments in steps():
    globals()[f"step_{name}"](*arguments)
record("end")
