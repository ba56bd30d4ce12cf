"""An app that looks at what a process of an app can see, and tries other hosts."""

# ruff: noqa: T201 - a hook answers by printing
from __future__ import annotations

import json
import os
from pathlib import Path

from phlows_cli.app import run
from phlows_cli.app.exchange import exchange


def ws_auth(ws_host, ws_token, ws_socket):
    return True


def ws_receive(ws_host, ws_token, ws_socket, **message):
    if "ask" in message:
        print(json.dumps(asked(message["ask"], message.get("body"), message.get("key"))))
    else:
        print(json.dumps(seen()))


def seen():
    """Our own process, and every command line of the machine."""
    own = Path("/proc/self")
    return {
        "pid": os.getpid(),
        "environ": dict(os.environ),
        "at_start": (own / "environ").read_bytes().decode().split("\0"),
        "descriptors": [str((own / "fd" / n).readlink()) for n in descriptors()],
        "own": words(own),
        "all": [words(process) for process in Path("/proc").glob("[0-9]*")],
    }


def descriptors():
    """Those that are open, but for the listing's own."""
    found = sorted(os.listdir("/proc/self/fd"), key=int)  # noqa: PTH208 - names are wanted
    return [name for name in found if Path("/proc/self/fd", name).is_symlink()]


def words(process):
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


def asked(request, body, key):
    sent = os.environ.get("PHLOWS_KEY", "") if key is None else key
    data = json.dumps(body).encode() if body is not None else b""
    status, answer = exchange(os.environ["PHLOWS_URL"], request, data, sent)
    return {"status": status, "answer": json.loads(answer)}


run()
