"""The process groups that run, in a file that outlives the broker.

A record is a process id and when it started, in a fixed slot of a mapped
file: noting one costs no system call, and what was written is there after a
kill -9. Linux only; elsewhere nothing is noted.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from phlows_cli.errors import ConfigError

if TYPE_CHECKING:
    import signal

MAGIC: Final = b"phlows-groups-1\n"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
SLOTS: Final = 16_384
"""Groups that can be noted at once: more than there may be processes."""

TICKS: Final = os.sysconf("SC_CLK_TCK")
SLACK: Final = 2.0
"""Seconds between the start of a process and its record, at most."""

_RECORD: Final = struct.Struct("<Id")
_HEAD: Final = 64
_FREE: Final = b"\0" * _RECORD.size


class Group(NamedTuple):
    """A process group: its id, and seconds since the machine's start."""

    id: int
    started: float


class Groups:
    """Notes the groups of one broker; those it finds are its predecessor's."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is made if missing.

        Raises:
            ConfigError: it cannot be opened.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._map = _mapped(path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; set server.state_dir") from error
        left_behind = self._read()
        if not left_behind:
            self._map[:] = _header().ljust(len(self._map), b"\0")
        self.left_behind = list(left_behind.values())
        self._left_at = list(left_behind)
        self._free = [place for place in self._every_place()[::-1] if place not in left_behind]
        self._places: dict[int, int] = {}

    def add(self, group: int) -> None:
        """Note a group that was just started."""
        if not self._free:
            return
        place = self._places[group] = self._free.pop()
        _RECORD.pack_into(self._map, place, group, _now())

    def discard(self, group: int) -> None:
        """Forget a group whose leader has ended."""
        place = self._places.pop(group, None)
        if place is not None:
            self._clear(place)

    def forget_left_behind(self) -> None:
        """Forget what the last broker left, now that it was ended; not before."""
        for place in self._left_at:
            self._clear(place)
        self._left_at.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def _clear(self, place: int) -> None:
        self._map[place : place + _RECORD.size] = _FREE
        self._free.append(place)

    def _every_place(self) -> range:
        return range(_HEAD, len(self._map) - _RECORD.size, _RECORD.size)

    def _read(self) -> dict[int, Group]:
        """What the last broker noted, by place, if the machine was not started anew since."""
        if self._map[:_HEAD] != _header():
            return {}
        records = {at: Group(*_RECORD.unpack_from(self._map, at)) for at in self._every_place()}
        return {place: record for place, record in records.items() if record.id}


def end_group(group: Group, number: signal.Signals) -> bool:
    """Signal what is left of a group; False when nothing is."""
    if not is_alive(group):
        return False
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group.id, number)
    return True


def is_alive(group: Group) -> bool:
    """Whether a process of it runs.

    The id may be another's by now: the leader must have started when the group
    did; where it is gone, its children are known by our environment.
    """
    leader = _Process.read(group.id)
    if leader is not None and not leader.started_with(group):
        return False
    members = [it for it in map(_Process.read, _ids()) if it is not None and it.group == group.id]
    running = [it for it in members if it.is_running]
    if leader is not None:
        return bool(running)
    return any(_carries_our_environment(it.id) for it in running)


class _Process(NamedTuple):
    id: int
    group: int
    is_running: bool
    started: float

    @classmethod
    def read(cls, pid: int) -> _Process | None:
        """None when there is no such process."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return cls(pid, int(fields[2]), fields[0] not in "ZX", int(fields[19]) / TICKS)

    def started_with(self, group: Group) -> bool:
        """Whether this is the leader that was noted."""
        return self.group == group.id and 0 <= group.started - self.started < SLACK


def _ids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _carries_our_environment(pid: int) -> bool:
    try:
        return b"PHLOWS_HOST=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _mapped(path: Path) -> mmap.mmap:
    size = _HEAD + SLOTS * _RECORD.size
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Room for all of it: writing a page that a full disk has not got would kill us.
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _header() -> bytes:
    """Names the format and this start of the machine."""
    boot = b""
    with suppress(OSError):
        boot = BOOT_ID.read_bytes().strip()
    return (MAGIC + boot).ljust(_HEAD, b"\0")[:_HEAD]


def _now() -> float:
    """Seconds since the machine's start, sleep included, as /proc counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
