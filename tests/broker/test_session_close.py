"""How sockets leave: by themselves, or because the broker ends them."""

from __future__ import annotations

import json

import pytest

from phlows_cli.broker import report
from phlows_cli.model import Cast, CloseCode, Target
from tests.builders import HOST, Stage
from tests.fakes import turns

NOBODY = frozenset()
TO_ALL = Cast(HOST, b"{}")
ALL_HOOKS = ("connect", "auth", "receive", "close")


def names(stage):
    return stage.runtime.names


def ids_in_presence(stage):
    return [row["socket"] for row in report.presence(stage.broker, [HOST])]


# The client goes


async def test_a_client_gone_before_anything_ran_leaves_without_a_hook():
    stage = Stage()
    session, _ = stage.open("alice")
    session.left(1006, "")
    session.start()
    await stage.settle()
    assert names(stage) == []
    assert stage.broker.connected == 0


@pytest.mark.parametrize("claim", ["", "alice"])
async def test_a_client_gone_during_connect_is_not_asked_about_and_close_runs(claim):
    stage = Stage(automatic=["close"])
    session, _ = stage.connect(claim)
    connect = await stage.runtime.started("connect")
    session.receive(json.dumps({"token": "alice"}))
    session.left(1006, "")
    await turns()
    assert names(stage) == ["connect"], "close overtook connect"
    connect.accepts()
    await stage.settle()
    assert names(stage) == ["connect", "close"]


async def test_a_client_gone_during_a_connect_that_refuses_gets_no_close_hook():
    stage = Stage()
    session, peer = stage.connect()
    connect = await stage.runtime.started("connect")
    session.left(1000, "")
    connect.refuses()
    await stage.settle()
    assert names(stage) == ["connect"]
    assert peer.closed is None, "there is nobody left to close"


async def test_a_client_gone_during_a_failing_connect_gets_its_close_hook():
    stage = Stage(automatic=["close"])
    session, _ = stage.connect()
    connect = await stage.runtime.started("connect")
    session.left(1000, "")
    connect.fails()
    await stage.settle()
    assert names(stage) == ["connect", "close"]


async def test_a_true_that_comes_after_the_client_left_registers_nothing():
    stage = Stage(automatic=["connect", "close"])
    session, peer = stage.connect("alice")
    auth = await stage.runtime.started("auth")
    session.left(1006, "")
    auth.accepts()
    await stage.settle()
    assert stage.broker.hub.select(HOST, Target.parse("all"), NOBODY) == []
    assert stage.broker.hub.tokens(HOST) == {}
    assert ids_in_presence(stage) == []
    assert names(stage) == ["connect", "auth", "close"]
    assert peer.frames == []


async def test_a_false_that_comes_after_the_client_left_closes_nothing():
    stage = Stage(automatic=["connect", "close"])
    session, peer = stage.connect("alice")
    auth = await stage.runtime.started("auth")
    session.left(1006, "")
    auth.refuses()
    await stage.settle()
    assert peer.closed is None
    assert names(stage) == ["connect", "auth", "close"]


async def test_a_departure_never_cancels_a_running_hook():
    stage = Stage(automatic=["connect", "auth", "close"])
    session, _ = await stage.live()
    session.receive("{}")
    receive = await stage.runtime.started("receive")
    session.left(1006, "")
    await turns()
    assert not receive.done.cancelled()
    assert names(stage)[-1] == "receive", "close overtook receive"
    receive.accepts()
    await stage.settle()
    assert names(stage)[-1] == "close"


async def test_an_answer_to_a_client_that_left_is_dropped_and_counted():
    stage = Stage(automatic=["connect", "auth", "close"])
    session, peer = await stage.live()
    session.receive("{}")
    receive = await stage.runtime.started("receive")
    session.left(1006, "")
    receive.prints(b'{"late":1}')
    receive.accepts()
    await stage.settle()
    assert peer.frames == []
    assert stage.broker.drops.totals["answer to a socket that is gone"] == 1


async def test_messages_that_came_before_the_client_left_still_run_then_close():
    stage = Stage(automatic=ALL_HOOKS)
    session, _ = await stage.live()
    for number in range(3):
        session.receive(f"[{number}]")
    session.left(1000, "")
    session.receive('["after"]')
    await stage.settle()
    assert [call.hook.data for call in stage.runtime.calls[2:]] == ["[0]", "[1]", "[2]", None]
    assert names(stage)[-1] == "close"
    assert not any(stage.broker.drops.totals.values())


