"""What a resident worker prints: frames, and what the lines in them mean.

There is a frame or a Noise for each newline, the same however the bytes come; no
more of a line is held than the limit; what may be sent to a client is JSON.
"""

from __future__ import annotations

import msgspec

from fuzzing.target import Target, pieces, streams
from phlows_cli.model import Outcome
from phlows_cli.runtime.answer import LineSplitter, outcome_of, outcome_of_result, values_in
from phlows_cli.runtime.protocol import SHOWN_BYTES, Done, FrameReader, Line, Noise

LIMIT = 300
HOOKS = ("connect", "auth", "receive", "close", "call")
_json = msgspec.json.Decoder(msgspec.Raw)


def read(parts: list[bytes]) -> list:
    """The frames that the bytes come to."""
    reader, frames = FrameReader(LIMIT), []
    for part in parts:
        frames += reader.receive_data(part)
        assert len(reader._line) <= LIMIT + 1
    return frames


def take_line(line: bytes) -> None:
    """What a printed line gives a client."""
    for value in values_in(line).sendable:
        assert value in line
        assert value[:1] in (b"{", b"[")
        value.decode()
        _json.decode(value)


def take(frame) -> None:
    """Everything that a frame is asked."""
    match frame:
        case Line():
            take_line(frame.data)
        case Done():
            frame.result.decode()
            for hook in HOOKS:
                outcome, reason = outcome_of_result(hook, frame.result)
                assert (outcome is Outcome.ACCEPTED) == (not reason)
        case Noise():
            assert len(frame.text) <= SHOWN_BYTES


def one_shot(parts: list[bytes]) -> None:
    """The same bytes as the output of a process of their own."""
    splitter, lines = LineSplitter(LIMIT), []
    for part in parts:
        lines += splitter.feed(part)
        assert len(splitter._line) <= LIMIT
    lines += splitter.finish()
    assert sum(map(len, lines)) <= LIMIT
    for line in lines:
        take_line(line)
    for hook in HOOKS:
        outcome, reason = outcome_of(hook, 0, splitter.tail, splitter.is_truncated)
        assert (outcome is Outcome.ACCEPTED) == (not reason)


def check(data: bytes) -> None:
    """Hold a worker's output to the rule."""
    stream, parts = pieces(data)
    frames = read(parts)
    assert len(frames) == stream.count(b"\n")
    if len(parts) > 1:
        assert frames == read([stream]), "the same bytes in one piece give another"
    for frame in frames:
        take(frame)
    one_shot(parts)


TARGET = Target(
    "worker",
    check,
    streams(
        b'{"t":"ready"}\n{"id":"a1","t":"line","data":"{\\"a\\":1}true"}\n',
        b'{"id":"a1","t":"done","result":true}\n{"id":"a2","t":"done","result":{"b":[1]}}\r\n',
        b'{"id":"a1","t":"error","message":"no","last":true}\n{"t":"fatal","message":"no"}\n',
        b'{"id":"a1","t":"line","data":"' + b"x" * LIMIT + b'"}\nWarning: x\n\n{}[]"a" 1 false\n',
    ),
    (
        *(b'{"id":"a1","t":"line","data":"', b'{"id":"', b'"t":"done"', b'"result":', b'"last":'),
        *(
            b"\n",
            b"\r\n",
            b"\\n",
            b'"',
            b'\\"',
            b"\\\\",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\\u",
        ),
        *(
            b"\\ud800",
            b"\\ud83d\\ude00",
            b"\xff",
            b"\xc3\xa9",
            b"\0",
            b"1e999",
            b"-",
            b"true",
            b"{}",
        ),
        *(b"false", b"null", b"x" * 300, b"[" * 100, b"NaN", b'"}\n', b"ready", b"fatal", b"error"),
    ),
)
