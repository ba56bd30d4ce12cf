"""A worker's two pipes to the broker, kept out of its app's reach."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLACED = "phlows.replaced"
"""How what no UTF-8 can hold is encoded: as U+FFFD."""

encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _replaced(error: UnicodeError) -> tuple[bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "\ufffd".encode() * (error.end - error.start), error.end


codecs.register_error(REPLACED, _replaced)


class Pipes:
    """Jobs in, frames out.

    fd 0 becomes /dev/null and fd 1 becomes stderr, so that neither input() nor
    a child process can eat a job or write between frames. What a worker forks
    is cut off from both pipes.
    """

    def __init__(self) -> None:
        self._jobs = os.fdopen(os.dup(0), "rb")  # a duplicate is not inherited by programs
        self._frames = os.dup(1)
        self._waiting: deque[bytes] = deque()
        self._lock = RLock()
        self._is_writing = False
        self._is_fork = False
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        sys.stdout.flush()  # what the boot printed
        os.register_at_fork(after_in_child=self._cut_off)

    def lines(self) -> Iterator[bytes]:
        """Yield what the broker writes, a line at a time, until it ends."""
        for line in self._jobs:
            yield line
            if self._is_fork:
                return  # a hook forked, and this is the child: the jobs are not its own

    def send(self, frame: str) -> None:
        """Write a frame, whole; threads and signal handlers may do so at once."""
        self._waiting.append(frame.encode("utf-8", REPLACED) + b"\n")
        with self._lock:
            if self._is_writing:
                return  # a signal's handler, in the middle of a frame of this thread
            self._is_writing = True
            while self._waiting:
                self._write(self._waiting.popleft())
            self._is_writing = False

    def _write(self, frame: bytes) -> None:
        left = memoryview(frame)
        try:
            while left:
                left = left[os.write(self._frames, left) :]
        except BaseException as error:  # noqa: BLE001 - a handler's exception may be of any kind
            # nobody knows how much of it is out: no frame after it could be read
            os.write(2, b"phlows: a frame was cut by %s\n" % type(error).__name__.encode())
            os._exit(1)

    def _cut_off(self) -> None:
        self._is_fork = True
        self._lock = RLock()
        self._is_writing = False
        self._waiting.clear()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self._frames, inheritable=False)
        os.dup2(nothing, self._jobs.fileno(), inheritable=False)
        os.close(nothing)


def job_frame(job_id: object, kind: str, **values: Any) -> str:  # noqa: ANN401 - JSON
    """Make a frame of a job; its id and its kind come first."""
    return encode({"id": job_id, "t": kind, **values})
