"""The lines of a resident worker: bytes in, frames out. No I/O.

Source: docs/protocol.md, "Resident workers". A worker's JSON objects, one a
line, are frames; every other line is a Noise, and what it means depends on
when it comes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.model import Event

WORKER_COMMAND: Final = "phlo_serve"
"""The argument that makes an app a worker."""

SHOWN_BYTES: Final = 4096
"""Bytes of a line that is no frame which are kept, to be logged."""


class Ready(NamedTuple):
    """The worker has booted; with `takes_env` jobs may have an "env"."""

    takes_env: bool = False


class Fatal(NamedTuple):
    """The worker cannot boot."""

    message: str


class Line(NamedTuple):
    """A job has printed; bytes dropped from a line too long are `lost`."""

    id: str
    data: bytes
    lost: int = 0


class Done(NamedTuple):
    """A job has ended; `result` is JSON, b"" when it was too long to keep.

    With `is_last` the worker ends by itself now.
    """

    id: str
    result: bytes
    lost: int = 0
    is_last: bool = False


class Failed(NamedTuple):
    """A job has failed; with `is_last` the worker ends by itself now."""

    id: str
    message: str
    is_last: bool = False


class Noise(NamedTuple):
    """A line that is no frame, cut to SHOWN_BYTES; b"" is an empty line."""

    text: bytes


Frame: TypeAlias = Ready | Fatal | Line | Done | Failed | Noise


class _Object(msgspec.Struct):
    t: str
    id: str = ""
    data: str = ""
    message: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    last: bool = False
    env: bool = False


_decoder: Final = msgspec.json.Decoder(_Object)
_encoder: Final = msgspec.json.Encoder()
_START: Final = re.compile(rb'\{"id":"([^"\\]{1,64})","t":"(line|done|error)"')
"""How a frame begins that is too long to be read whole."""

_NO_FRAME: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)


def job_line(job_id: str, event: Event, hook_class: str, *, takes_env: bool = False) -> bytes:
    """The line that gives a worker a job, newline included.

    Only a worker that said so is told an event's environment: a Phlo engine is
    sent what it knows.

    Lines are asked for as a stream always: without it a Phlo engine lets what
    is printed fall raw between the frames.
    """
    job: dict[str, object] = {
        "id": job_id,
        "target": event.command(hook_class),
        "args": event.values(),
        "stream": True,
    }
    if takes_env and event.env:
        job["env"] = dict(event.env)
    try:
        return _encoder.encode(job) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: as an escape, so that the app says no to it
        return json.dumps(job, separators=(",", ":")).encode() + b"\n"


class FrameReader:
    """What a worker prints in, its frames out.

    Args:
        limit: bytes of a frame that are read; of a longer one only its kind
            and its job are known.
    """

    __slots__ = ("_held", "_limit", "_line")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line = bytearray()
        self._held = 0

    def receive_data(self, chunk: bytes) -> list[Frame]:
        """Take what was read; return the frames that it completes."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        frames = []
        if self._held and lines:
            self._extend(lines[0])
            frames.append(self._finish())
            del lines[0]
        frames += [self._frame_of(line, len(line)) for line in lines]
        if rest:
            self._extend(rest)
        return frames

    def _extend(self, piece: bytes) -> None:
        self._held += len(piece)
        self._line += piece[: self._limit + 1 - len(self._line)]

    def _finish(self) -> Frame:
        line, size = bytes(self._line), self._held
        self._line.clear()
        self._held = 0
        return self._frame_of(line, size)

    def _frame_of(self, line: bytes, size: int) -> Frame:
        if size <= self._limit:
            return _frame(line)
        return _long_frame(line[: self._limit + 1], size)  # as when it came in pieces


def _frame(line: bytes) -> Frame:
    """Read a whole line."""
    text = line.removesuffix(b"\r")
    try:
        frame = _decoder.decode(text)
        return _kinds[frame.t](frame)
    except (*_NO_FRAME, KeyError):
        return Noise(text[:SHOWN_BYTES])


def _long_frame(start: bytes, size: int) -> Frame:
    """Make what can be made of a frame whose end was dropped."""
    match = _START.match(start)
    if match is None:
        return Noise(start[:SHOWN_BYTES])
    job_id, kind = match[1].decode("latin-1"), match[2]
    if kind == b"line":
        return Line(job_id, b"", size)
    if kind == b"done":
        return Done(job_id, b"", size)
    return Failed(job_id, "")


def _checked(result: bytes) -> bytes:
    """A result as it came, if it is UTF-8, which nobody has looked at yet."""
    result.decode()
    return result


_kinds: Final[dict[str, Callable[[_Object], Frame]]] = {
    "ready": lambda frame: Ready(frame.env),
    "fatal": lambda frame: Fatal(frame.message),
    "line": lambda frame: Line(frame.id, frame.data.encode()),
    "done": lambda frame: Done(frame.id, _checked(bytes(frame.result)), 0, frame.last),
    "error": lambda frame: Failed(frame.id, frame.message, frame.last),
}
