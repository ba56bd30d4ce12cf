"""The URL app of the contract tests does as it is told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.http import Url
from tests.runtime.apps import APPS, Printed, hook, host, settings

pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture
def app(leaves_nothing_behind):
    command = [sys.executable, str(APPS / "behaving_url.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as program:
        yield program.stdout.readline().strip()
        program.stdin.close()
        program.wait()


def told(*steps, name="receive"):
    text = json.dumps(steps)
    return hook(name, token=text, data=text)


async def call(app, event, **more):
    printed = Printed()
    runtime = Url(host(app, **more), settings())
    try:
        return await runtime.call(event, printed), printed.lines
    finally:
        await runtime.stop()


@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
async def test_what_it_prints_is_the_output(app, name):
    result, lines = await call(app, told(["print", "{}"], ["write", "\xff\ntrue"], name=name))
    assert result.is_accepted
    assert lines == [b"{}", b"\xff", b"true"]


async def test_it_echoes_what_it_was_asked(app):
    event = told(["echo", "x y $(z)"])
    _, (line,) = await call(app, event)
    assert json.loads(line) == ["ws::receive", *event.args()]


@pytest.mark.parametrize(
    ("steps", "outcome", "reason"),
    [
        ([["exit", 0], ["print", "x"]], Outcome.ACCEPTED, ""),
        ([["exit", 3]], Outcome.FAILED, "the app answered 503"),
        ([["print", "x"], ["exit", 3]], Outcome.FAILED, "the connection was reset"),
        ([["kill", 9]], Outcome.FAILED, "the connection was reset"),
        ([["fill", 4096]], Outcome.ACCEPTED, ""),
    ],
)
async def test_it_ends_as_it_is_told(app, steps, outcome, reason):
    result, _ = await call(app, told(*steps))
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_it_waits_and_hangs_as_it_is_told(app, gate):
    runtime, printed = Url(host(app), settings()), Printed()
    steps = ["print", "one"], ["wait", gate.path], ["print", "two"], ["hang", None]
    running = asyncio.create_task(runtime.call(told(*steps), printed))
    assert await printed.until(1) == [b"one"]
    gate.let_one_pass()
    assert await printed.until(2) == [b"one", b"two"]
    await runtime.stop()
    assert (await running).outcome is Outcome.FAILED
