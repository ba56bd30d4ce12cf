from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import STOPS
from tests.contract.kinds import KINDS
from tests.runtime.apps import APPS, settings
from tests.runtime.conftest import (  # noqa: F401 - fixtures
    _without_garbage,
    gate,
    leaves_nothing_behind,
)


@pytest.fixture(scope="session")
def served():
    """The URL of an app that all tests share: it keeps nothing between two events."""
    command = [sys.executable, str(APPS / "behaving_url.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as program:
        yield program.stdout.readline().strip()
        program.stdin.close()
        program.wait()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def make(request, served):
    """Makes a runtime whose app does as each event tells it."""
    stops = request.node.stash.setdefault(STOPS, [])

    def make(*, logged=lambda _hook, _line: None, slots=8, queue=100, output=1 << 20, **more):
        shared = settings(slots=slots, queue=queue, output=output)
        made = request.param(logged, more, shared, served)
        stops.append(made.stop)
        return made

    return make
