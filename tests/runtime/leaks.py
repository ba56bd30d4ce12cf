"""A fixture that fails a test which leaves a descriptor or a child behind."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # opens what later loops share
    runner.run(asyncio.sleep(0))


@pytest.fixture(autouse=True)
def leaves_nothing_behind():
    before = open_descriptors()
    yield
    assert open_descriptors() == before
    assert not has_children()


def open_descriptors():
    """What each descriptor of this process is open on."""
    found = {}
    for entry in list(Path("/dev/fd").iterdir()):
        with suppress(OSError):  # the listing's own
            found[int(entry.name)] = str(entry.readlink())
    return found


def has_children():
    """Whether a child runs, or ended and was not reaped."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return False
    return True
