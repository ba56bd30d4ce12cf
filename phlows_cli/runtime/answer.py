"""What an app's output and exit mean. No I/O.

Source: docs/protocol.md, "What an answer means".
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from phlows_cli.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL_LENGTH: Final = 16
"""Bytes of an output's end that are kept: more than the longest answer."""

VALUES_LIMIT: Final = 1024
"""JSON values on one line; more are an accident, and would stall the loop."""

_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_BLANKS: Final = b" \t\r\n"
_OPENINGS: Final = frozenset(b"{[")
_STARTS: Final = frozenset(b'{["-0123456789tfn')
# A string without a closing quote runs to the end of the line: no byte is looked at twice.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"?'
_MARK: Final = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_SCALAR: Final = re.compile(
    _STRING + rb"|true|false|null|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?", re.DOTALL
)


class Answer(NamedTuple):
    """One output line: what of it may be sent, or why nothing may.

    `sendable` holds JSON objects and arrays exactly as they were printed;
    `ignored` is "" unless the line is text that no client may see.
    """

    sendable: list[bytes]
    ignored: str = ""


class _NotValuesError(Exception):
    """A line holds something besides JSON values; the text says what."""


def outcome_of(hook_name: str, exit_code: int, tail: bytes, truncated: bool) -> tuple[Outcome, str]:
    """Tell what a one-shot process answered, and why it was not a yes.

    Args:
        hook_name: connect, auth, receive or close.
        exit_code: the process's; negative for the signal that ended it.
        tail: the end of everything it printed, dropped bytes included.
        truncated: whether output over the limit was dropped.
    """
    answers = hook_name in ("connect", "auth")
    # "an echo without newline glues to the result": the end decides, not the whole output
    if answers and tail.rstrip().endswith(b"false"):
        return Outcome.REFUSED, "the app answered false"
    if exit_code:
        return Outcome.FAILED, describe_exit(exit_code)
    if hook_name == "auth":
        return _auth_outcome(tail, truncated)
    return Outcome.ACCEPTED, ""


def _auth_outcome(tail: bytes, truncated: bool) -> tuple[Outcome, str]:
    """Only an explicit true lets anyone in; all else is a failure."""
    if truncated:
        return Outcome.FAILED, "auth printed more than limits.output allows"
    if tail.rstrip().endswith(b"true"):
        return Outcome.ACCEPTED, ""
    return Outcome.FAILED, "auth printed neither true nor false at its end"


def outcome_of_result(hook_name: str, result: bytes) -> tuple[Outcome, str]:
    """Tell what a resident worker's result means.

    Args:
        hook_name: connect, auth, receive, close, or call.
        result: JSON; b"" when it was longer than limits.output.
    """
    if hook_name in ("connect", "auth") and result == b"false":
        return Outcome.REFUSED, "the app answered false"
    if hook_name == "auth" and result != b"true":
        return Outcome.FAILED, "auth answered neither true nor false"
    return Outcome.ACCEPTED, ""


def describe_exit(exit_code: int) -> str:
    """Put an exit code into words: "exit code 3", "killed by SIGSEGV"."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def values_in(line: bytes) -> Answer:
    """Take one output line apart: `{"a":1}true` is an object and a result.

    A line that holds anything but JSON values is ignored whole: the array in
    `[404] secret.php` was never meant for a client.
    """
    text = line.strip(_BLANKS)
    if not text:
        return Answer([])
    if text[0] not in _STARTS:
        return Answer([], "not JSON")
    try:
        return Answer(_sendable_in(text))
    except _NotValuesError as error:
        return Answer([], str(error))


def _sendable_in(text: bytes) -> list[bytes]:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _NotValuesError("not UTF-8") from None
    if _is_json(text):
        return [text] if text[0] in _OPENINGS else []
    return [value for value in _split(text) if value[0] in _OPENINGS]


def _is_json(text: bytes) -> bool:
    """Whether the text is exactly one JSON value."""
    try:
        _RAW.decode(text)
    except msgspec.DecodeError:
        return False
    except RecursionError:  # about 1,000 levels, and not a DecodeError
        raise _NotValuesError("nested too deep") from None
    return True


def _split(text: bytes) -> list[bytes]:
    """Cut a line of several values into these."""
    values: list[bytes] = []
    position = 0
    while position < len(text):
        end = _value_end(text, position)
        value = text[position:end]
        if not _is_json(value):
            raise _NotValuesError("not JSON")
        if len(values) == VALUES_LIMIT:
            raise _NotValuesError(f"more than {VALUES_LIMIT} values on one line")
        values.append(value)
        position = _skip_blanks(text, end)
    return values


def _value_end(text: bytes, start: int) -> int:
    """Where the value that begins here ends."""
    if text[start] in _OPENINGS:
        return _container_end(text, start)
    scalar = _SCALAR.match(text, start)
    if scalar is None:
        raise _NotValuesError("not JSON")
    return scalar.end()


def _container_end(text: bytes, start: int) -> int:
    """Where the brackets that open here are all closed again."""
    depth = 0
    for mark in _MARK.finditer(text, start):
        first = text[mark.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        if not depth:
            return mark.end()
    raise _NotValuesError("not JSON")


def _skip_blanks(text: bytes, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


class LastLine:
    """Hands lines on, and keeps the last: of a task it is the result."""

    __slots__ = ("_line", "_on_line")

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._line = b""

    def __call__(self, line: bytes) -> None:
        """Take a line that is not blank for the last one."""
        self._line = line if line.strip() else self._line
        self._on_line(line)

    @property
    def result(self) -> bytes:
        """The last line, if it is one JSON value; else b""."""
        try:
            self._line.decode()
            return self._line if _is_json(self._line) else b""
        except (UnicodeDecodeError, _NotValuesError):
            return b""


class LineSplitter:
    """Chunks of one process's stdout in, whole lines out, up to a limit.

    From the line that crosses `limit` bytes on, output is dropped and counted in
    `dropped`: half a line could read as something its app never said.
    `tail` is the end of all output, with trailing blanks cut to one newline.
    """

    __slots__ = ("_line", "_taken", "dropped", "limit", "tail")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line = bytearray()
        self._taken = 0
        self.dropped = 0
        self.tail = b""

    @property
    def is_truncated(self) -> bool:
        """Whether the app printed more than the limit."""
        return self.dropped > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take what was read; return the lines it completes, without newline."""
        self._remember(chunk)
        taken = chunk[: self.limit - self._taken]
        self._taken += len(taken)
        *lines, rest = taken.split(b"\n")
        if lines:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        self._line += rest
        if len(taken) < len(chunk):
            self.dropped += len(chunk) - len(taken) + len(self._line)
            self._line.clear()
        return lines

    def finish(self) -> list[bytes]:
        """Return the last line, if the output did not end with a newline."""
        line = bytes(self._line)
        self._line.clear()
        return [line] if line else []

    def _remember(self, chunk: bytes) -> None:
        text = chunk.rstrip()
        if text:
            self.tail = (self.tail + text[-TAIL_LENGTH:])[-TAIL_LENGTH:]
        if len(text) < len(chunk):
            self.tail = self.tail.rstrip() + b"\n"
