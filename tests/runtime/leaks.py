"""A fixture that fails a test which leaves a descriptor or a child behind."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # opens what later loops share
    runner.run(asyncio.sleep(0))


@pytest.fixture(autouse=True, scope="module")
def _without_garbage():
    """What other files left to the collector, as selectors do, is not to go while we look."""
    gc.collect()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(_without_garbage):
    before = what_is_open()
    yield
    after = what_is_open()
    assert after == before, f"left: {after - before}, gone: {before - after}"


def what_is_open():
    """The descriptors and the children of this process."""
    return set(open_descriptors().items()) | {("child", pid) for pid in children()}


def open_descriptors():
    """What each descriptor of this process is open on."""
    found = {}
    for entry in list(Path("/dev/fd").iterdir()):
        with suppress(OSError):  # the listing's own
            found[int(entry.name)] = str(entry.readlink())
    return found


def children():
    """The processes started from here that run, or ended and were not reaped."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(folder.name))
    return found
