"""What workers print out of turn, too long or not at all, and leave unread."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest

from phlows_cli.model import Outcome
from tests.contract.kinds import PATIENCE, WORKERS, nobody, only, resident, told, url
from tests.runtime.apps import Gate, Printed, gone, running_in_group

pytestmark = pytest.mark.usefixtures("loop_factory")

EMPTY_LINE = "the app printed an empty line for a result"


@pytest.fixture
def boot_gate(leaves_nothing_behind, tmp_path):
    gate = Gate(tmp_path / "boot_gate")
    yield gate
    gate.close()


@pytest.mark.parametrize("size", [8000, 1 << 16])
async def test_one_line_over_the_limit_is_dropped_with_what_follows(make, size):
    runtime, printed = make(output=4000), Printed()
    result = await runtime.call(told(["print", "{}"], ["long", size], ["print", "[]"]), printed)
    assert result.is_accepted
    assert printed.lines == [b"{}"]
    assert result.dropped >= size + len("\n[]\n")
    assert (await runtime.call(told(["print", "[1]"]), printed)).dropped == 0
    assert printed.lines == [b"{}", b"[1]"]
    await runtime.stop()


@only(*WORKERS)
async def test_a_long_line_that_is_no_frame_costs_the_worker_its_life(make):
    logged, printed = [], Printed()
    runtime = make(output=4000, logged=lambda _event, line: logged.append(line))
    event = told(["write", "x" * (1 << 17) + "\n"], ["hang", None])
    result = await runtime.call(event, printed)
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert result.reason == "the worker printed a line that is not of the protocol"
    assert logged == ["out of the protocol: " + "x" * 200]
    assert (await runtime.call(told(["print", "[1]"]), printed)).is_accepted
    await runtime.stop()


@only(resident)
async def test_an_empty_line_fails_the_job_in_flight_and_the_worker_lives_on(make):
    runtime, printed = make(), Printed()
    late = '\n{"id":"a1","t":"line","data":"late"}\n'
    event = told(["pid", None], ["write", late], ["print", "later"])
    result = await runtime.call(event, printed)
    assert (result.outcome, result.started, result.reason) == (Outcome.FAILED, True, EMPTY_LINE)
    assert (await runtime.call(told(["pid", None]), printed)).is_accepted
    first, second = printed.lines
    assert first == second
    await runtime.stop()


@only(resident)
async def test_late_frames_of_a_failed_job_are_no_part_of_the_next(make, gate):
    runtime, printed, late = make(concurrency=1), Printed(), Printed()
    event = told(["write", "\n"], ["wait", gate.path], ["print", "late"])
    assert (await runtime.call(event, late)).reason == EMPTY_LINE
    following = asyncio.create_task(runtime.call(told(["print", "[]"], name="auth"), printed))
    await asyncio.sleep(0)
    gate.let_one_pass()
    assert (await following).reason == "auth answered neither true nor false"
    assert (printed.lines, late.lines) == ([b"[]"], [])
    assert [worker.jobs for worker in runtime.workers()] == [2]
    await runtime.stop()


@only(*WORKERS)
@pytest.mark.parametrize("kind", ["line", "done", "error"])
async def test_a_frame_of_a_job_that_never_was_costs_the_worker_its_life(make, kind):
    runtime, printed = make(), Printed()
    forged = json.dumps({"id": "a7", "t": kind, "data": "[]", "result": True, "message": "x"})
    event = told(["write", forged + "\n"], ["hang", None], name="auth")
    result = await runtime.call(event, printed)
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert result.reason == "the worker printed a line that is not of the protocol"
    assert printed.lines == []
    await runtime.stop()


@only(*WORKERS)
async def test_bytes_that_are_not_utf8_are_no_line_of_the_protocol(make):
    runtime, printed = make(), Printed()
    event = told(["write", '{"id":"a1","t":"line","data":"\xff"}\n'], ["hang", None])
    assert (await runtime.call(event, printed)).outcome is Outcome.FAILED
    assert printed.lines == []
    await runtime.stop()


@only(*WORKERS)
async def test_a_message_that_is_never_read_times_out_and_holds_nobody_up(make):
    steps = ["deaf", None], ["write", 'here\n{"t":"ready"}\n'], ["hang", None]
    here = Printed()
    runtime = make(
        env={"BOOT": json.dumps(steps)},
        timeout=PATIENCE,
        logged=lambda _event, line: here(line),
    )
    event = told(["skip", "x" * (1 << 20)])
    calls = [asyncio.create_task(runtime.call(event, nobody)) for _ in range(2)]
    await here.until(2)
    groups = [worker.pid for worker in runtime.workers()]
    assert len(groups) >= 2
    results = await asyncio.gather(*calls)
    assert {(it.outcome, it.started) for it in results} == {(Outcome.TIMEOUT, True)}
    await runtime.stop()
    assert [running_in_group(group) for group in groups] == [[] for _ in groups]


@only(*WORKERS, url)
async def test_a_message_of_a_megabyte_is_read_whole(make):
    runtime, printed = make(), Printed()
    text = "\u2713" * (1 << 18) + "\\ \x00"
    assert (await runtime.call(told(["skip", text], ["size", text]), printed)).is_accepted
    assert printed.lines == [b"%d" % len(text)]
    await runtime.stop()


@only(resident)
async def test_a_worker_that_ends_while_it_is_idle_costs_no_event(make, gate):
    runtime, printed = make(), Printed()
    await runtime.call(told(["pid", None], ["exit_later", gate.path]), printed)
    assert [worker.state for worker in runtime.workers()] == ["idle"]
    gate.let_one_pass()
    await gone(int(printed.lines[0]))
    assert (await runtime.call(told(["pid", None]), printed)).is_accepted
    first, second = printed.lines
    assert first != second
    assert [worker.pid for worker in runtime.workers()] == [int(second)]
    assert runtime.problem == ""
    await runtime.stop()


@only(resident)
async def test_a_boot_that_fails_costs_no_event_while_another_worker_is_at_work(
    make, gate, boot_gate
):
    boot = json.dumps([["write", "here\n"], ["wait", boot_gate.path]])
    seen, printed = Printed(), Printed()
    runtime = make(env={"BOOT": boot}, logged=lambda _event, line: seen(line))
    boot_gate.let_one_pass()
    hold = told(["print", "held"], ["wait", gate.path])
    held = asyncio.create_task(runtime.call(hold, printed))
    await printed.until(1)
    second = asyncio.create_task(runtime.call(told(["print", "second"]), printed))
    await seen.until(2)
    (booting,) = (worker for worker in runtime.workers() if worker.state == "booting")
    os.kill(booting.pid, signal.SIGKILL)
    await gone(booting.pid)
    gate.let_one_pass()
    assert (await held).is_accepted
    boot_gate.let_one_pass()
    assert (await second).is_accepted
    assert printed.lines == [b"held", b"second"]
    await runtime.stop()


@only(resident)
async def test_a_caller_who_leaves_as_the_job_ends_leaves_the_worker_to_the_next(make):
    runtime, last = make(), Printed()
    frames = '{"id":"a1","t":"line","data":"x"}\n{"id":"a1","t":"done","result":null}\n'
    loop = asyncio.get_running_loop()

    def leave(_line):
        loop.call_soon(call.cancel)  # the frame that ends the job is read before that

    call = asyncio.create_task(runtime.call(told(["write", frames], ["hang", None]), leave))
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [worker.state for worker in runtime.workers()] == ["idle"]
    following = asyncio.create_task(runtime.call(told(), last))
    for _ in range(5):  # turns until it has its worker
        await asyncio.sleep(0)
    assert [(worker.state, worker.jobs) for worker in runtime.workers()] == [("busy", 2)]
    await runtime.stop()
    assert (await following).outcome is Outcome.FAILED
