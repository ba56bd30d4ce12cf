"""Starts programs, each in a session of its own, with descriptors 0, 1 and 2.

Whoever starts a program is suspended until it runs: a third of a millisecond,
more on a busy machine or with many descriptors. Python's own ways hold the
interpreter's lock meanwhile, so that a thread would not help; a function of the
C library that is called through ctypes does not.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Final, Protocol, Self, TypeAlias

from phlows_cli.runtime.reaping import collect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Command: TypeAlias = "Sequence[str | bytes]"

_SETSID: Final = 0x80
_SETSIGDEF: Final = 0x04
"""Flags of posix_spawnattr_setflags, alike in glibc and musl."""

_ROOM: Final = 1024
"""Bytes for what only the C library looks into: three times what glibc needs."""

_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and programs do not expect to be ignored."""

_NEEDED: Final = (
    "posix_spawn",
    "posix_spawn_file_actions_addchdir_np",
    "posix_spawn_file_actions_addclosefrom_np",
)


class Child(Protocol):
    """A program that was started. Reaping it is the owner's, who sets `returncode`."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    returncode: int | None


@dataclass(slots=True)
class _Spawned:
    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    returncode: int | None = None


def _library() -> ctypes.CDLL | None:
    """The C library, where it has all that is needed (glibc from 2.34 on)."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if all(hasattr(library, name) for name in _NEEDED) else None


_libc: Final = _library()


def is_for_threads() -> bool:
    """Whether start() lets other threads run while it waits."""
    return _libc is not None


def start(command: Command, folder: str, env: Mapping[str, str], *, has_stdin: bool) -> Child:
    """Start a program; its stdin is a pipe or empty, its output two pipes.

    Raises:
        OSError: it could not be started; nothing is left behind.
        ValueError: a NUL where the system takes none.
    """
    if _libc is None or "/" not in os.fsdecode(command[0]):
        return _start_slowly(command, folder, env, has_stdin=has_stdin)
    arguments = [_as_text(os.fsencode(argument)) for argument in command]
    variables = [_as_text(_variable(*item)) for item in env.items()]
    with _Pipes(has_stdin=has_stdin) as pipes:
        if pipes.lowest < 3:  # the broker's own 0, 1 or 2 is closed: they would be overwritten
            return _start_slowly(command, folder, env, has_stdin=has_stdin)
        pid = _spawn(_libc, arguments, variables, os.fsencode(folder), pipes)
        return pipes.keep(pid)


def end_at_once(child: Child) -> None:
    """Kill a child with its group, reap it and give its pipes back."""
    for file in (child.stdin, child.stdout, child.stderr):
        if file is not None:
            file.close()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.returncode = collect(child.pid, 0)


class _Pipes:
    """The pipes of one child; closed, but for our ends once they are kept."""

    def __init__(self, *, has_stdin: bool) -> None:
        self._open: list[int] = []
        self.stdin = self._pipe() if has_stdin else None
        self.stdout = self._pipe()
        self.stderr = self._pipe()

    def _pipe(self) -> tuple[int, int]:
        try:
            ends = os.pipe()
        except OSError:
            self._close()
            raise
        self._open += ends
        return ends

    @property
    def lowest(self) -> int:
        """The lowest descriptor among them."""
        return min(self._open)

    def keep(self, pid: int) -> Child:
        """Make a child of our ends."""
        ours = {self.stdout[0], self.stderr[0]} | ({self.stdin[1]} if self.stdin else set())
        self._open = [end for end in self._open if end not in ours]
        stdin = io.FileIO(self.stdin[1], "wb") if self.stdin else None
        return _Spawned(pid, stdin, io.FileIO(self.stdout[0]), io.FileIO(self.stderr[0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        for end in self._open:
            os.close(end)
        self._open = []


def _spawn(
    libc: ctypes.CDLL, arguments: list[bytes], variables: list[bytes], folder: bytes, pipes: _Pipes
) -> int:
    """Have the C library do it; returns the process id."""
    actions = ctypes.create_string_buffer(_ROOM)
    _check(libc.posix_spawn_file_actions_init(actions))
    try:
        _describe(libc, actions, folder, pipes)
        pid = ctypes.c_int()
        code = libc.posix_spawn(
            ctypes.byref(pid),
            ctypes.c_char_p(arguments[0]),
            actions,
            _attributes(libc),
            _texts(arguments),
            _texts(variables),
        )
    finally:
        libc.posix_spawn_file_actions_destroy(actions)
    if code:
        missing = arguments[0] if os.path.isdir(folder) else folder  # noqa: PTH112 - bytes
        raise OSError(code, os.strerror(code), os.fsdecode(missing))
    return pid.value


def _describe(
    libc: ctypes.CDLL, actions: ctypes.Array[ctypes.c_char], folder: bytes, pipes: _Pipes
) -> None:
    """Say what the child does before it becomes the program."""
    add: Callable[..., int] = libc.posix_spawn_file_actions_adddup2
    if pipes.stdin is not None:
        _check(add(actions, pipes.stdin[0], 0))
    else:
        _check(
            libc.posix_spawn_file_actions_addopen(actions, 0, os.devnull.encode(), os.O_RDONLY, 0)
        )
    _check(add(actions, pipes.stdout[1], 1))
    _check(add(actions, pipes.stderr[1], 2))
    _check(libc.posix_spawn_file_actions_addclosefrom_np(actions, 3))
    _check(libc.posix_spawn_file_actions_addchdir_np(actions, folder))


_made: list[ctypes.Array[ctypes.c_char]] = []


def _attributes(libc: ctypes.CDLL) -> ctypes.Array[ctypes.c_char]:
    """A session of its own, and no signal ignored that Python ignores; made once."""
    if _made:
        return _made[0]
    attributes, signals = (ctypes.create_string_buffer(_ROOM) for _ in range(2))
    _check(libc.posix_spawnattr_init(attributes))
    _check(libc.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSID | _SETSIGDEF)))
    libc.sigemptyset(signals)
    for number in _IGNORED:
        libc.sigaddset(signals, int(number))
    _check(libc.posix_spawnattr_setsigdefault(attributes, signals))
    _made.append(attributes)
    return attributes


def _texts(items: Sequence[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """Texts as C has them; the first of the NULLs behind them is their end."""
    return _room_for(max(16, 1 << len(items).bit_length()))(*items)


@lru_cache
def _room_for(count: int) -> type[ctypes.Array[ctypes.c_char_p]]:
    """The type of an array; each that is made is left to the garbage collector."""
    return ctypes.c_char_p * count


def _variable(name: str, value: str) -> bytes:
    if not name or "=" in name:
        raise ValueError("illegal environment variable name")
    return os.fsencode(f"{name}={value}")


def _as_text(item: bytes) -> bytes:
    if b"\0" in item:
        raise ValueError("embedded null byte")
    return item


def _check(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _start_slowly(
    command: Command, folder: str, env: Mapping[str, str], *, has_stdin: bool
) -> Child:
    # No preexec_fn: it would rule out vfork. close_fds stays True: with 10,000 descriptors open a
    # start takes 1.2 ms, and 1.1 without it (the kernel copies the table), while one descriptor
    # inherited from whoever started the broker would be enough to break the promise.
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=folder,
        env=env,
        start_new_session=True,
    )
