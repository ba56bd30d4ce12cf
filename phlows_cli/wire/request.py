"""HTTP/1.1 requests: bytes in, whole requests out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from phlows_cli.errors import RequestError
from phlows_cli.wire.head import (
    ALLOW,
    CHUNKED,
    body_length,
    check_host,
    check_unfinished,
    check_upgrade,
    keeps_alive,
    method_start,
    read_headers,
    read_version,
    split_target,
    tokens,
    without_upgrade,
)

HEAD_LIMIT: Final = 16384
"""Bytes of a head: eight times what browsers send with large cookies."""

HEADER_COUNT: Final = 100

KNOWN_HEADS: Final = 256
KNOWN_HEAD_LIMIT: Final = 1024
KNOWN_BODY_LIMIT: Final = 1024
"""Heads that are remembered, and how long they and their bodies may be.

A body this short passes any bridge.body_limit.
"""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_HEAD_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Request:
    """A whole request: an upgrade, or a call of the bridge.

    `target` is as sent; `path` is not percent-decoded, `query` is (the last
    of a name wins). `headers` have lower-case names and latin-1 values; those
    in `repeated` came more than once. An upgrade has no body. Requests with one
    head may share `query` and `headers`: they are not to be changed.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    repeated: frozenset[str] = frozenset()
    version: str = "1.1"
    body: bytes = b""
    keep_alive: bool = True
    is_upgrade: bool = False


class _Collector:
    """What the parser calls: it keeps and counts, and decides nothing."""

    __slots__ = ("body", "headers", "is_complete", "size", "target")

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Forget the last message."""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.size = 0
        self.is_complete = False

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, data: bytes) -> None:
        self.body.append(data)
        self.size += len(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


class _State(Enum):
    OPEN = auto()
    UPGRADED = auto()  # what follows is frames
    ENDED = auto()  # an error, or the client's last request


class _KnownHead(NamedTuple):
    """A head that was read before: what it said, and how long its body is."""

    request: Request
    length: int

    def again(self, body: bytes) -> Request:
        """Make the request of the same head with another body."""
        seen = self.request
        return Request(
            seen.method,
            seen.target,
            seen.path,
            seen.query,
            seen.headers,
            seen.repeated,
            seen.version,
            body,
        )


_known_heads: dict[bytes, _KnownHead] = {}
"""The heads of late, the oldest first: an app's casts differ in their bodies only."""


def _remember(head: bytes, request: Request, length: int) -> None:
    """Keep what a plain head said; to read it again would give the same."""
    is_plain = request.keep_alive and length != CHUNKED and "expect" not in request.headers
    if is_plain and len(head) <= KNOWN_HEAD_LIMIT and length <= KNOWN_BODY_LIMIT:
        if head not in _known_heads and len(_known_heads) >= KNOWN_HEADS:
            del _known_heads[next(iter(_known_heads))]
        _known_heads[head] = _KnownHead(request, length)


