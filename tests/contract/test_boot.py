"""Workers that do not boot, or boot late."""

from __future__ import annotations

import asyncio
import json
import logging
import signal

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime import backoff
from tests.contract.kinds import PATIENCE, WORKERS, nobody, only, resident, told
from tests.runtime.apps import Printed, running_in_group

pytestmark = pytest.mark.usefixtures("loop_factory")


def booting(*steps):
    """The environment of an app that does these steps before it is ready."""
    return {"BOOT": json.dumps(steps)}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_PAUSE", 0.05)


@pytest.fixture
def said(caplog):
    """What the log says of boots: (message, fields)."""
    caplog.set_level(logging.INFO, "phlows.workers")

    def said():
        return [record for record in caplog.records if record.name == "phlows.workers"]

    return said


@only(*WORKERS)
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (["exit", 3], "the worker ended: exit code 3"),
        (["kill", signal.SIGKILL], "the worker ended: killed by SIGKILL"),
        (["write", '{"t":"fatal","message":"secret"}\n'], "the app said that it cannot boot"),
        (
            ["write", '{"id":"a1","t":"done","result":true}\n'],
            "the worker printed a line that is not of the protocol",
        ),
    ],
)
async def test_events_of_an_app_that_crashes_at_boot_fail_with_its_reason(make, step, reason):
    runtime = make(env=booting(step, ["hang", None]))
    result = await runtime.call(told(name="auth"), nobody)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason == f"the app does not boot: {reason}"
    assert runtime.problem == reason
    await runtime.stop()
    assert runtime.workers() == []


@only(*WORKERS)
async def test_a_boot_that_takes_longer_than_the_timeout_is_ended(make):
    runtime = make(env=booting(["deaf", None], ["hang", None]), timeout=PATIENCE)
    result = await runtime.call(told(), nobody)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert f"it was not ready within {PATIENCE:g} s (hosts." in result.reason
    assert result.reason == f"the app does not boot: {runtime.problem}"
    await runtime.stop()
    assert runtime.workers() == []


@only(resident)
async def test_one_line_is_logged_when_boots_fail_and_one_when_they_work_again(
    make, said, tmp_path
):
    flag = tmp_path / "there"
    runtime = make(env=booting(["write", "to stdout\n"], ["need", str(flag)]))
    for _ in range(5):
        results = await asyncio.gather(*(runtime.call(told(), nobody) for _ in range(4)))
        assert {(it.outcome, it.started) for it in results} == {(Outcome.FAILED, False)}
    (line,) = said()
    assert (line.getMessage(), line.host) == ("app does not boot", "app.example.com")
    assert line.reason == runtime.problem == "the worker ended: exit code 4"
    flag.touch()
    assert (await runtime.call(told(name="close"), nobody)).is_accepted
    assert runtime.problem == ""
    assert [it.getMessage() for it in said()] == ["app does not boot", "app boots again"]
    await runtime.stop()


@only(resident)
async def test_a_close_hook_waits_for_an_app_that_is_being_deployed(make, tmp_path):
    flag = tmp_path / "there"
    runtime, printed = make(env=booting(["need", str(flag)])), Printed()
    close = asyncio.create_task(runtime.call(told(["print", "late"], name="close"), printed))
    for _ in range(3):
        result = await runtime.call(told(["print", "never"]), printed)
        assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert not close.done()
    flag.touch()
    assert (await close).is_accepted
    assert printed.lines == [b"late"]
    await runtime.stop()


@only(resident)
async def test_a_close_hook_gives_up_after_the_timeout(make):
    runtime = make(env=booting(["exit", 3]), timeout=PATIENCE)
    result = await runtime.call(told(name="close"), nobody)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason == "the app does not boot: the worker ended: exit code 3"
    assert (runtime.busy, runtime.queued) == (0, 0)
    await runtime.stop()


@only(*WORKERS)
async def test_stopping_ends_a_boot_and_who_waits_for_it(make):
    printed = Printed()
    runtime = make(
        env=booting(["deaf", None], ["write", "here\n"], ["hang", None]),
        logged=lambda _event, line: printed(line),
    )
    call = asyncio.create_task(runtime.call(told(), nobody))
    assert (await printed.until(1))[0] == "here"
    groups = [worker.pid for worker in runtime.workers()]
    assert {worker.state for worker in runtime.workers()} == {"booting"}
    await runtime.stop()
    result = await call
    assert (result.outcome, result.started) == (Outcome.OVERLOADED, False)
    assert [running_in_group(group) for group in groups] == [[] for _ in groups]


@only(*WORKERS)
async def test_text_before_ready_is_logged_and_skipped(make):
    logged, printed = [], Printed()
    steps = ["write", "Warning: caf\xe9\n\n"], ["print", "{}"]
    runtime = make(env=booting(*steps), logged=lambda event, line: logged.append((event, line)))
    assert (await runtime.call(told(["print", "{}"]), printed)).is_accepted
    assert printed.lines == [b"{}"]
    lines = [line for event, line in logged if event.name == "boot"]
    assert "Warning: caf\ufffd" in lines
    assert "{}" in lines
    await runtime.stop()
