"""A broker's stand-in that does one thing wrong, on purpose."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from contextlib import contextmanager, suppress

from phlows_cli.cli.load.wire import accept_for, server_frame

NUMBER = re.compile(rb'"n": ?"(\d{10})"')


class Fault:
    """What happens to one message of one socket: `kind` says it."""

    def __init__(self, kind="", socket=0, number=0):
        self.kind = kind
        self._where = socket, number
        self._held = b""

    def __call__(self, socket, payload):
        """The frames that are sent in place of this message."""
        found = NUMBER.search(payload)
        frame = server_frame(payload)
        if self._held and socket == self._where[0]:
            frame, self._held = frame + self._held, b""
        if not self.kind or found is None or (socket, int(found[1])) != self._where:
            return frame
        return getattr(self, f"_{self.kind}")(frame)

    def _lost(self, frame):
        return b""

    def _duplicated(self, frame):
        return frame + frame

    def _reordered(self, frame):
        self._held = frame
        return b""

    def _damaged(self, frame):
        return frame.replace(b"x", b"y", 1)

    def _gone(self, frame):
        raise ConnectionAbortedError  # ends the connection of whoever cast

    def _closed(self, frame):
        return b"\x88\x02\x0f\xa0"  # 4000


class StandIn(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, fault=None, sent=None, refusals=0, foreign=b""):
        super().__init__(("127.0.0.1", 0), Connection)
        self.fault = fault or Fault()
        self.sent = sent  # what every receipt says instead of the truth
        self.refusals = refusals  # so many handshakes are refused first
        self.foreign = foreign  # sent to everybody before each cast
        self.sockets = {}
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def cast(self, body):
        payload = re.search(rb'"data":(.*)\}$', body, re.DOTALL)[1]
        with self.lock:
            for number, write in self.sockets.items():
                with suppress(BrokenPipeError, ConnectionResetError):  # it has just left
                    write(self.foreign + self.fault(number, payload))
            return len(self.sockets)

    def refuses(self):
        with self.lock:
            self.refusals -= 1
            return self.refusals >= 0

    def handle_error(self, request, client_address):
        """A client that leaves is no news."""


class Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while head := self._head():
            if b"Sec-WebSocket-Key" in head:
                return self._upgrade(head)
            length = re.search(rb"Content-Length: (\d+)", head)
            body = self.rfile.read(int(length[1])) if length else b""
            answer = {"status": "ok"}
            if b"POST /message" in head:
                count = self.server.cast(body)
                answer["sent"] = count if self.server.sent is None else self.server.sent
            self._answer("200 OK", answer)
        return None

    def _head(self):
        lines = []
        while (line := self.rfile.readline()).strip():
            lines.append(line)
        return b"".join(lines)

    def _answer(self, status, value, more=""):
        body = json.dumps(value)
        self.wfile.write(
            f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def _upgrade(self, head):
        if self.server.refuses():
            self._answer("503 Service Unavailable", {"message": "full"}, "Retry-After: 0\r\n")
            return
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1].decode()
        number = int(re.search(rb"User-Agent: phlows-bench \w+ (\d+)", head)[1])
        with self.server.lock:  # no cast before it is answered, and none after without it
            self.wfile.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept_for(key) + b"\r\n\r\n"
            )
            self.server.sockets[number] = self.wfile.write
        try:
            self._echo(number)
        finally:
            with self.server.lock:
                if self.server.sockets.get(number) == self.wfile.write:
                    del self.server.sockets[number]

    def _echo(self, number):
        rest = b""
        while part := self.request.recv(65536):
            rest = self._answers(number, rest + part)

    def _answers(self, number, stream):
        """Give every text message back; the mask of our clients is zeros."""
        while len(stream) >= 8:
            size, head = stream[1] & 0x7F, 6
            if size == 126:
                size, head = int.from_bytes(stream[2:4], "big"), 8
            if len(stream) < head + size:
                break
            if stream[0] & 0x0F == 1:
                self.wfile.write(self.server.fault(number, stream[head : head + size]))
            stream = stream[head + size :]
        return stream


@contextmanager
def standing_in(**wrong):
    with StandIn(**wrong) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
