"""The end in order, and the end in a hurry."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.broker import drain as module
from phlows_cli.model import HOOK_NAMES, CloseCode
from tests.builders import HOST, Stage, make_host
from tests.fakes import ScriptedRuntime, turns

OPENING = ("connect", "auth")


@pytest.fixture
def busy():
    """A stage with one socket whose first message runs and two that wait."""

    async def make(**settings):
        stage = Stage(automatic=OPENING, **settings)
        session, peer = await stage.live()
        for number in range(3):
            session.receive(f'{{"n":{number}}}')
        return stage, peer, await stage.runtime.started("receive")

    return make


def drain(stage, seconds=60, hurry=None):
    return asyncio.ensure_future(stage.broker.drain(seconds, hurry))


async def test_waiting_messages_run_before_sockets_are_closed(busy):
    stage, peer, first = await busy()
    draining = drain(stage)
    first.accepts()
    for _ in range(2):
        call = await stage.runtime.started("receive")
        assert peer.closed is None
        call.accepts()
    closing = await stage.runtime.started("close")
    assert peer.code == CloseCode.DRAIN
    closing.accepts()
    assert await draining == 0
    assert not stage.broker.drops.totals


async def test_after_half_of_the_time_waiting_messages_are_dropped_and_close_hooks_have_the_rest(
    busy, monkeypatch
):
    stage, peer, first = await busy()
    settled = []

    async def settle(self, seconds):
        settled.append(seconds)  # the first wait is over at once, as if its time had passed
        return len(stage.broker.tasks) if len(settled) == 1 else await original(self, seconds)

    original = module.Drain._settle
    monkeypatch.setattr(module.Drain, "_settle", settle)
    draining = drain(stage, 60)
    await turns()
    assert settled == [30.0, 60.0], "the fake clock has not moved: all of the rest is left"
    assert peer.code == CloseCode.DRAIN
    assert stage.broker.drops.totals["message of a socket that was closed"] == 2
    first.accepts()
    (await stage.runtime.started("close")).accepts()
    assert await draining == 0


async def test_in_a_hurry_waiting_messages_are_dropped_at_once(busy):
    stage, peer, first = await busy()
    hurry = asyncio.Event()
    draining = drain(stage, hurry=hurry)
    await turns()
    assert peer.closed is None
    hurry.set()
    await turns()
    assert peer.code == CloseCode.DRAIN
    assert stage.broker.drops.totals["message of a socket that was closed"] == 2
    first.accepts()
    (await stage.runtime.started("close")).accepts()
    assert await draining == 0


async def test_in_a_hurry_hooks_that_go_on_are_cut_and_counted(busy, monkeypatch, caplog):
    monkeypatch.setattr(module, "HURRIED", 0.0)
    stage, _, _ = await busy()
    _, other = stage.connect("bob")
    await turns()
    hurry = asyncio.Event()
    hurry.set()
    assert await drain(stage, hurry=hurry) == 2, "one still receives, one still closes"
    assert other.code == CloseCode.DRAIN
    (record,) = [r for r in caplog.records if "hooks were cut" in r.message]
    assert record.count == 2
    await stage.broker.stop()
    caplog.clear()


async def test_a_hurry_that_comes_among_the_close_hooks_cuts_them_short(monkeypatch, caplog):
    monkeypatch.setattr(module, "HURRIED", 0.0)
    stage = Stage(automatic=OPENING)
    await stage.live()
    hurry = asyncio.Event()
    draining = drain(stage, hurry=hurry)
    await stage.runtime.started("close")
    assert not draining.done()
    hurry.set()
    assert await draining == 1
    await stage.broker.stop()
    caplog.clear()


async def test_an_app_that_is_being_replaced_is_not_counted_as_a_hook(busy, caplog):
    stage, _, _ = await busy()
    stage.broker.change_host(make_host(), lambda _: ScriptedRuntime(HOOK_NAMES))
    await turns()
    assert await stage.broker.drain(0.0) == 1, "one hook runs"
    await stage.broker.stop()
    caplog.clear()


async def test_a_socket_that_leaves_while_the_broker_drains_still_has_its_close_hook():
    stage = Stage(automatic=OPENING)
    session, peer = await stage.live()
    draining = drain(stage)
    session.left(1001, "going away")
    (await stage.runtime.started("close")).accepts()
    assert await draining == 0
    assert peer.closed is None


async def test_a_host_removed_while_the_broker_drains_closes_its_sockets_once():
    stage = Stage(automatic=OPENING)
    session, peer = await stage.live()
    session.receive("{}")
    running = await stage.runtime.started("receive")
    draining = drain(stage)
    await turns()
    stage.broker.remove_host(HOST)
    running.accepts()
    (await stage.runtime.started("close")).accepts()
    assert await draining == 0
    assert peer.code == CloseCode.HOST_REMOVED
