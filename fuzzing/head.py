"""The HTTP head and its body, up to the decision about an upgrade.

A request is read, or refused with a RequestError that has a status of a client's
mistake; the same bytes in pieces give the same; what is held has a bound.
"""

from __future__ import annotations

from fuzzing.target import Target, pieces, streams
from phlows_cli.errors import RequestError
from phlows_cli.wire.handshake import accept_upgrade, cookie_token, origin_allowed
from phlows_cli.wire.request import HEAD_LIMIT, RequestReader

BODY_LIMIT = 2000
SMALL_LIMIT = 300
"""Of a head, where the pieces are large: inputs are too short to reach the real one."""

STATUSES = frozenset({400, 405, 413, 414, 426, 431, 501, 505})
TAIL = 3
"""Bytes of a chunked body's end that are held back."""

UPGRADE = (
    b"GET /websocket?a=%41&a=2 HTTP/1.1\r\nHost: A.test.:3001\r\nConnection: a, Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nCookie: token=a%C3%A9; b=c\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://a.test\r\n\r\n\x81\x80abcd"
)
CAST = (
    b"POST /message HTTP/1.1\r\nHost: [::1]:3001\r\nContent-Type: application/json\r\n"
    b'Content-Length: 17\r\n\r\n{"host":"a.test"}'
)
CHUNKED = (
    b"POST /message HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;a=b\r\n[1,2]\r\n0\r\nAuthorization: x\r\n\r\n"
)


def read(parts: list[bytes], largest: int, limit: int) -> tuple[list, bool, bytes]:
    """The requests, whether an error followed them, and what followed an upgrade."""
    reader = RequestReader(head_limit=limit, body_limit=BODY_LIMIT)
    requests, failed = [], False
    for part in parts:
        try:
            reader.receive_data(part)
        except RequestError as error:
            refuse(error)
            failed = True
        requests += reader.requests_received()
        if any(request.is_upgrade for request in requests):
            continue  # what follows is bounded by whoever feeds it
        assert len(reader._held) <= limit + TAIL + largest, len(reader._held)
        assert reader._collector.size <= BODY_LIMIT + largest, reader._collector.size
    return requests, failed, reader.leftover()


def refuse(error: RequestError) -> None:
    """An error that the documents know, in words."""
    assert error.status in STATUSES, error.status
    assert str(error)


def decide(request) -> None:
    """Everything that an upgrade's head is asked."""
    for question in (lambda: cookie_token(request, "token"), lambda: accept_upgrade(request)):
        try:
            answer = question()
        except RequestError as error:
            refuse(error)
        else:
            assert isinstance(answer, str) or answer.startswith(b"HTTP/1.1 101 ")
    origin_allowed(request, "a.test", ("https://b.test:8443",), secure=False)


def check(data: bytes) -> None:
    """Hold a stream of requests to the rule."""
    stream, parts = pieces(data)
    limit = SMALL_LIMIT if data[:1] >= b"\x80" else HEAD_LIMIT
    found = read(parts, max(map(len, parts), default=0), limit)
    if len(parts) > 1:
        other = read([stream], len(stream), limit)
        assert found == other, "the same bytes in one piece give another"
    for request in found[0]:
        assert len(request.body) <= BODY_LIMIT
        decide(request)


TARGET = Target(
    "head",
    check,
    streams(UPGRADE, CAST, CAST + CAST, CHUNKED + UPGRADE, b"GET / HTTP/1.0\r\n\r\n"),
    (
        *(b"\r\n", b"\r\n\r\n", b"\n", b" ", b"\0", b": ", b"%", b"%00", b"?", b"//", b"\x80"),
        *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET", b"POST", b"CONNECT", b"PRI", b"http://["),
        *(b"Host: ", b"Content-Length: ", b"Transfer-Encoding: chunked", b"gzip, chunked"),
        *(b"Connection: close", b"Upgrade: h2c", b"Expect: 100-continue", b"Cookie: token="),
        *(b"Origin: null", b"Origin: https://[::1]", b"Sec-WebSocket-Version: 8", b"0\r\n\r\n"),
        *(b"fffffffffffffffff\r\n", b"18446744073709551616", b"-1", b"+1", b"websocket"),
    ),
)
