"""A real HTTP server that keeps what it is asked and answers as told."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingMixIn, UnixStreamServer
from urllib.parse import parse_qsl, urlsplit

NOT_FOUND = (404, {"status": "error", "message": "no such route"})


@dataclass
class Recorded:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Recorder:
    """Answers by path: (status, JSON value or bytes), or a function of the handler."""

    def __init__(self, url):
        self.url = url
        self.answers = {}
        self.requests = []

    @property
    def last(self):
        return self.requests[-1]

    def handle(self, handler):
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        query = dict(parse_qsl(url.query))
        self.requests.append(Recorded(handler.command, url.path, query, headers, body))
        answer = self.answers.get(url.path, NOT_FOUND)
        if callable(answer):
            answer(handler)
            return
        status, value = answer
        send(handler, status, value if isinstance(value, bytes) else json.dumps(value).encode())


def send(handler, status, content, **headers):
    """Send a whole answer."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def stream(*chunks, then=None, is_whole=True):
    """Make an answer that sends chunks, and ends once `then` is set."""

    def answer(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-ndjson")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            handler.wfile.flush()
        if then is not None and not then.wait(30):
            return  # a broken stream: nobody saw the chunks while it was open
        if is_whole:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def in_turn(*answers):
    """Answer the first request with the first, the next with the next."""
    left = iter(answers)

    def answer(handler):
        next(left)(handler)

    return answer


class Quiet:
    """A server to which a client that leaves early is no error."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class TcpServer(Quiet, ThreadingHTTPServer):
    pass


class UnixServer(Quiet, ThreadingMixIn, UnixStreamServer):
    pass


def _handler_of(recorder_box):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            recorder_box[0].handle(self)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def recording(unix_path=None):
    """Run a Recorder on a free port of the loopback, or on a unix socket."""
    box = []
    if unix_path is None:
        server = TcpServer(("127.0.0.1", 0), _handler_of(box))
        url = f"http://127.0.0.1:{server.server_address[1]}"
    else:
        server = UnixServer(str(unix_path), _handler_of(box))
        url = f"unix:{unix_path}"
    box.append(Recorder(url))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield box[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
