"""Hosts that come, go and change while the broker serves them."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.errors import RequestError, UnknownHostError
from phlows_cli.model import HOOK_NAMES, Cast, CloseCode
from tests.builders import HOST, Stage, make_host, make_limits
from tests.fakes import ScriptedRuntime, turns

OPENING = ("connect", "auth")


def change(stage, automatic=HOOK_NAMES, **settings):
    """Change the stage's host; its new runtime."""
    runtime = ScriptedRuntime(automatic)
    stage.broker.change_host(make_host(**settings), lambda _: runtime)
    return runtime


# Added


async def test_an_added_host_is_served_at_once():
    stage = Stage(automatic=HOOK_NAMES)
    with pytest.raises(UnknownHostError):
        stage.broker.cast(Cast("new.test", b"{}"))
    stage.broker.add_host(make_host("new.test"), lambda _: ScriptedRuntime(HOOK_NAMES))
    assert stage.broker.cast(Cast("new.test", b"{}")).matched == 0
    assert stage.broker.application("new.test").host.name == "new.test"


# Removed


async def test_a_removed_host_closes_its_sockets_4004_and_casts_to_it_are_errors():
    stage = Stage(automatic=HOOK_NAMES)
    (_, live), (waiting, waits) = await stage.live(), stage.connect()
    await stage.settle()
    stage.broker.remove_host(HOST)
    with pytest.raises(UnknownHostError):
        stage.broker.cast(Cast(HOST, b"{}"))
    with pytest.raises(RequestError, match="is not served here") as caught:
        stage.broker.application(HOST)
    assert caught.value.status == 421
    assert (live.code, waits.code) == (CloseCode.HOST_REMOVED, CloseCode.HOST_REMOVED)
    assert waiting.is_gone
    await stage.settle()
    assert stage.runtime.names.count("close") == 2, "those that were not authenticated, too"
    assert stage.broker.connected == 0
    assert stage.app.sessions == 0


async def test_a_removed_hosts_app_ends_when_the_last_close_hook_is_done():
    stage = Stage(automatic=OPENING)
    await stage.live()
    await stage.live()
    stage.broker.remove_host(HOST)
    first, second = [await stage.runtime.started("close") for _ in range(2)]
    first.accepts()
    await turns()
    assert not stage.runtime.is_stopped
    second.accepts()
    await stage.runtime.ended.wait()
    assert second.done.result().is_accepted, "it was let end, not killed"


async def test_a_removed_host_without_sockets_ends_its_app_when_its_hooks_are_done():
    stage = Stage(auth="upgrade")
    asking = asyncio.ensure_future(stage.broker.authenticate(stage.app, "alice", "0" * 16))
    call = await stage.runtime.started("auth")
    stage.broker.remove_host(HOST)
    await turns()
    assert not stage.runtime.is_stopped
    call.accepts()
    assert (await asking).is_accepted
    await stage.runtime.ended.wait()


async def test_a_host_removed_while_a_hook_runs_lets_it_end_then_runs_close():
    stage = Stage(automatic=OPENING)
    session, peer = await stage.live()
    session.receive('{"n":1}')
    session.receive('{"n":2}')
    receive = await stage.runtime.started("receive")
    stage.broker.remove_host(HOST)
    assert peer.code == CloseCode.HOST_REMOVED
    assert stage.runtime.not_started(), "close comes after what runs"
    receive.prints(b'{"late":true}')
    receive.accepts()
    (await stage.runtime.started("close")).accepts()
    await stage.runtime.ended.wait()
    assert stage.runtime.names == [*OPENING, "receive", "close"]
    drops = stage.broker.drops.totals
    assert drops["message of a socket that was closed"] == 1
    assert drops["answer to a socket that is gone"] == 1
    assert peer.messages == []


@pytest.mark.parametrize("hook", OPENING)
async def test_a_host_removed_during_connect_or_auth_registers_nobody(hook):
    stage = Stage(automatic={"connect", "auth", "close"} - {hook})
    session, peer = stage.connect("alice")
    call = await stage.runtime.started(hook)
    stage.broker.remove_host(HOST)
    call.accepts()
    await stage.settle()
    assert (peer.code, session.token == "alice") == (CloseCode.HOST_REMOVED, hook == "auth")
    assert stage.runtime.names[-1] == "close"
    assert stage.broker.hub.hosts == []


async def test_an_upgrade_that_waits_for_auth_is_told_421_when_its_host_goes_meanwhile():
    stage = Stage(auth="upgrade")
    stage.broker.check_served(stage.app)
    stage.broker.remove_host(HOST)
    with pytest.raises(RequestError, match=r"'app\.test' is not served any more") as caught:
        stage.broker.check_served(stage.app)
    assert caught.value.status == 421


async def test_an_upgrade_that_waits_for_auth_is_told_503_when_the_broker_stops_meanwhile():
    stage = Stage(auth="upgrade")
    await stage.broker.drain(0)
    with pytest.raises(RequestError, match="the broker is stopping") as caught:
        stage.broker.check_served(stage.app)
    assert caught.value.status == 503
    assert caught.value.headers


