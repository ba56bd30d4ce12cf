"""The limits on upgrades: each names its setting, is counted, and starts nothing."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.errors import RequestError
from phlows_cli.model import CloseCode
from tests.builders import HOST, Stage, make_host, make_limits
from tests.fakes import ScriptedRuntime

OPENING = ("connect", "auth")
ALICE, BOB = "192.0.2.1", "192.0.2.2"


def refused(stage, address=ALICE, app=None):
    """The sentence of the 503 that an upgrade gets; it must say when to come back."""
    with pytest.raises(RequestError) as caught:
        stage.broker.admit(app or stage.app, address)
    assert caught.value.status == 503
    ((name, seconds),) = caught.value.headers
    assert name == "Retry-After"
    assert 1 <= int(seconds) <= 60
    assert stage.runtime.calls == []
    return str(caught.value)


def test_over_the_rate_of_all_clients():
    stage = Stage(limits={"handshake_rate": 1.5})
    for address in (ALICE, BOB, ALICE):
        stage.broker.admit(stage.app, address)
    said = refused(stage)
    assert said == "the broker is at its limit of 1.5 upgrades a second (limits.handshake_rate)"
    assert stage.broker.drops.totals == {"upgrade over limits.handshake_rate": 1}
    stage.clock.advance(1.0)
    stage.broker.admit(stage.app, ALICE)


def test_over_the_rate_of_one_address():
    stage = Stage(limits={"per_address": 1})
    for address in (ALICE, ALICE, BOB):
        stage.broker.admit(stage.app, address)
    said = refused(stage)
    assert said == "this address is at its limit of 1 upgrades a second (limits.per_address)"
    assert stage.broker.drops.totals == {"upgrade over limits.per_address": 1}
    stage.broker.admit(stage.app, BOB)


async def test_over_the_sockets_of_one_host():
    stage = Stage(automatic=(*OPENING, "close"), max_connections=2)
    stage.broker.add_host(make_host("other.test"), lambda _: stage.runtime)
    sessions = [(await stage.live())[0] for _ in range(2)]
    stage.runtime.calls.clear()
    said = refused(stage)
    assert said == f"'{HOST}' is at its limit of 2 sockets (hosts.\"{HOST}\".max_connections)"
    assert stage.broker.drops.totals == {"upgrade over hosts.*.max_connections": 1}
    stage.broker.admit(stage.broker.apps["other.test"], ALICE)
    sessions[0].left(1000, "")
    stage.broker.admit(stage.app, ALICE)


async def test_sockets_that_are_asked_about_count_for_their_host():
    stage = Stage(auth="upgrade", max_connections=1)
    asking = asyncio.ensure_future(stage.broker.authenticate(stage.app, "alice", "0" * 16))
    call = await stage.runtime.started("auth")
    stage.runtime.calls.clear()
    assert "max_connections" in refused(stage)
    call.refuses()
    await asking
    stage.broker.admit(stage.app, ALICE)


async def test_however_sockets_end_none_is_counted_for_ever():
    stage = Stage(automatic=(*OPENING, "close"))
    for end in (
        lambda session: session.left(1000, ""),
        lambda session: session.end(CloseCode.SLOW_CONSUMER, "slow"),
    ):
        session, _ = await stage.live()
        assert stage.app.connected == 1
        end(session)
        await stage.settle()
        assert stage.app.connected == stage.broker.connected == 0


async def test_a_host_that_has_no_room_takes_nothing_of_a_rate():
    stage = Stage(automatic=OPENING, max_connections=1, limits={"handshake_rate": 1})
    session, _ = await stage.live()
    stage.runtime.calls.clear()
    for _ in range(10):
        refused(stage)
    session.left(1000, "")
    stage.broker.admit(stage.app, ALICE)


async def test_other_limits_hold_at_once_and_nobody_is_closed():
    stage = Stage(automatic=OPENING)
    live = [await stage.live() for _ in range(2)]
    stage.runtime.calls.clear()
    stage.broker.admit(stage.app, ALICE)
    stage.broker.change_host(make_host(max_connections=1), lambda _: ScriptedRuntime(OPENING))
    assert "max_connections" in refused(stage)
    stage.broker.change_host(make_host(), lambda _: ScriptedRuntime(OPENING))
    stage.broker.apply_limits(make_limits(per_address=0.1))
    stage.broker.admit(stage.app, ALICE)
    assert "per_address" in refused(stage)
    assert all(peer.closed is None for _, peer in live)
    await stage.broker.stop()


async def test_a_drain_tells_each_socket_when_to_come_back():
    stage = Stage(automatic=(*OPENING, "close"))
    peers = [(await stage.live())[1] for _ in range(1000)]
    await stage.broker.drain(60)
    told = {peer.closed for peer in peers}
    assert told == {(CloseCode.DRAIN, f"restarting, come back in {n} s") for n in (1, 2)}


def test_a_broker_that_stops_says_when_to_come_back():
    stage = Stage()
    asyncio.run(stage.broker.drain(0))
    assert refused(stage) == "the broker is stopping"
