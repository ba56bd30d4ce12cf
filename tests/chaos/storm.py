"""Many clients that come back whenever they lose their connection, as they are told.

    python storm.py ADDRESS PORT HOST COUNT SECOND

A second that the broker tells lasts SECOND here. A line on stdin starts the counts
anew. Whenever all clients are in, and news of it is not told yet, it prints a line:
how often the counts began, and what became of the attempts since then.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from heapq import heappop, heappush

HEAD = (
    "GET /websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Cookie: token=storm\r\n\r\n"
)
CLOSE, PING, TEXT = 0x8, 0x9, 0x1
QUIET = 0.5
"""Seconds without a change after which those who are in are believed to stay in."""


class Client:
    """One of them: out, connecting, asking, or in."""

    __slots__ = ("buffer", "is_in", "sock")

    def __init__(self):
        self.sock = None
        self.buffer = b""
        self.is_in = False


class Storm:
    """All of them, and what became of each attempt."""

    def __init__(self, address, host, count, second):
        self._address = address
        self._head = HEAD.format(host).encode()
        self._second = second
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._waiting = []
        self._count = count
        self._in = 0
        self._counts = Counter()
        self._beginnings = 0
        self._has_news = True
        self._changed_at = 0.0
        self._chance = random.Random(7)
        for number in range(count):
            heappush(self._waiting, (0.0, number, Client()))

    def run(self):
        while True:
            for key, events in self._selector.select(self._patience()):
                if key.fileobj == 0:
                    if not os.read(0, 65536):
                        return
                    self._counts.clear()
                    self._beginnings += 1
                    self._change()
                else:
                    self._step(key.data, events)
            now = time.monotonic()
            while self._waiting and self._waiting[0][0] <= now:
                self._connect(heappop(self._waiting)[2])
            if self._has_news and self._in == self._count and now > self._changed_at + QUIET:
                self._has_news = False
                self._say()

    def _patience(self):
        if self._waiting:
            return max(0.0, self._waiting[0][0] - time.monotonic())
        return QUIET if self._has_news else None

    def _change(self):
        self._has_news = True
        self._changed_at = time.monotonic()

    def _say(self):
        os.write(1, json.dumps([self._beginnings, self._counts]).encode() + b"\n")

    def _connect(self, client):
        client.sock = socket.socket()
        client.sock.setblocking(False)
        client.buffer = b""
        client.sock.connect_ex(self._address)
        self._selector.register(client.sock, selectors.EVENT_WRITE, client)
        try:
            self._ask(client)  # at once, where it can be: the broker waits for few heads
        except OSError:
            self._out(client, "unreachable", self._moment())

    def _ask(self, client):
        """Send the head, if there is a connection."""
        with suppress(BlockingIOError):
            client.sock.send(self._head)
            self._selector.modify(client.sock, selectors.EVENT_READ, client)

    def _step(self, client, events):
        try:
            if events & selectors.EVENT_WRITE:
                self._ask(client)
                return
            data = client.sock.recv(4096)
        except ConnectionRefusedError:
            self._out(client, "unreachable", self._moment())
            return
        except OSError:
            data = b""
        if not data:
            self._out(client, "lost" if client.is_in else "cut", self._moment())
            return
        client.buffer += data
        if not client.is_in:
            self._take_answer(client)
        if client.is_in:
            self._take_frames(client)

    def _take_answer(self, client):
        head, end, rest = client.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        status = head[9:12].decode()
        if status == "101":
            client.is_in, client.buffer = True, rest
            self._in += 1
            self._change()
            return
        told = re.search(rb"\r\nRetry-After: (\d+)", head)
        if status == "503" and told:
            self._told(client, "503", int(told[1]))
        else:
            self._give_up(f"{status} and not when to come back")

    def _take_frames(self, client):
        while len(client.buffer) >= 2 and len(client.buffer) >= 2 + client.buffer[1]:
            opcode, size = client.buffer[0] & 0x0F, client.buffer[1]
            payload, client.buffer = client.buffer[2 : 2 + size], client.buffer[2 + size :]
            if opcode == PING:
                client.sock.send(bytes([0x8A, 0x80 | size, 0, 0, 0, 0]) + payload)
            elif opcode == CLOSE:
                client.sock.send(b"\x88\x82\0\0\0\0" + payload[:2])
                self._take_close(client, *struct.unpack("!H", payload[:2]), payload[2:])
                return

    def _take_close(self, client, code, reason):
        told = re.search(rb"come back in (\d+) s", reason)
        if told:
            self._told(client, str(code), int(told[1]))
        elif code == 1013:  # "come back later": docs/protocol.md, "Close codes"
            self._told(client, "1013", self._chance.randint(1, 10))
        else:
            self._give_up(f"{code} and not when to come back")

    def _give_up(self, why):
        """What no client should meet: tell it, and end."""
        self._counts[why] += 1
        self._say()
        sys.exit(1)

    def _told(self, client, by, seconds):
        self._counts["longest"] = max(self._counts["longest"], seconds)
        self._out(client, by, seconds * self._second)

    def _moment(self):
        return self._chance.uniform(0.2, 0.6)

    def _out(self, client, why, wait):
        """This attempt is over; the next one comes after a while."""
        self._counts[why] += 1
        self._in -= client.is_in
        self._change()
        client.is_in = False
        if client.sock in self._selector.get_map():
            self._selector.unregister(client.sock)
        client.sock.close()
        heappush(self._waiting, (time.monotonic() + wait, self._chance.random(), client))


def main():
    address, port, host, count, second = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Storm((address, int(port)), host, int(count), float(second)).run()


if __name__ == "__main__":
    main()
