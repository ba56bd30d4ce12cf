"""The whole broker, up in this process."""

from __future__ import annotations

import asyncio

from phlows_cli import service
from tests.server.serving import Client


class Running:
    """A broker that serves in this process."""

    def __init__(self, config, on_log, **serve):
        self.up = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.Event()
        on_log(
            serving=lambda record: self.up.set_result(record.addresses),
            stopping=lambda _: self.stopping.set(),
        )
        self.task = asyncio.ensure_future(service.serve(config, **serve))

    async def start(self):
        await asyncio.wait({self.up, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        self.url = self.up.result()[0]
        self.port = int(self.url.rpartition(":")[2])
        return self

    async def client(self):
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))
