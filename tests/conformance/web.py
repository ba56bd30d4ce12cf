"""HTTP as the tests speak it: requests as bytes, answers read one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.conformance.stream import dial


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def request_bytes(method, path, body=None, headers=(), *, host="127.0.0.1"):
    """A whole request. A body that is not bytes is sent as JSON."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"Host: {host}"] if host is not None else []
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
        if not any(name.lower() == "content-type" for name, _ in headers):
            lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def read_answer(stream, *, method="GET"):
    """The next answer on a connection."""
    status, headers = read_head(stream)
    size = int(headers.get("content-length", 0))
    bodyless = method == "HEAD" or status in (101, 204)
    return Answer(status, headers, b"" if bodyless else stream.read(size))


def read_head(stream):
    """Status and headers of the next answer."""
    first, *lines = stream.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    pairs = (line.split(":", 1) for line in lines)
    return int(status), {name.lower(): value.strip() for name, value in pairs}


def call(address, method, path, body=None, headers=(), *, host="127.0.0.1"):
    """One request on a connection of its own."""
    stream = dial(address)
    try:
        stream.send(request_bytes(method, path, body, headers, host=host))
        return read_answer(stream, method=method)
    finally:
        stream.close()