async def test_a_host_that_is_back_is_another_one_than_before():
    stage = Stage(automatic=OPENING)
    await stage.live()
    stage.broker.remove_host(HOST)
    closing = await stage.runtime.started("close")
    runtime = ScriptedRuntime(HOOK_NAMES)
    stage.broker.add_host(make_host(), lambda _: runtime)
    assert stage.broker.cast(Cast(HOST, b"{}")).matched == 0
    closing.accepts()
    await stage.runtime.ended.wait()
    assert (runtime.is_stopped, stage.broker.application(HOST).is_removed) == (False, False)


async def test_a_removed_push_only_host_has_nothing_to_end():
    stage = Stage(automatic=HOOK_NAMES)
    push = make_host("push.test", app="", hooks=frozenset(), auth="none")
    stage.broker.add_host(push, lambda _: None)
    stage.broker.remove_host("push.test")
    assert stage.broker.hub.hosts == [HOST]
    await stage.broker.stop()


# Changed


async def test_a_changed_host_keeps_its_sockets_and_their_place_in_the_hub():
    stage = Stage(automatic=OPENING)
    session, peer = await stage.live()
    change(stage, timeout=1.0)
    assert peer.closed is None
    assert stage.broker.cast(Cast(HOST, b"{}")).sent == 1
    assert session.app.host.timeout == 1.0


async def test_a_running_hook_ends_with_the_old_settings_and_the_next_has_the_new():
    stage = Stage(automatic=OPENING)
    session, _ = await stage.live()
    session.receive('{"n":1}')
    session.receive('{"n":2}')
    running = await stage.runtime.started("receive")
    new = change(stage)
    await turns()
    assert not stage.runtime.is_stopped
    running.accepts()
    await stage.runtime.ended.wait()
    assert running.done.result().is_accepted
    await stage.settle()
    assert stage.runtime.names == [*OPENING, "receive"]
    assert [call.hook.data for call in new.calls] == ['{"n":2}']
    session.left(1000, "")
    await stage.settle()
    assert new.names == ["receive", "close"]


async def test_a_socket_lives_on_in_the_auth_mode_it_came_with():
    stage = Stage(automatic=HOOK_NAMES)
    waiting, peer = stage.connect()
    await stage.settle()
    change(stage, auth="none", hooks=frozenset({"connect", "auth", "receive", "close"}))
    waiting.receive('{"type":"auth","token":"alice"}')
    await stage.settle()
    assert (waiting.token, peer.closed) == ("alice", None)
    newcomer, _ = stage.connect()
    await stage.settle()
    assert stage.broker.cast(Cast(HOST, b"{}")).sent == 2, "the new one needs no token"
    assert newcomer.token == ""


async def test_a_socket_whose_auth_hook_was_taken_away_is_not_let_in():
    stage = Stage(automatic=HOOK_NAMES)
    session, peer = stage.connect()
    await stage.settle()
    change(stage, auth="none", hooks=frozenset({"connect", "close"}))
    session.receive('{"type":"auth","token":"alice"}')
    await stage.settle()
    assert peer.code == CloseCode.HOOK_FAILED


async def test_a_host_that_became_push_only_runs_no_close_hooks_any_more():
    stage = Stage(automatic=OPENING)
    session, _ = await stage.live()
    stage.broker.change_host(make_host(hooks=frozenset(), auth="none"), lambda _: None)
    await stage.runtime.ended.wait()
    assert stage.broker.cast(Cast(HOST, b"{}")).sent == 1
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.names == list(OPENING)


async def test_a_host_changed_twice_and_removed_ends_every_app_it_had():
    stage = Stage(automatic=OPENING)
    await stage.live()
    runtimes = [stage.runtime, change(stage), change(stage)]
    stage.broker.remove_host(HOST)
    for runtime in runtimes:
        await runtime.ended.wait()
    assert [runtime.names for runtime in runtimes] == [list(OPENING), [], ["close"]]


# Limits


async def test_limits_hold_for_what_is_counted_or_timed_from_now_on():
    stage = Stage(automatic=HOOK_NAMES)
    _, early = stage.connect()
    stage.broker.apply_limits(make_limits(auth_timeout=1.0, max_connections=2))
    _, late = stage.connect()
    await stage.settle()
    with pytest.raises(RequestError, match=r"2 sockets \(limits\.max_connections\)"):
        stage.broker.admit(stage.app)
    stage.clock.advance(10.0)
    stage.broker.sweep()
    assert (early.code, late.code) == (CloseCode.AUTH_TIMEOUT, CloseCode.AUTH_TIMEOUT)
    assert "1 s (limits.auth_timeout)" in late.closed[1]


async def test_a_socket_over_a_lowered_bound_stays():
    stage = Stage(automatic=HOOK_NAMES)
    peers = [(await stage.live())[1] for _ in range(3)]
    stage.broker.apply_limits(make_limits(max_connections=1))
    assert [peer.closed for peer in peers] == [None] * 3


# Stopping


async def test_stop_ends_apps_that_still_wait_for_their_last_hook(caplog):
    stage = Stage(automatic=OPENING)
    session, _ = await stage.live()
    session.receive("{}")
    await stage.runtime.started("receive")
    new = change(stage)
    await stage.broker.stop()
    assert (stage.runtime.is_stopped, new.is_stopped) == (True, True)
    assert not caplog.records