class RequestReader:
    """Bytes in, whole requests out, in the order they came.

    A head reaches the parser only when it is whole: its size is exact, however
    it was cut, and it can be parsed again. A trailer never becomes a header.

    Args:
        head_limit: bytes of request line and headers, the blank line included.
        header_count: header lines in a request.
        body_limit: bytes of a body (bridge.body_limit).
    """

    __slots__ = (
        "_body_limit",
        "_checked",
        "_collector",
        "_framing",
        "_head_limit",
        "_header_count",
        "_held",
        "_is_usual",
        "_parser",
        "_remaining",
        "_request",
        "_requests",
        "_state",
        "_wants_continue",
    )

    def __init__(
        self,
        *,
        head_limit: int = HEAD_LIMIT,
        header_count: int = HEADER_COUNT,
        body_limit: int,
    ) -> None:
        self._head_limit = head_limit
        self._header_count = header_count
        self._body_limit = body_limit
        limits = (head_limit, header_count, min(body_limit, KNOWN_BODY_LIMIT))
        self._is_usual = limits == (HEAD_LIMIT, HEADER_COUNT, KNOWN_BODY_LIMIT)
        self._collector = _Collector()
        self._parser = HttpRequestParser(self._collector)
        self._state = _State.OPEN
        self._held = b""  # an unfinished head, a chunk's end, or early frames
        self._checked = 0  # bytes of an unfinished head
        self._request: Request | None = None  # its body is not whole yet
        self._remaining = 0
        self._framing = 0
        self._requests: list[Request] = []
        self._wants_continue = False

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client.

        Requests that were whole before an error are kept: answer them first.
        After an error, an upgrade or a last request nothing more is parsed.

        Raises:
            RequestError: once, with the status to answer before closing.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        try:
            self._parse(data)
        except RequestError:
            self._state = _State.ENDED
            self._held = b""
            self._request = None
            raise

    def requests_received(self) -> list[Request]:
        """The requests that became whole since the last call."""
        requests, self._requests = self._requests, []
        return requests

    def data_to_send(self) -> bytes:
        """What makes a client send the body it announced: once, or nothing.

        It goes out after the answers to the requests before it.
        """
        if not self._wants_continue:
            return b""
        self._wants_continue = False
        return CONTINUE

    def leftover(self) -> bytes:
        """The bytes that followed an upgrade's head, handed out once."""
        if self._state is not _State.UPGRADED:
            return b""
        held, self._held = self._held, b""
        return held

    @property
    def is_idle(self) -> bool:
        """Whether a close here cuts no head and no body in two."""
        return self._request is None and not self._held

    def _parse(self, data: bytes) -> None:
        position = 0
        if self._request is None and self._is_usual and self._state is _State.OPEN:
            position = self._repeat(data)
        while position < len(data) and self._state is _State.OPEN:
            if self._request is None:
                position = self._read_head(data, position)
            elif self._remaining == CHUNKED:
                position = self._read_chunks(data, position)
            else:
                position = self._read_body(data, position)
        if self._state is _State.UPGRADED:
            self._held = data[position:]

    def _read_head(self, data: bytes, position: int) -> int:
        """Begin a request; an unfinished head is held."""
        if not 65 <= data[position] <= 90:  # A-Z: a method
            position = method_start(data, position)
        end = data.find(_HEAD_END, position) + 4
        if end == 3 or end - position > self._head_limit:
            self._held = data[position:]
            if self._held:
                check_unfinished(self._held, self._head_limit, self._checked)
            self._checked = len(self._held)
            return len(data)
        self._checked = 0
        self._begin(data[position:end])
        return end

    def _repeat(self, data: bytes) -> int:
        """Take the requests whose heads were read before, and whose bodies are whole.

        The parser sees nothing of them: it is between two messages, and stays so.
        """
        position, end = 0, data.find(_HEAD_END) + 4
        while (known := _known_heads.get(data[position:end])) is not None:
            after = end + known.length
            if after > len(data):
                break
            self._requests.append(known.again(data[end:after]))
            self._checked = 0
            position, end = after, data.find(_HEAD_END, after) + 4
        return position

    def _begin(self, head: bytes) -> None:
        """Make a request of a whole head, and see what follows it."""
        version = read_version(head)
        switches = self._parse_head(head)
        method = self._parser.get_method().decode()
        if method == "CONNECT":
            raise RequestError("method CONNECT is not supported", 405, ALLOW)
        request = self._make_request(method, version)
        if switches:
            if "websocket" in tokens(request.headers["upgrade"]):
                self._switch(request)
                return
            self._parser = HttpRequestParser(self._collector)
            self._parse_head(without_upgrade(head))
        self._expect_body(request)
        if self._is_usual:
            _remember(head, request, self._remaining)

    def _parse_head(self, head: bytes) -> bool:
        """Feed a head; true when the parser sees an upgrade after it."""
        self._collector.start()
        try:
            self._feed(head)
        except HttpParserUpgrade:
            return True
        return False

    def _make_request(self, method: str, version: str) -> Request:
        collected = self._collector
        if len(collected.headers) > self._header_count:
            count = len(collected.headers)
            raise RequestError(f"{count} header lines exceed {self._header_count}", 431)
        headers, repeated = read_headers(collected.headers)
        check_host(headers, repeated, version)
        target = collected.target.decode("latin-1")
        path, query, authority = split_target(target)
        if authority:
            headers["host"] = authority
        keep_alive = keeps_alive(headers, version)
        return Request(method, target, path, query, headers, repeated, version, b"", keep_alive)

    def _switch(self, request: Request) -> None:
        check_upgrade(request.headers, request.version)
        request.is_upgrade = True
        self._requests.append(request)
        self._state = _State.UPGRADED

    def _expect_body(self, request: Request) -> None:
        headers = request.headers
        self._remaining = body_length(headers, request.version, self._body_limit)
        self._framing = 0
        self._request = request
        if not self._remaining:
            self._finish(request)
        elif request.version == "1.1" and headers.get("expect", "").lower() == "100-continue":
            self._wants_continue = True

    def _read_body(self, data: bytes, position: int) -> int:
        """Take what there is of a body whose length is known."""
        piece = data[position : position + self._remaining]
        self._feed_body(piece)
        self._remaining -= len(piece)
        return position + len(piece)

    def _read_chunks(self, data: bytes, position: int) -> int:
        """Take chunks up to the next blank line.

        The parser cannot stop where a message ends, but a chunked one always
        ends with a blank line: fed up to each, it never sees the next request.
        Three bytes that may begin one are held.
        """
        end = data.find(_HEAD_END, position) + 4
        if end == 3:
            end = max(position, len(data) - 3)
            self._held = data[end:]
        self._feed_body(data[position:end])
        return end if not self._held else len(data)

    def _feed_body(self, piece: bytes) -> None:
        collected = self._collector
        size = collected.size
        self._wants_continue = False
        self._feed(piece)
        if collected.size > self._body_limit:
            raise RequestError(
                f"chunked body exceeds {self._body_limit} bytes (bridge.body_limit)", 413
            )
        # What came in one piece with a body's bytes goes uncounted: it is held
        # nowhere but in that piece.
        self._framing = 0 if collected.size > size else self._framing + len(piece)
        if self._framing > self._head_limit:
            raise RequestError(f"chunk framing or trailers exceed {self._head_limit} bytes", 431)
        if collected.is_complete and self._request is not None:
            self._request.body = b"".join(collected.body)
            self._finish(self._request)

    def _finish(self, request: Request) -> None:
        self._requests.append(request)
        self._request = None
        if not request.keep_alive:
            self._state = _State.ENDED

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserInvalidMethodError:
            raise RequestError("method is not known", 501) from None
        except HttpParserError as error:
            raise RequestError(f"malformed request: {error}") from None
