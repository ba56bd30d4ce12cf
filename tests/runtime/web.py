"""A small HTTP server for tests: it answers each request as it is told to."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Web:
    """What a test knows of its server."""

    port: int = 0
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path="/hooks"):
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    async def until(self, is_so):
        """Wait until something is true of what the server has seen."""
        async with self.changed:
            await self.changed.wait_for(lambda: is_so(self))

    async def tell(self):
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def web(answer, certificate=None):
    """Serve; `answer(asked, writer)` writes, and returns what comes next: "stop" ends the
    connection, "reset" does so at once, "hang" waits until the other side does. Bytes
    are written as they are.
    """
    site = Web(scheme="https" if certificate else "http")
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        site.connections += 1
        site.open += 1
        await site.tell()
        try:
            await _converse(site, reader, writer, answer)
        except (ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            site.open -= 1
            writer.transport.abort()
            tasks.discard(asyncio.current_task())
            await asyncio.shield(site.tell())

    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        for _ in range(3):  # the transports' last turn
            await asyncio.sleep(0)


async def _converse(site, reader, writer, answer):
    number = site.connections
    while asked := await _read(reader, number):
        site.asked.append(asked)
        await site.tell()
        if isinstance(answer, bytes):
            writer.write(answer)
            said = None
        else:
            said = await answer(asked, writer)
        if said == "stop":
            if writer.can_write_eof():
                writer.write_eof()
            return
        if said == "hang":
            await reader.read()
        if said in ("hang", "reset"):
            return


async def _read(reader, connection):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Asked(line, headers, body, connection)


def answered(body=b"", status=200, **headers):
    """One whole answer, with a length."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Any\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode("latin-1") + body


def chunked(*pieces):
    """One whole answer, in chunks."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
