"""In the broker's place for apps that are replayed: their casts reach nobody."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from phlows_cli.errors import RequestError
from phlows_cli.model import Receipt
from phlows_cli.wire.request import Request, RequestReader
from phlows_cli.wire.response import error_response, json_response, receipt_response

BODY_LIMIT: Final = 1_048_576
CASTS: Final = 1000
"""Casts that are kept of one call; those over it are answered alike."""

CONNECTIONS: Final = 64


class Receipts:
    """Answers a host's app as a broker without sockets would, and keeps its casts."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._casts: list[dict[str, Any]] = []
        self._open: set[asyncio.BaseTransport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on a free port of the loopback; returns the URL."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Listen no more, and cut who is still connected."""
        for transport in list(self._open):
            transport.abort() if isinstance(transport, asyncio.Transport) else transport.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def take(self) -> list[dict[str, Any]]:
        """The casts since the last take."""
        casts, self._casts = self._casts, []
        return casts

    def opened(self, transport: asyncio.BaseTransport) -> bool:
        """Whether one more connection may be open."""
        if len(self._open) >= CONNECTIONS:
            return False
        self._open.add(transport)
        return True

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """A connection is gone."""
        self._open.discard(transport)

    def answer(self, request: Request) -> bytes:
        """Answer a request; casts, and what else changes something, are kept."""
        if request.method == "POST":
            return self._kept(request)
        counts = {self._host: {"tokens": 0, "sockets": 0, "perToken": {}}}
        answers: dict[str, object] = {
            "/ready": {"status": "ok"},
            "/presence": {"status": "ok", "sockets": []},
            "/health": {"status": "ok", "hosts": counts, "sockets": counts},
        }
        if request.path not in answers:
            return error_response(404, "no such route in a replay", keep_alive=request.keep_alive)
        return json_response(answers[request.path], keep_alive=request.keep_alive)

    def _kept(self, request: Request) -> bytes:
        try:
            body = msgspec.json.decode(request.body or b"{}")
        except (msgspec.MsgspecError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return error_response(400, "body is no JSON object", keep_alive=request.keep_alive)
        if len(self._casts) < CASTS:
            self._casts.append({"path": request.path, **body})
        if request.path == "/message":
            return receipt_response(Receipt(self._host), keep_alive=request.keep_alive)
        told = {"status": "ok", "host": self._host, "disconnected": 0, "result": None}
        return json_response(told, keep_alive=request.keep_alive)


class _Connection(asyncio.Protocol):
    """One connection of the app."""

    def __init__(self, receipts: Receipts) -> None:
        self._receipts = receipts
        self._reader = RequestReader(body_limit=BODY_LIMIT)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport) or not self._receipts.opened(transport):
            transport.close()
            return
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if hasattr(self, "_transport"):
            self._receipts.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        failure = b""
        try:
            self._reader.receive_data(data)
        except RequestError as error:
            failure = error_response(error.status, str(error))
        is_last = bool(failure)
        for request in self._reader.requests_received():
            self._transport.write(self._receipts.answer(request))
            is_last = is_last or not request.keep_alive
        self._transport.write(failure or self._reader.data_to_send())
        if is_last:
            self._transport.close()
