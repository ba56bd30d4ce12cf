"""What the tests of Phlo apps share: the stand-in's apps, and a bridge for them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from phlows_cli.runtime.runtime import runtime_for
from tests.runtime.apps import APPS, PHP, Printed, hook, host, settings

ENGINE = APPS / "phlo" / "www"
APP = ENGINE / "app.php"
SOCKET = "0123456789abcdef"
OK = b'{"status":"ok","result":7}'
YES, NO = ["return", True], ["return", False]


@asynccontextmanager
async def app_at(app=APP, env=None, php=PHP, **more):
    """The engine as the broker of an existing Phlo app calls it, and its stderr."""
    log = []
    registered = host(app, hook_class="websocket", auth="upgrade", env=env or {}, **more)
    runtime = runtime_for(registered, settings(php=php), lambda _, line: log.append(line))
    try:
        yield runtime, log
    finally:
        await runtime.stop()


@asynccontextmanager
async def bridge(answer=OK):
    """Stands where the broker's bridge does; keeps (path, body) of each request."""
    taken = []

    async def take(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        assert (method, headers["Content-Type"]) == ("POST", "application/json")
        taken.append((path, await reader.readexactly(int(headers["Content-Length"]))))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield taken, {"ENGINE_PORT": str(server.sockets[0].getsockname()[1])}


def told(*steps, name="receive"):
    """An event that makes the app do these steps."""
    return hook(name, token=json.dumps(steps), data=json.dumps({"do": steps}))


async def outcome(event, **more):
    """What became of one event, what was printed and what was logged."""
    printed = Printed()
    async with app_at(**more) as (runtime, log):
        result = await runtime.call(event, printed)
    return result, printed.lines, log
