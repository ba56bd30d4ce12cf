"""A Phlo engine's phlo_serve, read as the broker reads it, with what the engine gets wrong."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import Outcome, Task
from phlows_cli.runtime.answer import values_in
from tests.runtime.apps import NAME, Printed, hook
from tests.runtime.phlo import YES, app_at, told

pytestmark = [pytest.mark.php, pytest.mark.usefixtures("loop_factory")]

COUNT = told(["calls", 0])
"""Prints how many calls its worker has had, with this one."""


async def after(*events, env=None):
    """What became of events, one after the other, in at most one worker at a time."""
    results = []
    async with app_at(runtime="resident", concurrency=1, env=env) as (runtime, log):
        for event in events:
            printed = Printed()
            result = await runtime.call(event, printed)
            sent = [value for line in printed.lines for value in values_in(line).sendable]
            results.append((result, sent))
    return results, log


def task(target, *args):
    return Task(NAME, target, args)


async def test_one_worker_answers_one_event_after_another():
    results, log = await after(COUNT, COUNT, COUNT)
    assert [sent for _, sent in results] == [[b'{"calls":%d}' % n] for n in (1, 2, 3)]
    assert log == []


async def test_printed_values_are_sent_and_blank_lines_and_text_are_not():
    event = told(["print", r'{"a":"\/"}'], ["print", ""], ["print", "three"], ["write", "[2]"], YES)
    ((result, sent), _), _ = await after(event, COUNT)
    assert (result.outcome, sent) == (Outcome.ACCEPTED, [rb'{"a":"\/"}', b"[2]"])


@pytest.mark.parametrize("name", ["receive", "close"])
async def test_a_hook_without_a_return_value_is_done_with_false_and_that_is_normal(name):
    ((result, sent),), log = await after(told(name=name))
    assert (result.outcome, sent, log) == (Outcome.ACCEPTED, [], [])


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (["warn", 0], "Undefined variable $missing"),
        (["throw", "no"], "no"),
        (["error", ["no", 120]], "no"),
    ],
)
async def test_a_failure_fails_its_event_is_logged_and_the_worker_lives_on(step, words):
    ((result, sent), (_, next_sent)), log = await after(told(["print", "[1]"], step), COUNT)
    assert (log, words in result.reason) == ([words], False)
    assert (result.outcome, sent) == (Outcome.FAILED, [b"[1]"])
    assert next_sent == [b'{"calls":2}']


@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
@pytest.mark.parametrize("step", [["die", "true"], ["exit", 0], ["exit", 3], ["memory", 0]])
async def test_an_exit_fails_its_event_and_the_next_has_a_new_worker(name, step):
    ((result, sent), (next_, next_sent)), _ = await after(told(step, name=name), COUNT)
    assert (result.outcome, result.started, sent) == (Outcome.FAILED, True, [])
    assert (next_.outcome, next_sent) == (Outcome.ACCEPTED, [b'{"calls":1}'])


async def test_a_result_that_is_not_utf8_fails_its_call_and_no_other():
    ((result, _), (next_, sent)), _ = await after(
        task("tasks::run", [["return_bytes", "ff"]]), COUNT
    )
    assert (result.outcome, result.result) == (Outcome.FAILED, b"")
    assert next_.outcome is Outcome.ACCEPTED
    assert len(sent) == 1


async def test_a_line_that_is_not_utf8_fails_its_event_and_no_other():
    ((result, sent), (next_, next_sent)), _ = await after(told(["bytes", "5bff5d0a"]), COUNT)
    assert (result.outcome, sent) == (Outcome.FAILED, [])
    assert next_.outcome is Outcome.ACCEPTED
    assert len(next_sent) == 1


@pytest.mark.parametrize("message", ["3", "null", "{", '{"wsHost":1}'])
async def test_a_message_that_cannot_be_spread_fails_and_the_worker_lives_on(message):
    ((result, _), (_, sent)), _ = await after(hook(token="[]", data=message), COUNT)
    assert (result.outcome, sent) == (Outcome.FAILED, [b'{"calls":1}'])


async def test_a_boot_that_fails_fails_the_event_which_never_started():
    ((result, _),), log = await after(told(YES, name="auth"), env={"ENGINE_BOOT": "error"})
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert json.loads(log[0])["error"] == "the database is not there"


async def test_a_warning_before_ready_is_logged_and_skipped():
    results, log = await after(told(YES, name="auth"), COUNT, env={"ENGINE_BOOT": "warning"})
    assert [result.outcome for result, _ in results] == [Outcome.ACCEPTED] * 2
    assert any("apcu" in line for line in log)


async def test_a_call_of_another_target_has_its_result_as_json():
    ((result, _),), _ = await after(task("tasks::sum", 3, 4.5))
    assert (result.outcome, json.loads(result.result)) == (
        Outcome.ACCEPTED,
        {"sum": 7.5, "of": [3, 4.5]},
    )
