"""Builders for the tests of runtimes: hosts, settings, hooks, small apps."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from phlows_cli.config import Interpreters
from phlows_cli.model import Hook, Host
from phlows_cli.runtime.runtime import RuntimeSettings
from phlows_cli.runtime.slots import Slots

APPS = Path(__file__).parent.parent / "apps"
FAULTS = APPS / "faults"
URL = "http://127.0.0.1:3001"
NAME = "app.example.com"
PHP = shutil.which("php-zts") or shutil.which("php") or ""
PIDFD_OPEN = os.pidfd_open
"""Kept for the tests themselves while they take it from the code."""


def script(path: Path, body: str, mode: int = 0o755) -> str:
    """Write a shell script that may be executed; return its path."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return str(path)


def host(app, **settings):
    return Host(NAME, str(app), **{"timeout": 20.0, **settings})


def settings(*, slots=8, queue=100, output=1 << 20, php=PHP, url=URL):
    return RuntimeSettings(Interpreters(php, sys.executable), queue, output, url, Slots(slots))


def hook(name="receive", *, token="t", socket="0123456789abcdef", data="{}"):
    return Hook(name, NAME, token, socket, data if name == "receive" else None)


@dataclass
class Printed:
    """Collects lines as an app prints them; a test can wait for the next."""

    lines: list[bytes] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, line: bytes) -> None:
        self.lines.append(line)
        self._changed.set()

    async def until(self, count: int) -> list[bytes]:
        """Wait until there are so many lines."""
        while len(self.lines) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.lines


class Gate:
    """A fifo that holds an app back until the test lets it go on."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        # for reading as well, so that neither side's open waits for the other
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def let_one_pass(self) -> None:
        os.write(self._fd, b"\n")

    def close(self) -> None:
        os.close(self._fd)


def running_in_group(group: int) -> list[int]:
    """The processes of a group that are not dead, from the system's table."""
    alive = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        state, its_group = fields[0], int(fields[2])
        if its_group == group and state not in "ZX":
            alive.append(int(folder.name))
    return alive


async def gone(pid: int) -> None:
    """Wait until a process that is not ours to reap has ended."""
    try:
        fd = PIDFD_OPEN(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
