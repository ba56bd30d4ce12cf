"""The minute tick, by a clock in the test's hand."""

from __future__ import annotations

import pytest

from phlows_cli.broker.minutes import Minutes
from tests.builders import HOST, Stage, make_host
from tests.fakes import FakeClock, ScriptedRuntime, turns


@pytest.fixture
def clock():
    return FakeClock(6000.0 - 1)  # a second before a minute


@pytest.fixture
def stage():
    return Stage(tick="tasks::run")


@pytest.fixture
def minutes(stage, clock):
    return Minutes(stage.broker, clock)


async def passes(minutes, clock, seconds):
    for _ in range(seconds):
        clock.advance(1)
        minutes.look()
        await turns(3)


def ticks(runtime):
    return [(call.hook.host, call.hook.target) for call in runtime.calls]


async def test_a_tick_runs_at_each_turn_of_the_minute_and_not_between(stage, minutes, clock):
    stage.runtime.automatic.add("call")
    minutes.look()
    await turns()
    assert ticks(stage.runtime) == []
    await passes(minutes, clock, 1)
    assert ticks(stage.runtime) == [(HOST, "tasks::run")]
    await passes(minutes, clock, 59)
    assert len(ticks(stage.runtime)) == 1
    await passes(minutes, clock, 1)
    assert len(ticks(stage.runtime)) == 2
    assert stage.broker.drops.totals == {}


async def test_a_broker_that_begins_in_a_minute_waits_for_the_next(stage, clock):
    clock.now = 6030.0
    minutes = Minutes(stage.broker, clock)
    await passes(minutes, clock, 29)
    assert ticks(stage.runtime) == []
    await passes(minutes, clock, 1)
    assert len(ticks(stage.runtime)) == 1


async def test_minutes_that_were_slept_through_are_not_made_up_for(stage, minutes, clock):
    stage.runtime.automatic.add("call")
    clock.advance(3600)
    minutes.look()
    minutes.look()
    await turns()
    assert len(ticks(stage.runtime)) == 1


async def test_a_tick_is_given_no_arguments_and_what_it_prints_goes_nowhere(stage, minutes, clock):
    await passes(minutes, clock, 1)
    call = await stage.runtime.started("call")
    assert (call.hook.values(), call.hook.socket, call.hook.token) == ([], "", "")
    call.prints(b'{"a":1}')
    call.accepts()
    await stage.settle()


async def test_only_one_runs_at_a_time_and_one_left_out_is_counted(stage, minutes, clock):
    await passes(minutes, clock, 1)
    first = await stage.runtime.started("call")
    await passes(minutes, clock, 120)
    assert stage.runtime.not_started()
    assert stage.broker.drops.totals == {"tick while the last one was running": 2}
    first.accepts()
    await turns()
    await passes(minutes, clock, 60)
    (await stage.runtime.started("call")).accepts()
    await stage.settle()


async def test_a_slow_host_does_not_hold_up_another(stage, minutes, clock):
    other = ScriptedRuntime(automatic=("call",))
    stage.broker.add_host(make_host("other.test", tick="a::b"), lambda _: other)
    await passes(minutes, clock, 121)
    assert len(ticks(stage.runtime)) == 1
    assert ticks(other) == [("other.test", "a::b")] * 3
    (await stage.runtime.started("call")).accepts()
    await stage.settle()


@pytest.mark.parametrize("how", ["fails", "refuses"])
async def test_a_failing_tick_is_told_and_the_next_one_runs(stage, minutes, clock, how, caplog):
    await passes(minutes, clock, 1)
    getattr(await stage.runtime.started("call"), how)()
    await stage.settle()
    failed = how == "fails"
    assert ("hook failed" in caplog.messages) == failed
    assert stage.broker.drops.totals == ({"call failed": 1} if failed else {})
    await passes(minutes, clock, 60)
    (await stage.runtime.started("call")).accepts()
    await stage.settle()


async def test_a_host_without_a_tick_or_an_app_is_left_alone(clock, caplog):
    stage = Stage()
    stage.broker.add_host(make_host("push.test", app="", tick="a::b"), lambda _: None)
    minutes = Minutes(stage.broker, clock)
    await passes(minutes, clock, 1)
    await stage.settle()
    assert stage.runtime.calls == []
    assert caplog.messages == ["tick not run: host push.test has no app to run 'a::b'"]


async def test_a_broker_that_stops_ticks_no_more(stage, minutes, clock):
    stage.broker.is_draining = True
    await passes(minutes, clock, 60)
    assert stage.runtime.calls == []


async def test_a_reload_changes_what_is_run_from_the_next_minute_on(stage, minutes, clock):
    await passes(minutes, clock, 1)
    running = await stage.runtime.started("call")
    runtime = ScriptedRuntime(automatic=("call",))
    stage.broker.change_host(make_host(tick="other::run"), lambda _: runtime)
    running.accepts()
    await stage.settle()
    await passes(minutes, clock, 60)
    assert ticks(runtime) == [(HOST, "other::run")]
    stage.broker.remove_host(HOST)
    await passes(minutes, clock, 60)
    assert len(ticks(runtime)) == 1
