"""behaving.py behind a URL: the steps come as JSON in the token, or the message.

A small HTTP server. It prints its URL, and ends with its standard input. What
the steps print is sent as it is printed, in chunks.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Left(Exception):  # noqa: N818 - not an error: a step that ends the hook
    """The hook ends here, with this exit code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def steps_of(event):
    if "target" in event:
        return json.loads(event["args"][0])
    return json.loads(event["token"]) if event["data"] is None else event["data"]


class Handler(BaseHTTPRequestHandler):
    """One connection; each request is one event."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.event = event
        self.has_begun = False
        try:
            for name, value in steps_of(event):
                getattr(self, f"step_{name}")(value)
        except Left as left:
            self.leave(left.code)
        else:
            self.leave(0)

    def leave(self, code):
        """End the answer; a bad exit is a 500, or a broken answer once it began."""
        if code and self.has_begun:
            self.break_off()
        elif code:
            self.send_response(500 + code)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.begin()
            self.wfile.write(b"0\r\n\r\n")

    def begin(self):
        if not self.has_begun:
            self.has_begun = True
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

    def write(self, data):
        self.begin()
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def break_off(self):
        """Close with a reset, as the end of a killed process does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def step_print(self, text):
        self.write(text.encode() + b"\n")

    def step_write(self, text):
        self.write(text.encode("latin-1"))

    def step_echo(self, _):
        event = self.event
        if "target" in event:
            self.step_print(json.dumps([event["target"], *event["args"]]))
            return
        arguments = [event["host"], event["token"], event["socket"]]
        if event["data"] is not None:
            arguments.append(json.dumps(event["data"]))
        self.step_print(json.dumps([f"ws::{event['hook']}", *arguments]))

    def step_skip(self, _):
        """Do nothing."""

    def step_size(self, text):
        self.step_print(str(len(text)))

    def step_long(self, size):
        self.step_print("x" * size)

    def step_text(self, size):
        self.step_print(json.dumps("x" * size))

    def step_fill(self, size):
        for _ in range(size // 1024):
            self.write(b"x" * 1023 + b"\n")

    def step_wait(self, path):
        with Path(path).open("rb", buffering=0) as gate:
            gate.read(1)

    def step_exit(self, code):
        raise Left(code)

    def step_kill(self, _):
        self.begin()
        raise Left(1)

    def step_deaf(self, _):
        """Do nothing: a server hears no signal of the broker's."""

    def step_hang(self, _):
        """Wait until the broker closes the connection."""
        self.rfile.read()
        raise Left(1)

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # the broker went away
            self.close_connection = True

    def finish(self):
        try:
            super().finish()
        except ConnectionError:
            self.rfile.close()

    def log_message(self, *_):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def shutdown_request(self, request):
        """Close at once; the half close of the original would undo a reset."""
        request.close()


def main():
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}/hooks\n")
        sys.stdout.flush()
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
