"""picows (Cython) on uvloop: about the ceiling of a send for each socket in Python.

python picows_server.py <port> <publishing port> <ping seconds> [--echo]
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server
from publisher import Publisher

PORT, PUBLISHING_PORT, PING = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ECHOES = "--echo" in sys.argv
PROBE_HOST = b"probe.test"

listeners: set[WSTransport] = set()


class Socket(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        if transport.request.headers["Host"] != PROBE_HOST.decode():
            listeners.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT and ECHOES:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        listeners.discard(transport)


def publish(text: str) -> int:
    payload = text.encode()
    for transport in listeners:
        transport.send(WSMsgType.TEXT, payload)
    return len(listeners)


def accept(_: WSUpgradeRequest) -> WSListener:
    return Socket()


async def main() -> None:
    loop = asyncio.get_running_loop()
    options = {"enable_auto_ping": True, "auto_ping_idle_timeout": PING, "backlog": 1024}
    server = await ws_create_server(accept, "127.0.0.1", PORT, **options)
    bridge = await loop.create_server(lambda: Publisher(publish), "127.0.0.1", PUBLISHING_PORT)
    async with server, bridge:
        await bridge.serve_forever()


uvloop.run(main())
