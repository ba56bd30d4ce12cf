"""What every runtime promises, run on each implementation."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from phlows_cli.model import Outcome
from tests.contract.kinds import (
    PATIENCE,
    PROCESSES,
    WORKERS,
    nobody,
    oneshot,
    only,
    told,
    url,
)
from tests.runtime.apps import Printed, gone, hook, running_in_group

pytestmark = pytest.mark.usefixtures("loop_factory")


async def test_arguments_reach_the_app_exactly(make):
    runtime, printed = make(), Printed()
    event = hook(token='"\u00e9\n', socket="-h", data=json.dumps([["echo", "x y $(z)"]]))
    result = await runtime.call(event, printed)
    assert result.is_accepted
    expected = ["ws::receive", event.host, event.token, event.socket, event.data]
    assert [json.loads(line) for line in printed.lines] == [expected]
    await runtime.stop()


async def test_lines_come_in_order_and_as_they_are_printed(make, gate):
    runtime, printed = make(), Printed()
    event = told(["print", "one"], ["print", "two"], ["wait", gate.path], ["print", "three"])
    call = asyncio.create_task(runtime.call(event, printed))
    assert await printed.until(2) == [b"one", b"two"]
    assert not call.done()
    gate.let_one_pass()
    assert (await call).is_accepted
    assert printed.lines == [b"one", b"two", b"three"]
    await runtime.stop()


async def test_calls_awaited_one_by_one_run_in_order(make):
    runtime, printed = make(), Printed()
    for number in range(4):
        assert (await runtime.call(told(["print", str(number)]), printed)).is_accepted
    assert printed.lines == [b"0", b"1", b"2", b"3"]
    await runtime.stop()


async def test_calls_of_different_sockets_run_side_by_side(make, gate):
    runtime = make()
    held = Printed()
    event = told(["print", "held"], ["wait", gate.path])
    first = asyncio.create_task(runtime.call(event, held))
    await held.until(1)
    assert (await runtime.call(told(["print", "{}"]), nobody)).is_accepted
    assert not first.done()
    gate.let_one_pass()
    assert (await first).is_accepted
    await runtime.stop()


@pytest.mark.parametrize("name", ["connect", "auth"])
async def test_true_accepts_and_false_refuses(make, name):
    runtime = make()
    yes = await runtime.call(told(["print", "true"], name=name), nobody)
    no = await runtime.call(told(["print", "false"], name=name), nobody)
    assert (yes.outcome, yes.reason) == (Outcome.ACCEPTED, "")
    assert no.outcome is Outcome.REFUSED
    await runtime.stop()


@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
async def test_an_app_that_fails_is_a_failure_with_its_reason(make, name):
    runtime = make()
    result = await runtime.call(told(["exit", 3], name=name), nobody)
    assert result.outcome is Outcome.FAILED
    assert result.started
    assert "3" in result.reason
    await runtime.stop()


@only(*PROCESSES)
@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
async def test_an_app_that_crashes_is_a_failure(make, name):
    runtime = make()
    event = told(["print", "true"], ["kill", signal.SIGKILL], name=name)
    result = await runtime.call(event, nobody)
    assert result.outcome is Outcome.FAILED
    assert "SIGKILL" in result.reason
    await runtime.stop()


async def test_no_output_accepts_everywhere_but_in_auth(make):
    runtime = make()
    outcomes = {
        name: (await runtime.call(told(name=name), nobody)).outcome
        for name in ("connect", "auth", "receive", "close")
    }
    assert outcomes.pop("auth") is Outcome.FAILED
    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    await runtime.stop()


async def test_an_exit_inside_auth_lets_nobody_in(make):
    runtime = make()
    event = told(["exit", 0], ["print", "true"], name="auth")
    assert (await runtime.call(event, nobody)).outcome is Outcome.FAILED
    await runtime.stop()


@only(oneshot, url)
async def test_an_exit_inside_receive_keeps_what_was_printed(make):
    runtime, printed = make(), Printed()
    event = told(["print", '{"a":1}'], ["exit", 0], ["print", "{}"])
    assert (await runtime.call(event, printed)).is_accepted
    assert printed.lines == [b'{"a":1}']
    await runtime.stop()


@only(*WORKERS)
async def test_a_worker_that_exits_inside_receive_fails_it_and_the_next_event_is_served(make):
    runtime, printed = make(), Printed()
    event = told(["print", '{"a":1}'], ["exit", 0], ["print", "{}"])
    result = await runtime.call(event, printed)
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert result.reason == "the worker ended: exit code 0"
    assert printed.lines == [b'{"a":1}']
    assert (await runtime.call(told(["print", "[]"]), printed)).is_accepted
    await runtime.stop()


async def test_empty_lines_are_handed_on_and_do_no_harm(make):
    runtime, printed = make(), Printed()
    event = told(["print", ""], ["print", "[]"], ["print", ""])
    assert (await runtime.call(event, printed)).is_accepted
    assert [line for line in printed.lines if line] == [b"[]"]
    await runtime.stop()


@only(*WORKERS)
async def test_bytes_that_are_no_frame_cost_the_worker_its_job_and_its_life(make):
    logged, printed = [], Printed()
    runtime = make(logged=lambda event, line: logged.append((event, line)))
    event = told(["print", "{}"], ["write", '{"a":"\xff\xfe"}\n'], ["hang", None])
    result = await runtime.call(event, printed)
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert result.reason == "the worker printed a line that is not of the protocol"
    assert printed.lines == [b"{}"]
    assert logged == [(event, 'out of the protocol: {"a":"\ufffd\ufffd"}')]
    assert (await runtime.call(told(["print", "[]"]), printed)).is_accepted
    await runtime.stop()


@only(oneshot, url)
async def test_bytes_that_are_not_utf8_come_as_they_are(make):
    runtime, printed = make(), Printed()
    result = await runtime.call(told(["write", '{"a":"\xff\xfe"}\n']), printed)
    assert result.is_accepted
    assert printed.lines == [b'{"a":"\xff\xfe"}']
    await runtime.stop()


async def test_output_over_the_limit_is_dropped_and_counted(make):
    runtime, printed = make(output=4000), Printed()
    result = await runtime.call(told(["fill", 1 << 20]), printed)
    assert result.is_accepted
    assert [len(line) for line in printed.lines] == [1023, 1023, 1023]
    assert result.dropped == (1 << 20) - 3 * 1024
    assert result.output_limit == 4000
    await runtime.stop()


@only(oneshot, url)
async def test_auth_with_output_over_the_limit_lets_nobody_in(make):
    runtime = make(output=4000)
    event = told(["fill", 8192], ["print", "true"], name="auth")
    result = await runtime.call(event, nobody)
    assert result.outcome is Outcome.FAILED
    assert "limits.output" in result.reason
    await runtime.stop()


async def test_a_hook_that_hangs_times_out_and_keeps_what_it_printed(make):
    runtime, printed = make(timeout=PATIENCE), Printed()
    result = await runtime.call(told(["print", "{}"], ["hang", None]), printed)
    assert result.outcome is Outcome.TIMEOUT
    assert result.started
    assert "timeout" in result.reason
    assert printed.lines == [b"{}"]
    await runtime.stop()


async def test_auth_that_says_true_and_hangs_lets_nobody_in(make):
    runtime, printed = make(timeout=PATIENCE), Printed()
    result = await runtime.call(told(["print", "true"], ["hang", None], name="auth"), printed)
    assert result.outcome is Outcome.TIMEOUT
    assert printed.lines == [b"true"]
    await runtime.stop()


@only(*PROCESSES)
@pytest.mark.parametrize("ending", ["timeout", "cancel", "stop"])
async def test_a_hook_that_is_ended_takes_its_deaf_grandchildren_along(make, ending):
    runtime = make(timeout=PATIENCE if ending == "timeout" else 20.0)
    printed = Printed()
    event = told(["deaf", None], ["spawn", 2], ["hang", None])
    call = asyncio.create_task(runtime.call(event, printed))
    children = [int(line) for line in await printed.until(2)]
    (group,) = {os.getpgid(child) for child in children}
    if ending == "cancel":
        call.cancel()
    elif ending == "stop":
        await runtime.stop()
    (result,) = await asyncio.gather(call, return_exceptions=True)
    for child in children:
        await gone(child)
    assert running_in_group(group) == []
    assert ending == "cancel" or not result.is_accepted
    await runtime.stop()


@only(*PROCESSES)
async def test_cancelling_kills_the_hook_and_frees_its_place(make):
    runtime, printed = make(concurrency=1), Printed()
    call = asyncio.create_task(runtime.call(told(["spawn", 1], ["hang", None]), printed))
    (child,) = await printed.until(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gone(int(child))
    assert (runtime.busy, runtime.queued) == (0, 0)
    assert (await runtime.call(told(), nobody)).is_accepted
    await runtime.stop()


async def test_an_event_that_waits_starts_when_a_place_is_free(make, gate):
    runtime, printed = make(concurrency=1), Printed()
    hold = told(["print", "first"], ["wait", gate.path])
    first = asyncio.create_task(runtime.call(hold, printed))
    await printed.until(1)
    second = asyncio.create_task(runtime.call(told(["print", "second"]), printed))
    await asyncio.sleep(0)
    assert (runtime.busy, runtime.queued) == (1, 1)
    gate.let_one_pass()
    assert (await first).is_accepted
    assert (await second).is_accepted
    assert printed.lines == [b"first", b"second"]
    await runtime.stop()


async def test_a_full_queue_refuses_all_events_but_close(make, gate):
    runtime, printed = make(concurrency=1, queue=1), Printed()
    hold = told(["print", "first"], ["wait", gate.path])
    first = asyncio.create_task(runtime.call(hold, printed))
    await printed.until(1)
    assert not runtime.is_full()
    waiting = asyncio.create_task(runtime.call(told(), nobody))
    await asyncio.sleep(0)
    assert runtime.is_full()
    close = asyncio.create_task(runtime.call(told(name="close"), nobody))
    for name in ("connect", "auth", "receive"):
        refused = await runtime.call(told(name=name), nobody)
        assert (refused.outcome, refused.started) == (Outcome.OVERLOADED, False)
        assert "limits.queue" in refused.reason
    gate.let_one_pass()
    results = await asyncio.gather(first, waiting, close)
    assert [result.outcome for result in results] == [Outcome.ACCEPTED] * 3
    assert not runtime.is_full()
    await runtime.stop()


async def test_an_event_waits_no_longer_than_the_timeout_but_close_does(make, gate):
    slow = make(concurrency=1, timeout=PATIENCE)
    first = asyncio.create_task(slow.call(told(["deaf", None], ["hang", None]), nobody))
    await asyncio.sleep(0)
    close = asyncio.create_task(slow.call(told(name="close"), nobody))
    waiting = asyncio.create_task(slow.call(told(), nobody))
    await asyncio.sleep(0)
    refused = await waiting
    assert (refused.outcome, refused.started) == (Outcome.OVERLOADED, False)
    assert "concurrency" in refused.reason
    assert (await first).outcome is Outcome.TIMEOUT
    assert (await close).is_accepted
    await slow.stop()


async def test_stopping_ends_what_runs_and_refuses_what_waits_and_comes(make):
    runtime, printed = make(concurrency=1), Printed()
    running = asyncio.create_task(runtime.call(told(["print", "x"], ["hang", None]), printed))
    await printed.until(1)
    waiting = asyncio.create_task(runtime.call(told(name="close"), nobody))
    await asyncio.sleep(0)
    await runtime.stop()
    ran, waited = await asyncio.gather(running, waiting)
    late = await runtime.call(told(), nobody)
    assert (ran.outcome, ran.started) == (Outcome.FAILED, True)
    assert (waited.outcome, waited.started) == (Outcome.OVERLOADED, False)
    assert (late.outcome, late.started) == (Outcome.OVERLOADED, False)


async def test_retiring_waits_for_what_runs_and_what_waits(make, gate):
    runtime, printed = make(concurrency=1), Printed()
    hold = told(["print", "first"], ["wait", gate.path])
    running = asyncio.create_task(runtime.call(hold, printed))
    await printed.until(1)
    waiting = asyncio.create_task(runtime.call(told(["print", "second"]), printed))
    await asyncio.sleep(0)
    retiring = asyncio.create_task(runtime.retire())
    await asyncio.sleep(0)
    assert not retiring.done()
    gate.let_one_pass()
    results = await asyncio.gather(running, waiting)
    await retiring
    assert [result.outcome for result in results] == [Outcome.ACCEPTED] * 2
    assert printed.lines == [b"first", b"second"]
    late = await runtime.call(told(), nobody)
    assert (late.outcome, late.started) == (Outcome.OVERLOADED, False)


async def test_retiring_ends_at_once_when_nothing_runs_or_what_runs_is_stopped(make):
    await make().retire()
    runtime, printed = make(), Printed()
    running = asyncio.create_task(runtime.call(told(["print", "x"], ["hang", None]), printed))
    await printed.until(1)
    retiring = asyncio.create_task(runtime.retire())
    await asyncio.sleep(0)
    await runtime.stop()
    await retiring
    assert (await running).outcome is Outcome.FAILED


async def test_stopping_twice_or_before_any_call_is_harmless(make):
    runtime = make()
    await runtime.stop()
    await runtime.stop()
    assert (runtime.busy, runtime.queued) == (0, 0)


@only(*PROCESSES)
async def test_stderr_is_logged_with_the_hook_that_wrote_it(make):
    logged = []
    runtime = make(logged=lambda event, line: logged.append((event, line)))
    event = told(["fill", 1024])
    assert (await runtime.call(event, nobody)).is_accepted
    assert logged == [(event, "filling")]
    await runtime.stop()


async def test_fifty_calls_at_once_leave_no_process_of_theirs(make):
    runtime = make(concurrency=4)
    printed = Printed()
    results = await asyncio.gather(
        *(runtime.call(told(["print", "{}"], socket=f"{i:016x}"), printed) for i in range(50))
    )
    assert all(result.is_accepted for result in results)
    assert printed.lines == [b"{}"] * 50
    await runtime.stop()
