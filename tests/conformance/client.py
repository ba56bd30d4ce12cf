"""A WebSocket client that can misbehave: blocking, raw, every byte its own."""

from __future__ import annotations

import base64
import itertools
import json
import os
import struct

from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_numbers = itertools.count(1)


class RefusedError(Exception):
    """The upgrade was answered with something else than 101."""

    def __init__(self, answer):
        super().__init__(answer.status, answer.body)
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.json


class ClosedError(Exception):
    """A close frame came where a message was expected."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def frame(opcode, payload=b"", *, fin=True, masked=True, rsv=0):
    """One frame as a client sends it, or as it must not."""
    size = len(payload)
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head = first + bytes([bit | size])
    elif size < 65536:
        head = first + bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head = first + bytes([bit | 127]) + struct.pack("!Q", size)
    return head + (masked_with(os.urandom(4), payload) if masked else payload)


def masked_with(key, payload):
    """A mask and the bytes under it."""
    stretched = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return key + mixed.to_bytes(len(payload), "big")


def upgrade_bytes(host, path="/websocket", headers=(), *, method="GET"):
    """The head of an upgrade; `headers` replace those of the same name."""
    key = base64.b64encode(os.urandom(16)).decode()
    usual = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    given = {name.lower() for name, _ in headers}
    kept = [(name, value) for name, value in usual.items() if name.lower() not in given]
    kept += [(name, value) for name, value in headers if value is not None]
    return request_bytes(method, path, None, kept, host=host)


class WebSocket:
    """A connected client. It answers pings while it reads, unless told not to."""

    def __init__(self, stream, agent):
        self.stream = stream
        self.agent = agent
        self.answers_pings = True

    @classmethod
    def open(cls, address, host, *, cookie=None, headers=(), receive_buffer=0, **request):
        """Upgrade; `cookie` is the token in the cookie "token".

        Raises:
            RefusedError: the answer is not 101.
        """
        agent = f"conformance/{next(_numbers)}"
        headers = [("User-Agent", agent), *headers]
        if cookie is not None:
            headers.append(("Cookie", f"token={cookie}"))
        stream = dial(address, receive_buffer)
        try:
            stream.send(upgrade_bytes(host, headers=headers, **request))
            answer = read_answer(stream)
        except BaseException:
            stream.close()
            raise
        if answer.status != 101:
            stream.close()
            raise RefusedError(answer)
        return cls(stream, agent)

    # Sending

    def send(self, value):
        """One text message; what is not text is sent as JSON."""
        self.send_frame(TEXT, (value if isinstance(value, str) else json.dumps(value)).encode())

    def authenticate(self, token):
        self.send({"type": "auth", "token": token})

    def send_frame(self, opcode, payload=b"", **how):
        self.stream.send(frame(opcode, payload, **how))

    def send_close(self, code=1000, reason=""):
        self.send_frame(CLOSE, struct.pack("!H", code) + reason.encode())

    # Receiving

    def read_frame(self):
        """The next frame, whatever it is: (opcode, payload)."""
        first, second = self.stream.read(2)
        assert first & 0x80, "a server's frame is not in fragments"
        assert not first & 0x70, "nothing was negotiated that would use a reserved bit"
        assert not second & 0x80, "a server's frame is not masked"
        size = second
        if size == 126:
            size = struct.unpack("!H", self.stream.read(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self.stream.read(8))[0]
        return first & 0x0F, self.stream.read(size)

    def receive(self):
        """The next message's text.

        Raises:
            ClosedError: the broker closes instead.
        """
        while True:
            opcode, payload = self.read_frame()
            if opcode == TEXT:
                return payload.decode()
            if opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                raise ClosedError(code, payload[2:].decode())
            if opcode == PING and self.answers_pings:
                self.send_frame(PONG, payload)

    def receive_json(self):
        return json.loads(self.receive())

    def closed(self):
        """Expect a close frame now; answer it, see the stream end; its code."""
        return self.closed_after()[-1]

    def closed_after(self):
        """The messages until the close frame, and last its code."""
        got = []
        try:
            while True:
                got.append(self.receive())
        except ClosedError as closed:
            self.close_reason = closed.reason
            self.send_frame(CLOSE, struct.pack("!H", closed.code))
            assert self.stream.at_end(), "something followed the close frame"
            self.stream.close()
            return [*got, closed.code]

    # Ending

    def close(self, code=1000):
        """Close in order: our frame, the broker's, the end of the stream."""
        self.send_close(code)
        got = self._until_close()
        assert self.stream.at_end()
        self.stream.close()
        return got

    def drop(self):
        """End without a word."""
        self.stream.close()

    def _until_close(self):
        got = []
        try:
            while True:
                got.append(self.receive())
        except ClosedError:
            return got
