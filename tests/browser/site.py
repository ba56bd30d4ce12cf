"""A web server whose answers come when the test says so."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 10.0
"""Seconds after which a request or a piece that a test waits for is missing."""


LINES_TO_NOBODY = 100_000
"""Many times what the system takes in for a client that has not left."""


class Answer:
    """One request that came, and the answer, piece by piece."""

    def __init__(self, handler, body):
        self.method, self.headers, self.body = handler.command, handler.headers, body
        self._out = handler.wfile
        self._over = threading.Event()
        self.is_cut = False

    def write(self, piece):
        """Send a piece at once; it is a chunk of its own."""
        self._write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def finish(self):
        self._write(b"0\r\n\r\n")
        self.cut()

    def cut(self):
        """End the connection, with whatever has been sent."""
        self._over.set()

    def until_left(self):
        """Write blank lines, which mean nothing, until the client is gone."""
        for _ in range(LINES_TO_NOBODY):
            if self.is_cut:
                return
            self.write(b"\n" * 4096)
        raise AssertionError("the client still reads")

    def stay(self):
        self._over.wait()

    def _write(self, data):
        try:
            self._out.write(data)
            self._out.flush()
        except OSError:
            self.is_cut = True


class Site:
    """Requests wait here until the test takes them and answers."""

    def __init__(self, server):
        self.url = f"http://127.0.0.1:{server.server_port}/"
        self._requests = queue.Queue()
        self.answers = []

    def take(self):
        """The next request for a stream."""
        return self._requests.get(timeout=PATIENCE)

    def arrived(self, answer):
        self.answers.append(answer)
        self._requests.put(answer)
        answer.stay()


@contextmanager
def site():
    """Serve; the answer to /200 has this status, and its body is written by the test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.site = Site(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.site
    for answer in server.site.answers:
        answer.cut()
    server.shutdown()
    server.server_close()
    thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self._stream()

    def do_GET(self):
        self._stream()

    def _stream(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = int(self.path[1:])
        self.send_response(status)
        self.send_header("content-type", "application/x-ndjson" if status < 400 else "text/html")
        self.send_header("transfer-encoding", "chunked")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        self.server.site.arrived(Answer(self, body))

    def log_message(self, *_):
        pass
