"""The `websockets` library's own asyncio server on uvloop, casting with its broadcast().

python websockets_server.py <port> <publishing port> <ping seconds> [--echo]
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from publisher import Publisher
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

PORT, PUBLISHING_PORT, PING = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ECHOES = "--echo" in sys.argv
PROBE_HOST = "probe.test"

listeners: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    is_listener = connection.request.headers["Host"] != PROBE_HOST
    if is_listener:
        listeners.add(connection)
    try:
        async for message in connection:
            if ECHOES:
                await connection.send(message)
    except ConnectionClosedError:
        pass  # a client that was gone without a word
    finally:
        listeners.discard(connection)


def publish(text: str) -> int:
    broadcast(listeners, text)
    return len(listeners)


async def main() -> None:
    loop = asyncio.get_running_loop()
    options = {"compression": None, "ping_interval": PING, "backlog": 1024, "max_size": 65536}
    async with serve(handle, "127.0.0.1", PORT, **options):
        bridge = await loop.create_server(lambda: Publisher(publish), "127.0.0.1", PUBLISHING_PORT)
        await bridge.serve_forever()


uvloop.run(main())
