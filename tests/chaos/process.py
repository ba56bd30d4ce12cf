"""A broker's process, looked at from outside: /proc is Linux's."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

IS_VISIBLE = Path("/proc/self/fd").exists()


@dataclass(frozen=True)
class Sample:
    """One look: resident bytes, and how many descriptors, threads and children."""

    memory: int
    descriptors: int
    threads: int
    children: int

    @property
    def own_descriptors(self):
        """Those that are not for workers: three pipes, and one to see their end."""
        return self.descriptors - 4 * self.children


def sample(pid):
    folder = Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return Sample(
        memory=int(fields["VmRSS"].split()[0]) * 1024,
        descriptors=sum(1 for _ in (folder / "fd").iterdir()),
        threads=int(fields["Threads"]),
        children=len(children(pid)),
    )


def children(pid):
    """The process ids of a process's children, those that wait to be reaped included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            child = int(stat.parent.name)
            if int(stat_fields(child)[1]) == pid:
                found.append(child)
    return found


def stat_fields(pid):
    """/proc/*/stat from the state on: state, parent, group and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextmanager
def most_children(pid):
    """The most processes that the broker had at a time while this lasted."""
    seen = [0]
    is_over = threading.Event()

    def look():
        while not is_over.wait(0.05):
            seen[0] = max(seen[0], len(children(pid)))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        is_over.set()
        looker.join()


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