async def test_messages_that_came_before_anything_ran_still_run_without_auth():
    stage = Stage(auth="none", automatic=ALL_HOOKS)
    session, _ = stage.connect()
    session.receive("[0]")
    session.left(1000, "")
    await stage.settle()
    assert names(stage) == ["connect", "receive", "close"]
    assert stage.broker.hub.count(HOST) == 0


async def test_a_client_that_left_twice_left_once():
    stage = Stage(automatic=ALL_HOOKS)
    session, _ = await stage.live()
    session.left(1000, "")
    session.left(1006, "")
    await stage.settle()
    session.left(1006, "")
    session.end(CloseCode.DRAIN, "")
    await stage.settle()
    assert names(stage).count("close") == 1
    assert stage.broker.connected == 0


# The broker ends it


async def test_waiting_messages_are_dropped_and_counted_when_the_broker_ends_the_socket():
    stage = Stage(automatic=["connect", "auth", "close"])
    session, peer = await stage.live()
    for _ in range(4):
        session.receive("{}")
    receive = await stage.runtime.started("receive")
    session.end(4321, "enough")
    assert peer.closed == (4321, "enough")
    receive.accepts()
    await stage.settle()
    assert names(stage) == ["connect", "auth", "receive", "close"]
    assert stage.broker.drops.totals["message of a socket that was closed"] == 3


async def test_a_socket_ended_after_the_client_left_drops_what_still_waits():
    stage = Stage(automatic=["connect", "auth", "close"])
    session, peer = await stage.live()
    session.receive("[0]")
    session.receive("[1]")
    receive = await stage.runtime.started("receive")
    session.left(1000, "")
    session.end(CloseCode.DRAIN, "")
    receive.accepts()
    await stage.settle()
    assert peer.closed is None
    assert names(stage) == ["connect", "auth", "receive", "close"]
    assert stage.broker.drops.totals["message of a socket that was closed"] == 1


@pytest.mark.parametrize("stop_at", ["connect", "auth", "receive", "close"])
async def test_a_socket_ended_during_any_hook_gets_one_close_hook(stop_at):
    stage = Stage(automatic=set(ALL_HOOKS) - {stop_at})
    session, peer = stage.connect("alice")
    session.receive("{}")
    if stop_at == "close":
        await stage.settle()
        session.left(1000, "")
    call = await stage.runtime.started(stop_at)
    session.end(4321, "enough")
    session.end(4322, "enough")
    call.accepts()
    await stage.settle()
    assert names(stage).count("close") == 1
    assert names(stage)[-1] == "close"
    assert peer.code == (None if stop_at == "close" else 4321)


async def test_a_slow_consumer_is_ended_and_its_close_hook_runs():
    stage = Stage(automatic=ALL_HOOKS)
    _, peer = await stage.live()
    peer.is_slow = True
    receipt = stage.broker.cast(TO_ALL)
    await stage.settle()
    assert (receipt.sent, receipt.dropped, receipt.matched) == (0, 1, 1)
    assert peer.code == CloseCode.SLOW_CONSUMER
    assert names(stage)[-1] == "close"


# The close hook


async def test_the_leaver_is_out_of_the_hub_before_its_close_hook_runs():
    stage = Stage(automatic=["connect", "auth"])
    session, _ = await stage.live()
    stayer, stayer_peer = await stage.live("bob")
    session.left(1000, "")
    close = await stage.runtime.started("close")
    assert ids_in_presence(stage) == [stayer.id]
    assert stage.broker.cast(TO_ALL).matched == 1
    assert len(stayer_peer.frames) == 1
    close.accepts()
    await stage.settle()


async def test_close_gets_the_token_that_auth_accepted():
    stage = Stage(automatic=ALL_HOOKS)
    session, _ = stage.connect()
    session.receive('{"token":"alice"}')
    await stage.settle()
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.calls[-1].hook.args() == [HOST, "alice", session.id]


async def test_the_newcomer_is_in_presence_while_its_connect_hook_runs():
    stage = Stage()
    session, _ = stage.connect("alice")
    connect = await stage.runtime.started("connect")
    (row,) = report.presence(stage.broker, [HOST])
    assert (row["socket"], row["authenticated"]) == (session.id, False)
    connect.refuses()
    await stage.settle()
    assert ids_in_presence(stage) == []
