"""A blocking socket that is read with deadlines."""

from __future__ import annotations

import socket
import struct
import time

DEADLINE = 20.0
"""Seconds that anything may take: generous, since only a failure waits so long."""


def dial(address, receive_buffer=0):
    """Connect to (host, port) or to the path of a unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(DEADLINE)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return Stream(sock)


class Stream:
    """Bytes both ways; every read has DEADLINE seconds."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def send(self, data):
        self.sock.settimeout(DEADLINE)
        self.sock.sendall(data)

    def read(self, size):
        """Exactly so many bytes."""
        deadline = time.monotonic() + DEADLINE
        while len(self.buffer) < size:
            self._fill(deadline)
        return self._take(size)

    def read_until(self, mark):
        """Bytes up to and with a mark."""
        deadline = time.monotonic() + DEADLINE
        while (end := self.buffer.find(mark)) < 0:
            self._fill(deadline)
        return self._take(end + len(mark))

    def read_to_end(self):
        """Everything until the other side ends the stream."""
        deadline = time.monotonic() + DEADLINE
        try:
            while True:
                self._fill(deadline)
        except ConnectionError:
            return self._take(len(self.buffer))

    def at_end(self):
        """Whether the other side ends the stream, and sends nothing before."""
        return self.read_to_end() == b""

    def finish_sending(self):
        """End our half of the stream."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Cut the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"nothing more within {DEADLINE:g} s after {bytes(self.buffer)!r}")
        self.sock.settimeout(left)
        data = self.sock.recv(65536)
        if not data:
            raise EndOfStreamError(f"the stream ended after {bytes(self.buffer)!r}")
        self.buffer += data

    def _take(self, size):
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken


class EndOfStreamError(ConnectionError):
    """The other side ended the stream before all was there."""
