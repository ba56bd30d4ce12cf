"""A file that is read and written whole, by one writer at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import PhlowsError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for another writer, who needs milliseconds."""

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class FileError(PhlowsError):
    """A file could not be read or written."""


def rewrite(path: Path, change: Callable[[bytes | None], bytes]) -> None:
    """Put what `change` makes of the content in its place, all or nothing.

    Symbolic links are followed; mode, and where permitted owner, are kept.

    Args:
        path: the file; its folder exists.
        change: is given the content, None where there is no file yet. What it
            raises passes through, and nothing is written.

    Raises:
        FileError: reading or writing failed, or someone who takes no lock (an
            editor) wrote meanwhile.
        TimedOutError: another writer held the folder for LOCK_TIMEOUT.
    """
    target = Path(os.path.realpath(path))
    with _reported(path), _locked(target.parent) as folder:
        before = _content(target)
        after = change(before)
        if after != before:
            _replace(target, before, after)
            os.fsync(folder)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The error's own file may be a temporary one, which means nothing to anyone.
        if not path.parent.exists():
            why = f"folder {path.parent} does not exist: make it, or use another --config"
        else:
            why = f"{error.strerror}: use another --config, or another user"
        raise FileError(f"cannot write {path}: {why}") from None


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Hold the folder's lock: a lock file would stay behind beside the file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _lock(descriptor):
            raise TimedOutError(
                f"{folder}: another program has held its lock for {LOCK_TIMEOUT:g} seconds: "
                "see what it is, or try again"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # flock has no time limit of its own. A thread left waiting is harmless:
        # closing the descriptor gives up the lock it may get later.
        waiting = threading.Thread(target=_wait_for_lock, args=(descriptor,), daemon=True)
        waiting.start()
        waiting.join(LOCK_TIMEOUT)
        return not waiting.is_alive()
    return True


def _wait_for_lock(descriptor: int) -> None:
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _content(target: Path) -> bytes | None:
    if target.exists() and not target.is_file():
        raise FileError(f"{target}: is not a file")
    try:
        return target.read_bytes()
    except FileNotFoundError:
        return None


def _replace(target: Path, before: bytes | None, after: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}")
    # Private until it has the mode of the file that it replaces.
    descriptor = os.open(temporary, _FLAGS, 0o666 if before is None else 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            if before is not None:
                _take_over(descriptor, target)
            os.fsync(descriptor)
        _refuse_if_changed(target, before)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _refuse_if_changed(target: Path, before: bytes | None) -> None:
    if _content(target) != before:
        raise FileError(f"{target}: was changed by another program meanwhile: try again")


def _take_over(descriptor: int, target: Path) -> None:
    """Give the new file the old one's owner, where we may, and its mode."""
    old = target.stat()
    for owner in (old.st_uid, -1):
        with suppress(PermissionError):
            os.fchown(descriptor, owner, old.st_gid)
            break
    os.fchmod(descriptor, old.st_mode & 0o7777)
