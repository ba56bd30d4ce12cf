"""The disk: where the key and the journal are kept, and what is in them."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Final

from phlows_cli.cli.doctor.check import Case, Check, Result, fail, ok, skip, warn

GROUP: Final = "System"

LOW_SPACE: Final = 100 * 1024 * 1024
NO_SPACE: Final = 8 * 1024 * 1024
SLOW_FSYNC: Final = 0.1
ROUNDS: Final = 3
NETWORK: Final = ("nfs", "cifs", "smb", "9p", "ceph", "gluster", "sshfs", "afs", "lustre")
COPY_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of a journal that is looked into; a bigger one is only named."""


def existing(path: Path) -> Path:
    """Find the folder, or the nearest one above that there is."""
    return next(place for place in (path, *path.absolute().parents) if _is_there(place))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _state_dir(case: Case, _subject: str) -> Result:
    folder = case.config.server.state_dir
    place = existing(folder)
    hint = f"`chown` {place} to the broker's user, or set server.state_dir to another place"
    if not place.is_dir():
        return fail(f"{place} is not a folder", "set server.state_dir to another place")
    if not os.access(place, os.W_OK | os.X_OK):
        other = place.stat().st_uid
        if place == folder and other != os.geteuid():
            seen = f"{place} belongs to another user ({other}), who may be the broker's"
            return warn(seen, f"`sudo -u '#{other}' phlows doctor` sees what that user may do")
        return fail(f"{place} cannot be written by this user", hint)
    try:
        is_read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError as error:
        return fail(f"{place}: {error.strerror}", hint)
    if is_read_only:
        return fail(f"{place} is on a read-only file system", "set server.state_dir elsewhere")
    return ok(f"{folder} can be written" if place == folder else f"{folder} can be made in {place}")


def _space(case: Case, _subject: str) -> Result:
    place = existing(case.config.server.state_dir)
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    seen = f"{free / 2**20:,.0f} MiB free at {place}"
    hint = f"free some: `df -h {place}`, `du -xh {place} | sort -h | tail`"
    if free < NO_SPACE:
        return fail(seen, hint)
    if found.f_files and found.f_favail < 1000:
        return warn(f"{seen}, but only {found.f_favail} inodes", f"remove files: `df -i {place}`")
    return warn(seen, hint) if free < LOW_SPACE else ok(seen)


def _fsync(case: Case, _subject: str) -> Result:
    place = existing(case.config.server.state_dir)
    if not os.access(place, os.W_OK | os.X_OK):
        return skip(f"{place} cannot be written (see state-dir)")
    try:
        middle = _time_to_sync(place)
    except OSError as error:
        return skip(f"{place} takes no file: {error.strerror} (see state-dir and disk-space)")
    seen = f"{middle * 1000:.1f} ms to bring 4 KiB to the disk"
    if middle < SLOW_FSYNC:
        return ok(seen)
    return warn(seen, "the disk is slow or busy: put server.state_dir on a local one")


def _time_to_sync(place: Path) -> float:
    """Write and sync a few times; the seconds of the middle one."""
    took = []
    # A file without a name, where the system has such: nothing is left behind.
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(ROUNDS):
            began = time.monotonic()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.monotonic() - began)
    return sorted(took)[ROUNDS // 2]


def _file_system(case: Case, _subject: str) -> Result:
    place = existing(case.config.server.state_dir).resolve()
    kind = _kind_of(place, case.proc / "self/mountinfo")
    if not kind:
        return skip("this system does not tell what file system it is (no /proc)")
    seen = f"{place} is on {kind}"
    if not any(name in kind for name in NETWORK):
        return ok(seen)
    hint = "set server.state_dir to a local disk"
    if case.config.server.journal == "sqlite":
        return fail(f"{seen}, on which the journal's write-ahead log does not work", hint)
    return warn(f"{seen}: locks and modes may not hold there", hint)


def _kind_of(place: Path, mounts: Path) -> str:
    """Name the type of the file system that a folder is on; "" where none tells."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        mount = fields[4].replace("\\040", " ")
        if place.is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, after.split()[0]
    return kind


def _journal(case: Case, _subject: str) -> Result:
    server = case.config.server
    if server.journal == "memory":
        return ok(
            'in memory: after a crash no close hook is made up for (server.journal = "memory")'
        )
    path = server.state_dir / f"journal-{server.port}.db"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return ok(f"{path} will be made at the first start")
    except OSError as error:
        return fail(f"{path}: {error.strerror}", "run this as the broker's user, or mend its mode")
    if not os.access(path, os.R_OK):
        return skip(f"{path} is the broker's alone: run this as its user to look into it")
    if size > COPY_LIMIT:
        return warn(f"{path} has {size} bytes", "see what is owed: `phlows orphans`")
    return _owed(path)


def _owed(path: Path) -> Result:
    """Count in a copy, since reading a write-ahead log writes beside it."""
    import shutil
    import sqlite3
    from contextlib import closing

    with tempfile.TemporaryDirectory(prefix="phlows-doctor-") as folder:
        copy = Path(folder, path.name)
        try:
            for suffix in ("", "-wal"):
                source = Path(f"{path}{suffix}")
                if source.exists() and source.stat().st_size <= COPY_LIMIT:
                    shutil.copyfile(source, f"{copy}{suffix}")
            with closing(sqlite3.connect(copy)) as database:
                (mode,) = database.execute("PRAGMA journal_mode").fetchone()
                query = "SELECT count(*), coalesce(sum(given_up), 0) FROM sockets"
                count, given_up = database.execute(query).fetchone()
        except (OSError, sqlite3.Error) as error:
            why = f"{path} cannot be used: {error}"
            return fail(why, f"move it away (`mv {path} {path}.bad`): the broker makes a new one")
    seen = f"{path}: {count - given_up} sockets are owed a close hook ({mode})"
    if given_up:
        return warn(f"{seen}, {given_up} were given up", "`phlows orphans` shows them")
    return ok(seen)


CHECKS: Final = (
    Check(GROUP, "state-dir", _state_dir),
    Check(GROUP, "disk-space", _space),
    Check(GROUP, "disk-speed", _fsync),
    Check(GROUP, "file-system", _file_system),
    Check(GROUP, "journal", _journal),
)
