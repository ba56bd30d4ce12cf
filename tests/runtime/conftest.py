from __future__ import annotations

import pytest

from tests.runtime.apps import Gate, script
from tests.runtime.leaks import (  # noqa: F401 - fixtures for every test
    _without_garbage,
    leaves_nothing_behind,
)


@pytest.fixture
def sh(tmp_path):
    """Writes a shell app of the given body."""

    def write(body, name="app", mode=0o755):
        return script(tmp_path / name, body, mode)

    return write


@pytest.fixture
def gate(leaves_nothing_behind, tmp_path):  # noqa: F811 - closed before it is looked for
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()
