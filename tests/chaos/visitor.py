"""A client of the chaos suite: it misbehaves as it is told, and checks what it hears."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import suppress

from tests.conformance.client import BINARY, CLOSE, PING, PONG, TEXT, frame, upgrade_bytes

RECEIVE_BUFFER = 4096
"""Small, so that a client which does not read is felt soon."""


class Visitor(asyncio.Protocol):
    """One connection, from the upgrade on.

    `wrong` has what it heard and should not have; `code` is that of the broker's close
    frame, 0 when there was none.
    """

    def __init__(self, name, host, auth, token):
        self.name = name
        self.host = host
        self.token = "" if auth == "none" else token
        self.wrong = []
        self.sent = 0
        self.answered = 0
        self.casts = 0
        self.code = 0
        self.status = b""
        self.is_open = True
        self._says_token = auth == "message" and token != "nobody"
        self._cookie = token if auth == "upgrade" or token == "nobody" else None
        self._told = token
        self._last_reply = 0
        self._last_cast = 0
        self._heard = b""
        self._ended = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()

    @classmethod
    async def come(cls, address, *who):
        """Connect and ask for the upgrade; None when nobody listens."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(1.0):
                await loop.sock_connect(sock, address)
            _, visitor = await loop.create_connection(lambda: cls(*who), sock=sock)
        except OSError:
            sock.close()
            return None
        return visitor

    # What it does

    def speak(self, count, *, slow=False):
        for _ in range(count):
            self.sent += 1
            message = {"n": self.sent, "who": self.name} | ({"slow": 1} if slow else {})
            self._say(TEXT, json.dumps(message, separators=(",", ":")).encode())

    def be_rude(self):
        self._say(BINARY, b"not text")

    def stall(self):
        """Read nothing any more, and so answer no ping: half-open for the broker."""
        if self.is_open:
            self._transport.pause_reading()

    async def leave(self, how):
        """End as told; "politely" is when every message was answered."""
        if how == "politely":
            await self._hear_all()
            self._say(CLOSE, struct.pack("!H", 1000))
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), 5.0)
        elif how == "reset" and self.is_open:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "in the midst":
            self._say(CLOSE, struct.pack("!H", 1000))
        self._transport.abort() if how != "in the midst" else self._transport.close()

    def abort(self):
        self._transport.abort()

    async def _hear_all(self):
        """Wait for an answer to each message, for as long as the socket is open."""
        try:
            async with asyncio.timeout(15.0):
                while self.is_open and self.answered < self.sent and self._is_in:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._fault(f"{self.answered} answers to {self.sent} messages")

    @property
    def _is_in(self):
        return self.status in (b"", b"101") and self.code == 0

    def _say(self, opcode, payload):
        if self.is_open:
            self._transport.write(frame(opcode, payload))

    def _fault(self, what):
        self.wrong.append(f"client {self.name} ({self.token or 'no token'} at {self.host}): {what}")

    # What it hears

    def connection_made(self, transport):
        self._transport = transport
        headers = [("Cookie", f"token={self._cookie}")] if self._cookie else []
        transport.write(upgrade_bytes(self.host, headers=headers))
        if self._says_token:
            self._say(TEXT, json.dumps({"type": "auth", "token": self._told}).encode())

    def data_received(self, data):
        self._heard += data
        if not self.status:
            head, mark, rest = self._heard.partition(b"\r\n\r\n")
            if not mark:
                return
            self.status, self._heard = head[9:12], rest
        if self.status == b"101":
            while self._take_frame():
                pass
        self._news.set()

    def connection_lost(self, _error):
        self.is_open = False
        self._news.set()
        if not self._ended.done():
            self._ended.set_result(None)

    def _take_frame(self):
        """One whole frame of what was heard, if there is one."""
        heard = self._heard
        if len(heard) < 2:
            return False
        start, size = 2, heard[1]
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(heard[2:start], "big")
        if len(heard) < start + size or len(heard) < start:
            return False
        self._heard = heard[start + size :]
        self._take(heard[0] & 0x0F, heard[start : start + size])
        return True

    def _take(self, opcode, payload):
        if opcode == PING:
            self._say(PONG, payload)
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self._say(CLOSE, payload[:2])
        elif opcode == TEXT:
            self._read(json.loads(payload))

    def _read(self, message):
        if "cast" in message:
            self._read_cast(message)
        elif "error" in message:
            self.answered += 1
        elif message.get("who") != self.name:
            self._fault(f"heard the answer to another: {message}")
        else:
            self.answered += 1
            if message["n"] <= self._last_reply:
                self._fault(f"answer {message['n']} after {self._last_reply}")
            self._last_reply = message["n"]

    def _read_cast(self, cast):
        self.casts += 1
        if cast["host"] != self.host or not is_meant(cast["to"], self.token):
            self._fault(f"heard a cast to {cast['to']} of {cast['host']}")
        if cast["cast"] <= self._last_cast:
            self._fault(f"cast {cast['cast']} after {self._last_cast}")
        self._last_cast = cast["cast"]


def is_meant(targets, token):
    """Whether one of the targets is all, this token, or all but another."""
    for target in targets:
        kind, _, named = target.rpartition(":")
        if (
            target == "all"
            or (kind == "token" and named == token)
            or (kind == "token:not" and named != token)
        ):
            return True
    return False
