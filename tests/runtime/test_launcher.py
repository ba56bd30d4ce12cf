"""Starts wait in threads, or take turns; nobody who leaves keeps a process."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from phlows_cli.model import Hook, Outcome
from phlows_cli.runtime import spawn
from phlows_cli.runtime.launcher import Launcher
from phlows_cli.runtime.runtime import runtime_for
from tests.builders import make_host
from tests.runtime.apps import gone, settings

pytestmark = pytest.mark.usefixtures("loop_factory")

SLEEP = ["/bin/sh", "-c", "exec sleep 300"]


class Held:
    """Holds every start until it is let go; knows what was started."""

    def __init__(self, monkeypatch):
        self.reached = threading.Event()
        self.children = []
        self._may_go = threading.Event()
        self._start = spawn.start
        monkeypatch.setattr(spawn, "start", self._hold)

    def _hold(self, *args, **kwargs):
        self.reached.set()
        assert self._may_go.wait(20)
        self.children.append(self._start(*args, **kwargs))
        return self.children[-1]

    async def reach(self):
        assert await asyncio.to_thread(self.reached.wait, 20)

    def let_go(self):
        self._may_go.set()


@pytest.fixture
def held(leaves_nothing_behind, monkeypatch):
    """Starts that wait until they are let go."""
    if not spawn.is_for_threads():
        pytest.skip("starts hold the loop here: glibc 2.34 is needed")
    held = Held(monkeypatch)
    yield held
    held.let_go()


async def test_the_loop_goes_on_while_a_program_is_started(held, tmp_path):
    launcher = Launcher()
    starting = asyncio.ensure_future(launcher.start(SLEEP, str(tmp_path), {}, patience=20))
    await held.reach()
    assert not starting.done()
    held.let_go()
    spawn.end_at_once(await starting)


async def test_who_is_cancelled_meanwhile_leaves_no_process(held, tmp_path):
    launcher = Launcher()
    starting = asyncio.ensure_future(launcher.start(SLEEP, str(tmp_path), {}, patience=20))
    await held.reach()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    held.let_go()
    await asyncio.to_thread(launcher._threads.shutdown)
    (child,) = held.children
    assert child.returncode == -signal.SIGKILL


async def test_a_failed_start_is_told(held, tmp_path):
    held.let_go()
    with pytest.raises(FileNotFoundError):
        await Launcher().start(["/nowhere/app"], str(tmp_path), {}, patience=20)


@pytest.mark.parametrize("runtime", ["oneshot", "resident"])
async def test_a_runtime_that_is_stopped_meanwhile_ends_what_was_started(held, sh, runtime):
    host = make_host(app=str(sh("exec sleep 300")), runtime=runtime)
    pool = runtime_for(host, settings(), lambda *_: None)
    call = asyncio.ensure_future(pool.call(Hook("receive", host.name, "", "a", "{}"), print))
    await held.reach()
    stopping = asyncio.ensure_future(pool.stop())
    await asyncio.sleep(0)
    held.let_go()
    await stopping
    result = await call
    assert result.outcome is (Outcome.FAILED if runtime == "oneshot" else Outcome.OVERLOADED)
    assert "stopping" in result.reason
    for child in held.children:
        await gone(child.pid)


async def test_a_start_that_the_system_holds_up_fails_in_time_and_leaves_no_process(held, sh):
    host = make_host(app=sh("exec sleep 300"), timeout=0.2)
    shared = settings(slots=1)
    runtime = runtime_for(host, shared, lambda *_: None)
    result = await runtime.call(Hook("receive", host.name, "", "a", "{}"), print)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason.endswith("the system did not start it within 0.2 s")
    assert shared.slots.free == 1
    held.let_go()
    await runtime.stop()
    await asyncio.to_thread(shared.launcher._threads.shutdown)
    assert [child.returncode for child in held.children] == [-signal.SIGKILL]
