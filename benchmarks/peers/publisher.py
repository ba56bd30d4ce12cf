"""The smallest HTTP there is to cast with: POST /message, one answer for each."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class Publisher(asyncio.Protocol):
    """Takes whole requests off a connection and answers each."""

    def __init__(self, publish: Callable[[str], int]) -> None:
        self._publish = publish
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._transport.write(self._answer(body))

    def _answer(self, body: bytes) -> bytes:
        # The text is made once a cast, which only helps this side.
        cast = json.loads(body)
        sent = self._publish(json.dumps(cast.get("data", {}), separators=(",", ":")))
        told = {"status": "ok", "sent": sent, "matched": sent}
        text = json.dumps(told, separators=(",", ":")).encode()
        return _HEAD % (len(text), text)
