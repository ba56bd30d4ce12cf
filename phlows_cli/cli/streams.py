"""Standard streams that are closed, full or gone; imported where that matters."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


def fill_closed() -> None:
    """Take the place of streams that were closed before we began.

    Their numbers would go to the next sockets. What is written to stdout fails,
    as it should; what is written to stderr has nobody to be told.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)  # sys.stdin stays None: that says it is closed
    if sys.stdout is None:
        sys.stdout = _open(os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = _open(os.O_WRONLY)


def _open(flags: int) -> TextIO:
    return os.fdopen(os.open(os.devnull, flags), "w", encoding="utf-8")


def is_of_output(error: OSError) -> bool:
    """Tell whether the error came from printing, and from nothing else."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is click.echo.__code__:
            return True
        trace = trace.tb_next
    return False


@contextmanager
def for_a_reader() -> Iterator[None]:
    """Print a stream to who may have seen enough of it: to leave is no failure."""
    try:
        yield
    except BrokenPipeError as error:
        if not is_of_output(error):
            raise
        settle()


def why(error: OSError) -> str:
    """Say why stdout takes nothing."""
    if error.errno == errno.EBADF:
        return "it is closed"
    return str(error.strerror or error)


def settle() -> None:
    """Drop what cannot be written, which Python would try again at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError), open(os.devnull, "wb") as nothing:  # noqa: PTH123 - no path of ours
                os.dup2(nothing.fileno(), stream.fileno())


class Forgiving:
    """A log's stream, whose full disk does not end the one who logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the stream's own
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it for the next time."""
        with suppress(OSError):
            self._stream.flush()
