from __future__ import annotations

import pytest

from tests.app.working import Worker


@pytest.fixture
def worker(tmp_path):
    """Boot a worker of an app: worker(code), whose frame "ready" has been read."""
    started = []

    def boot(code, env=None):
        one = Worker(tmp_path, code, env)
        started.append(one)
        assert one.frame() == {"t": "ready", "env": True}, one.stderr
        return one

    yield boot
    for one in started:
        one.close()
