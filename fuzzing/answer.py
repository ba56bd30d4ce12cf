"""What an app behind a URL answers.

Any bytes come to exactly one end, whole or broken with a reason; the same however
they come; no more of a head is held than its limit.
"""

from __future__ import annotations

from fuzzing.target import Target, pieces, streams
from fuzzing.worker import take_line
from phlows_cli.model import Hook, Outcome, Task
from phlows_cli.runtime.http_answer import HttpAnswer
from phlows_cli.wire.answer_reader import (
    HEAD_LIMIT,
    AnswerBroken,
    AnswerEnd,
    AnswerHead,
    AnswerReader,
)

OUTPUT = 500
EVENTS = (
    *(Hook(name, "a.test", "t", "0" * 16) for name in ("connect", "auth", "close")),
    Task("a.test", "tasks::run"),
)


def read(parts: list[bytes]) -> tuple[list, bytes, object]:
    """The heads, the body and the end that the bytes come to."""
    reader, events = AnswerReader(), []
    for part in parts:
        reader.receive_data(part)
        assert len(reader._held) <= HEAD_LIMIT
        events += reader.events_received()
    reader.receive_eof()
    events += reader.events_received()
    body = b"".join(event for event in events if isinstance(event, bytes))
    rest = [event for event in events if not isinstance(event, bytes)]
    return rest[:-1], body, rest[-1]


def understand(events: list) -> None:
    """What the answer means to each kind of event."""
    for event in EVENTS:
        answer = HttpAnswer(take_line, OUTPUT)
        for part in events:
            if not answer.take(part):
                break
        assert len(answer.output._line) <= OUTPUT
        outcome, reason = answer.outcome(event)
        assert (outcome is Outcome.ACCEPTED) == (not reason), (outcome, reason)
        answer.result(event).decode()


def check(data: bytes) -> None:
    """Hold an answer to the rule."""
    stream, parts = pieces(data)
    heads, body, end = read(parts)
    assert all(isinstance(head, AnswerHead) for head in heads)
    assert len(heads) <= 1
    assert isinstance(end, AnswerEnd) or (isinstance(end, AnswerBroken) and end.reason), end
    if len(parts) > 1:
        other = read([stream])
        assert (heads, body, type(end)) == (*other[:2], type(other[2])), "pieces make a difference"
    understand([*heads, body, end])


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
TARGET = Target(
    "answer",
    check,
    streams(
        OK + b'Content-Length: 13\r\n\r\n{"a":1}\ntrue\n',
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\ntrue\n\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"\r\n[1]\nfalse",
        b"HTTP/1.0 302 Found\r\nLocation: http://u:p@a.test:80/b\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        *(
            b"\r\n",
            b"\r\n\r\n",
            b"\n",
            b"\0",
            b": ",
            b"HTTP/1.1 ",
            b"HTTP/1.0 ",
            b"HTTP/2 ",
            b" 204 ",
        ),
        *(b" 304 ", b" 101 ", b" 100 ", b" 999 ", b"Content-Length: ", b"Transfer-Encoding: "),
        *(b"chunked", b"gzip", b"Content-Encoding: br", b"Connection: close", b"Upgrade: h2c"),
        *(b"Location: ", b"//", b"http://[", b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"-1", b"+1"),
        *(b"true", b"false", b"\xff", b"18446744073709551616", b"Connection: upgrade"),
    ),
)
