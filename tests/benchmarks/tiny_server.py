"""A broker of 60 lines, faithful or not, for the load generator to count."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from benchmarks.wire import text_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Delivery = Callable[[int, int, bytes], bytes]
    """(cast, socket, frame) -> the bytes this socket gets for this cast."""

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class TinyServer:
    def __init__(self, delivery: Delivery) -> None:
        self.port = 0
        self.casts = 0
        self.delivered = 0
        self.unseen = 0
        self._delivery = delivery
        self._sockets: list[asyncio.StreamWriter] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, listening: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await stop.wait()
        server.close()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):  # the reader may have left first
                await writer.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while head := await self._head(reader):
            if head.startswith(b"GET"):
                self._sockets.append(writer)
                writer.write(SWITCH)
            else:
                length = int(head.rpartition(b"Content-Length: ")[2])
                writer.write(self._cast(await reader.readexactly(length)))

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    def _cast(self, body: bytes) -> bytes:
        frame = text_frame(body.partition(b'"data":')[2][:-1])
        for index, socket in enumerate(self._sockets):
            delivered = self._delivery(self.casts, index, frame)
            self.delivered += delivered.count(frame[:4])
            socket.write(delivered)
        self.casts += 1
        sent = len(self._sockets) - self.unseen
        receipt = b'{"status":"ok","sent":%d,"matched":%d}' % (sent, sent)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(receipt), receipt)


@contextmanager
def running(delivery: Delivery = lambda _cast, _socket, frame: frame) -> Iterator[TinyServer]:
    server = TinyServer(delivery)
    listening, handles = threading.Event(), {}

    async def main() -> None:
        handles["loop"], handles["stop"] = asyncio.get_running_loop(), asyncio.Event()
        await server.serve(listening, handles["stop"])

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert listening.wait(10)
        yield server
    finally:
        handles["loop"].call_soon_threadsafe(handles["stop"].set)
        thread.join(10)
        assert not thread.is_alive()
