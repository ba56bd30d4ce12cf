"""Where a recording is written: a file for its owner alone, or stdout."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phlows_cli.errors import PhlowsError, UsageError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO, Self

STDOUT: Final = "-"
TAIL: Final = 2 * 1024 * 1024
"""Bytes at a file's end in which its last line begins: a broker's lines are shorter."""


class Sink:
    """Takes whole lines, each at once on its way, up to a size.

    Args:
        path: a file, or "-".
        limit: bytes that it may have.
        appends: whether a recording that stands there goes on.
        forces: whether a file that stands there is written over.
    """

    def __init__(
        self, path: str, limit: int, *, appends: bool = False, forces: bool = False
    ) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        self._appends = appends
        self._forces = forces
        self._file: BinaryIO | None = None

    def check(self) -> None:
        """Look before the broker is asked.

        Raises:
            UsageError: a file is in the way, or is no recording to go on with.
        """
        if self.path == STDOUT or not Path(self.path).exists():
            return
        if self._appends:
            _check_recording(self.path)
        elif not self._forces:
            raise UsageError(
                f"{self.path} exists: add to it with --append, write over it with --force,"
                " or name another file"
            )

    def __enter__(self) -> Self:
        """Open the file; what it held is kept only by an append."""
        if self.path != STDOUT:
            try:
                self._file = self._open()
            except OSError as error:
                raise PhlowsError(f"cannot write {self.path}: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def write(self, line: bytes) -> bool:
        """Write a line, without its end; false when that would be too much.

        Raises:
            PhlowsError: the file takes no more.
        """
        if self.size + len(line) + 1 > self._limit:
            return False
        self.size += len(line) + 1
        if self._file is None:
            click.echo(line)
            return True
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError as error:
            raise PhlowsError(f"cannot write {self.path}: {error.strerror}") from None
        return True

    def _open(self) -> BinaryIO:
        created = os.O_CREAT | (0 if self._appends or self._forces else os.O_EXCL)
        number = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | created, 0o600)
        if stat.S_ISREG(os.fstat(number).st_mode):
            os.fchmod(number, 0o600)
            self.size = _whole_lines(number) if self._appends else 0
            os.ftruncate(number, self.size)
            os.lseek(number, self.size, os.SEEK_SET)
        return os.fdopen(number, "wb")


def _whole_lines(number: int) -> int:
    """Where the last whole line ends: what follows was cut off."""
    size = os.fstat(number).st_size
    start = max(0, size - TAIL)
    os.lseek(number, start, os.SEEK_SET)
    tail = os.read(number, TAIL)
    return start + tail.rfind(b"\n") + 1


def _check_recording(path: str) -> None:
    from phlows_cli.cli.recordings.source import Source

    if Path(path).stat().st_size:
        with Source(path) as source:
            source.head()
