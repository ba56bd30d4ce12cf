"""A broker behind real sockets on loopback, and clients that speak in bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager

from phlows_cli.broker.events import Watch
from phlows_cli.server.access import Access
from phlows_cli.server.bridge import Bridge
from phlows_cli.server.front import Front
from phlows_cli.server.listener import Listeners
from tests.builders import HOST, KEY, Answer, Stage, make_bridge, make_config, make_server
from tests.fakes import FakeControl

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x0a\x0b\x0c\x0d"
UPGRADE = {
    "host": HOST,
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def http(target="/health", method="GET", headers=(), body=b""):
    """A request as bytes; Host is 127.0.0.1 unless given."""
    lines = {"host": "127.0.0.1"} | dict(headers)
    if body:
        lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def upgrade(path="/websocket", **headers):
    """An upgrade as bytes; an underscore in a name stands for a hyphen."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return http(path, headers=UPGRADE | more)


def post(body, path="/message"):
    return http(path, "POST", body=body)


def frame(payload=b"", opcode=TEXT, *, fin=True):
    """A client's frame, masked."""
    size = len(payload)
    first = opcode | (0x80 if fin else 0)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    masked = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return head + MASK + masked


def close_frame(code=1000, reason=b""):
    return frame(struct.pack("!H", code) + reason, CLOSE)


class Client:
    """One TCP connection, byte by byte in the test's hand."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, *pieces):
        self.writer.write(b"".join(pieces))

    async def answer(self):
        """The next HTTP answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.decode().lower().split("\r\n"):
            if line.startswith("content-length:"):
                length = int(line.partition(":")[2])
        if b" 101 " in head.partition(b"\r\n")[0]:
            return Switched(head)
        return Answer(head + await self.reader.readexactly(length))

    async def ask(self, request):
        self.send(request)
        return await self.answer()

    async def open(self, path="/websocket", **headers):
        """Upgrade; the 101 has come when this returns."""
        answer = await self.ask(upgrade(path, **headers))
        assert answer.status == 101, answer.body
        return self

    async def frame(self):
        """The next frame: its opcode and payload."""
        first, size = await self.reader.readexactly(2)
        assert first & 0x80, "a fragment"
        assert size < 128, "a masked frame from a server"
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def text(self):
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        return payload

    async def close_code(self):
        """The code and reason of the close frame, which must be next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        return (struct.unpack("!H", payload[:2])[0] if payload else 1005), payload[2:].decode()

    async def rest(self):
        """What comes until the broker ends the stream or cuts the connection."""
        rest = b""
        try:
            while piece := await self.reader.read(65536):
                rest += piece
        except ConnectionError:
            pass
        return rest

    def end(self):
        """Send no more, and go on reading."""
        self.writer.write_eof()

    def leave(self):
        self.writer.close()

    def reset(self):
        """Cut the connection so that the other side is told with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Switched:
    """A 101."""

    status = 101
    body = b""

    def __init__(self, head):
        self.head = head.decode().lower()


class Serving(Stage):
    """A stage that real clients connect to; its time passes with `pass_time`."""

    def __init__(self, server=None, bridge=None, pages=(), certificate=None, **stage):
        super().__init__(**stage)
        config = make_config(
            server=make_server(**server or {}),
            bridge=make_bridge(**bridge or {}),
            limits=self.broker.limits,
        )
        access = Access(config.server, config.bridge, KEY)
        bridge = Bridge(self.broker, access, dict(pages), FakeControl())
        self.front = Front(config, self.broker, bridge, access, 1)
        self.listeners = Listeners(certificate)
        self._clients = []
        self._events = asyncio.Queue()
        self._watch = Watch(self._take)
        self.broker.events.add(self._watch)

    async def start(self):
        await self.listeners.open(self.front)
        self.port = int(self.listeners.addresses[0].rpartition(":")[2])
        self._probe = await self.client()
        await self.settled_reads()

    async def client(self, receive_buffer=0, limit=2**16, **tls):
        """A client; with `ssl` and `server_hostname` it speaks TLS."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return self.adopt(*await asyncio.open_connection(sock=sock, limit=limit, **tls))

    def adopt(self, reader, writer):
        self._clients.append(Client(reader, writer))
        return self._clients[-1]

    async def opened(self, **headers):
        """A client whose upgrade was accepted, and its session."""
        before = set(self.front.channels)
        client = await (await self.client()).open(**headers)
        (channel,) = self.front.channels - before
        return client, channel.session

    async def settled_reads(self):
        """Return when the broker has read what was sent to it before.

        An answer on another connection comes after a look at all of them.
        """
        for _ in range(2):
            assert (await self._probe.ask(http("/ready"))).status in (200, 503)

    async def told(self, type_):
        """The next event of a type."""
        while True:
            event = await self._events.get()
            if event["type"] == type_:
                return event

    def pass_time(self, seconds, ticks=1):
        for _ in range(ticks):
            self.clock.advance(seconds / ticks)
            self.front.tick()

    def _take(self):
        asyncio.get_running_loop().call_soon(self._take_now)

    def _take_now(self):
        for event in self._watch.take():
            self._events.put_nowait(event)

    async def stop(self):
        self.broker.events.discard(self._watch)
        await self.listeners.close()
        for client in self._clients:
            client.writer.transport.abort()
        self.front.abort_all()
        await self.front.wait_empty()
        await self.broker.stop()


@asynccontextmanager
async def serving(**settings):
    """A broker that serves, and has nothing left at the end."""
    scene = Serving(**settings)
    await scene.start()
    try:
        yield scene
    finally:
        await scene.stop()
    assert scene.broker.connected == 0
    assert scene.front.flusher.waiting == 0
    assert not scene.front.flusher.stalled
