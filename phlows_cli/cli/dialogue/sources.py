"""Where the lines come from that are to be sent: stdin, or nowhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK: Final = 65536
LINE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of one line: the most that limits.max_message can be."""


class Line(NamedTuple):
    """A line, and where it stood, for errors."""

    text: str
    where: str = ""


class Source(Protocol):
    """Gives lines when its number can be read; `is_over` after the last.

    `is_typed` is set where a person types, who is told what is wrong and
    types again; elsewhere it ends everything.
    """

    is_over: bool
    is_typed: bool

    def fileno(self) -> int:
        """What to wait on; not asked once it is over."""

    def lines(self) -> Iterable[Line]:
        """The lines that have come; never waits when its number can be read.

        Raises:
            UsageError: what follows the lines before cannot be read.
        """

    def ready(self) -> None:
        """What was given has been dealt with."""

    def close(self) -> None:
        """Leave everything as it was found."""


class Nothing:
    """No lines: everything to be sent is known already."""

    is_over = True
    is_typed = False

    def fileno(self) -> int:
        """There is nothing to wait on."""
        return -1

    def lines(self) -> list[Line]:
        """None, ever."""
        return []

    def ready(self) -> None:
        """Nothing was given."""

    def close(self) -> None:
        """Nothing was changed."""


class Lines:
    """The lines of a descriptor, as they come."""

    is_typed = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._count = 0
        self.is_over = False

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def lines(self) -> Iterable[Line]:
        """Read once, and take the lines that are whole; blank ones are nothing."""
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise UsageError(f"cannot read stdin: {error.strerror}") from None
        *whole, rest = (self._rest + chunk).split(b"\n")
        if not chunk:
            self.is_over = True
            whole, rest = [*whole, rest], b""
        self._rest = rest
        if len(rest) > LINE_LIMIT:
            raise UsageError(f"line {self._count + 1} of stdin exceeds {LINE_LIMIT} bytes")
        return (line for line in map(self._decoded, whole) if line.text.strip())

    def ready(self) -> None:
        """Nobody waits for that."""

    def close(self) -> None:
        """Nothing was changed."""

    def _decoded(self, line: bytes) -> Line:
        self._count += 1
        where = f"line {self._count} of stdin"
        try:
            return Line(line.removesuffix(b"\r").decode(), where)
        except UnicodeDecodeError:
            raise UsageError(f"{where} is not UTF-8") from None
