"""HTTP/1.1 answers: bytes in, a head, its body and its end out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from phlows_cli.wire.head import keeps_alive, read_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_LIMIT: Final = 16384
"""Bytes of a head, and of what a chunked body has between two pieces."""

HEADER_COUNT: Final = 100
INTERIM_COUNT: Final = 16
"""Answers of 1xx before the one that counts."""

_HEAD_END: Final = b"\r\n\r\n"
_START: Final = b"HTTP/1."
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)[ \r]")
_NOT_A_HEAD: Final = re.compile(rb"\0|(?<!\r)\n")
_BODILESS: Final = frozenset({204, 304})


class AnswerHead(NamedTuple):
    """Status and headers of an answer; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]


class AnswerEnd(NamedTuple):
    """The answer is whole; `reusable`: the connection takes another request."""

    reusable: bool


class AnswerBroken(NamedTuple):
    """There will be no whole answer; `reason` says why."""

    reason: str


AnswerEvent: TypeAlias = AnswerHead | bytes | AnswerEnd | AnswerBroken


class AnswerReader:
    """Bytes of one answer in, events out: a head, pieces of body, an end.

    Answers of 1xx are skipped. A head reaches the parser only when it is whole,
    so its size is exact however it was cut; a body's bytes are never held.
    After the end, or once the answer is broken, nothing more is read.
    """

    __slots__ = ("_events", "_framing", "_held", "_interim", "_is_over", "_parsed", "_parser")

    def __init__(self) -> None:
        self._events: list[AnswerEvent] = []
        self._held = b""  # an unfinished head
        self._parsed = _Parsed(self._events)
        self._parser: HttpResponseParser | None = None  # once there is a body to read
        self._framing = 0
        self._interim = 0
        self._is_over = False

    def events_received(self) -> list[AnswerEvent]:
        """Return what was read since the last time."""
        events = self._events[:]
        self._events.clear()
        return events

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the server."""
        while data and not self._is_over:
            if self._parser is not None:
                self._read_body(self._parser, data)
                return
            data = self._read_head(self._held + data)

    def receive_eof(self) -> None:
        """Take the end of what the server sends: for some bodies it is theirs."""
        if self._is_over:
            return
        if self._parser is not None and self._parsed.until_close:
            self._end(reusable=False)
        elif self._parser is not None or self._held:
            self._break("the connection ended in the middle of the answer")
        else:
            self._break("the connection ended before an answer")

    def _read_head(self, data: bytes) -> bytes:
        """Hold the head until it is whole; return what follows it."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        is_whole = end >= len(_HEAD_END)
        head = data[:end] if is_whole else data
        reason = _unfit(head)
        if reason:
            self._break(reason)
        elif is_whole:
            self._held = b""
            self._begin(head, has_more=len(data) > end)
            return data[end:]
        else:
            self._held = data
        return b""

    def _begin(self, head: bytes, *, has_more: bool) -> None:
        """Parse a whole head, and make ready for what follows it."""
        line = _STATUS_LINE.match(head)
        if line is None:
            self._break("malformed answer: its first line names no status")
            return
        version, status = f"1.{line[1].decode()}", int(line[2])
        if status == 101:
            self._break("the answer switches protocols")
            return
        parser = HttpResponseParser(self._parsed)
        self._parsed.start()
        try:
            parser.feed_data(head)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._break(f"malformed answer: {error}")
        else:
            self._proceed(parser, status, version, has_more=has_more)

    def _proceed(
        self, parser: HttpResponseParser, status: int, version: str, *, has_more: bool
    ) -> None:
        if status < 200:
            self._skip()
            return
        reason = self._parsed.read(status, version)
        if reason:
            self._break(reason)
            return
        self._events.append(AnswerHead(status, self._parsed.headers))
        if status in _BODILESS or self._parsed.is_complete:
            self._end(reusable=self._parsed.keep_alive and not has_more)
        else:
            self._parser = parser

    def _skip(self) -> None:
        self._interim += 1
        if self._interim > INTERIM_COUNT:
            self._break(f"more than {INTERIM_COUNT} interim answers")

    def _read_body(self, parser: HttpResponseParser, data: bytes) -> None:
        size = self._parsed.size
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._parsed.is_complete:
                self._break(f"malformed answer: {error}")
                return
            self._parsed.has_surplus = True
        self._framing = 0 if self._parsed.size > size else self._framing + len(data)
        if self._parsed.is_complete:
            self._end(reusable=self._parsed.keep_alive and not self._parsed.has_surplus)
        elif self._framing > HEAD_LIMIT:
            self._break(f"chunk framing or trailers exceed {HEAD_LIMIT} bytes")

    def _break(self, reason: str) -> None:
        self._close(AnswerBroken(reason))

    def _end(self, *, reusable: bool) -> None:
        self._close(AnswerEnd(reusable))

    def _close(self, event: AnswerEnd | AnswerBroken) -> None:
        self._events.append(event)
        self._is_over = True
        self._held = b""
        self._parser = None


class _Parsed:
    """What the parser calls: one message's parts, as far as it goes."""

    __slots__ = (
        "_events",
        "_lines",
        "has_surplus",
        "headers",
        "is_complete",
        "keep_alive",
        "size",
        "until_close",
    )

    def __init__(self, events: list[AnswerEvent]) -> None:
        self._events = events
        self.size = 0
        self.start()

    def start(self) -> None:
        """Forget the last message."""
        self._lines: list[tuple[bytes, bytes]] = []
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self.has_surplus = False
        self.keep_alive = False
        self.until_close = False

    def read(self, status: int, version: str) -> str:
        """Understand the head's lines; return what about them is not ours to read."""
        if len(self._lines) > HEADER_COUNT:
            return f"{len(self._lines)} header lines exceed {HEADER_COUNT}"
        self.headers, _ = read_headers(self._lines)
        self.until_close = not self.headers.keys() & {"content-length", "transfer-encoding"}
        self.keep_alive = keeps_alive(self.headers, version) and (
            not self.until_close or status in _BODILESS
        )
        for name, expected in (("transfer-encoding", "chunked"), ("content-encoding", "identity")):
            if self.headers.get(name, expected).lower() != expected:
                return f"{name} other than {expected} is not supported"
        if version == "1.0" and "transfer-encoding" in self.headers:
            return "malformed answer: transfer-encoding in HTTP/1.0"
        return ""

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # a trailer comes this way too, and is left where nobody reads it again
        if not self.headers:
            self._lines.append((name, value))

    def on_body(self, data: bytes) -> None:
        if not self.is_complete:
            self._events.append(data)
            self.size += len(data)

    def on_message_complete(self) -> None:
        self.is_complete = True


def _unfit(head: bytes) -> str:
    """Why these bytes are not, and cannot become, a head; "" when they can."""
    if head[: len(_START)] != _START[: len(head)]:
        return "the answer is not HTTP/1.1"
    if _NOT_A_HEAD.search(head, 0, HEAD_LIMIT):
        return "malformed answer: a bare line feed or NUL in its head"
    if len(head) > HEAD_LIMIT:
        return f"the answer's head exceeds {HEAD_LIMIT} bytes"
    return ""
