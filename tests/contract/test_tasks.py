"""Calls of an app's own making, and what every runtime brings back of them."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import Outcome
from tests.contract.kinds import WORKERS, nobody, oneshot, only, task, told, url
from tests.runtime.apps import Printed

pytestmark = pytest.mark.usefixtures("loop_factory")

PARAMETERS = ("-x \u00e9\n", 5, 0.5, None, True, {"a": [1, "\u2713"]})


@only(*WORKERS, url)
async def test_parameters_reach_the_app_as_the_values_they_are(make):
    runtime, event = make(), task(["echo", None], parameters=PARAMETERS)
    result = await runtime.call(event, nobody)
    assert result.is_accepted
    assert json.loads(result.result) == ["tasks::run", *event.parameters]
    await runtime.stop()


@only(oneshot)
async def test_parameters_reach_a_command_line_as_text(make):
    runtime, event = make(), task(["echo", None], parameters=PARAMETERS)
    result = await runtime.call(event, nobody)
    target, steps, text, *values = json.loads(result.result)
    assert (target, steps, text) == ("tasks::run", event.parameters[0], PARAMETERS[0])
    assert [json.loads(value) for value in values] == list(PARAMETERS[1:])
    await runtime.stop()


async def test_the_lines_of_a_task_are_handed_on_and_its_result_is_kept(make):
    runtime, printed = make(), Printed()
    result = await runtime.call(task(["print", "on"], ["print", '{"a":1}']), printed)
    assert (result.outcome, json.loads(result.result)) == (Outcome.ACCEPTED, {"a": 1})
    assert printed.lines == [b"on", b'{"a":1}']
    await runtime.stop()


async def test_false_is_a_result_and_no_refusal(make):
    runtime = make()
    result = await runtime.call(task(["print", "false"]), nobody)
    assert (result.outcome, result.result) == (Outcome.ACCEPTED, b"false")
    await runtime.stop()


async def test_a_task_that_fails_has_no_result_and_its_lines(make):
    runtime, printed = make(), Printed()
    result = await runtime.call(task(["print", "{}"], ["exit", 3]), printed)
    assert (result.outcome, result.started, result.result) == (Outcome.FAILED, True, b"")
    assert result.reason
    assert printed.lines == [b"{}"]
    await runtime.stop()


async def test_the_result_of_a_hook_is_not_kept(make):
    runtime, printed = make(), Printed()
    result = await runtime.call(told(["print", '{"a":1}']), printed)
    assert (result.outcome, result.result) == (Outcome.ACCEPTED, b"")
    assert printed.lines == [b'{"a":1}']
    await runtime.stop()


async def test_a_result_over_the_limit_is_dropped_and_counted(make):
    runtime, printed = make(output=4000), Printed()
    result = await runtime.call(task(["print", "[1]"], ["text", 1 << 16]), printed)
    assert (result.outcome, result.result) == (Outcome.ACCEPTED, b"")
    assert result.dropped > 1 << 16
    assert printed.lines == [b"[1]"]
    await runtime.stop()
