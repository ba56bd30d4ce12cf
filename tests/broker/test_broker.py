"""Admission, casts and their receipts, disconnect, and the end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker.broker import Broker
from phlows_cli.broker.events import Watch, describe
from phlows_cli.errors import RequestError, UnknownHostError
from phlows_cli.model import Cast, CloseCode, Target, token_hash
from tests.builders import HOST, Stage, make_host, make_limits
from tests.fakes import turns

OPENING = ("connect", "auth")
ALL_HOOKS = ("connect", "auth", "receive", "close")


def cast(stage, payload=b"{}", target="all", excluded=()):
    return stage.broker.cast(Cast(HOST, payload, Target.parse(target), frozenset(excluded)))


def watch(stage, **filters):
    seen = Watch(lambda: None, filters)
    stage.broker.events.add(seen)
    return seen


# Admission


def test_an_unknown_host_is_misdirected():
    stage = Broker(make_limits())
    with pytest.raises(RequestError, match=r"'x\.test' is not served here") as caught:
        stage.application("x.test")
    assert caught.value.status == 421


def test_a_long_host_name_is_cut_in_the_refusal():
    with pytest.raises(RequestError) as caught:
        Broker(make_limits()).application("h" * 10_000)
    assert len(str(caught.value)) < 300


async def test_one_socket_more_than_max_connections_is_refused_with_503():
    stage = Stage(automatic=ALL_HOOKS, limits={"max_connections": 2})
    for _ in range(2):
        stage.broker.admit(stage.app)
        session, _ = await stage.live()
    with pytest.raises(RequestError, match=r"limit of 2 sockets \(limits\.max_connections\)") as no:
        stage.broker.admit(stage.app)
    assert no.value.status == 503
    assert dict(no.value.headers)["Retry-After"].isdigit()
    assert stage.broker.drops.totals["upgrade over limits.max_connections"] == 1
    session.left(1000, "")
    stage.broker.admit(stage.app)


async def test_sockets_that_are_being_asked_about_count_as_well():
    stage = Stage(auth="upgrade", limits={"max_connections": 1})
    asking = asyncio.ensure_future(stage.broker.authenticate(stage.app, "alice", "0" * 16))
    call = await stage.runtime.started("auth")
    with pytest.raises(RequestError):
        stage.broker.admit(stage.app)
    call.refuses()
    await asking
    stage.broker.admit(stage.app)


async def test_a_full_queue_refuses_with_503_before_any_hook():
    stage = Stage()
    stage.runtime.is_at_limit = True
    with pytest.raises(RequestError, match=r"1000 waiting events \(limits\.queue\)") as caught:
        stage.broker.admit(stage.app)
    assert caught.value.status == 503
    assert stage.broker.drops.totals["upgrade over limits.queue"] == 1


async def test_a_broker_that_stops_admits_nobody():
    stage = Stage()
    await stage.broker.drain(0)
    with pytest.raises(RequestError, match="the broker is stopping") as caught:
        stage.broker.admit(stage.app)
    assert caught.value.status == 503


def test_socket_ids_are_16_hex_characters_and_differ():
    made = {Broker.new_socket_id() for _ in range(100)}
    assert len(made) == 100
    assert all(len(id_) == 16 and set(id_) <= set("0123456789abcdef") for id_ in made)


# Casts


async def test_a_cast_reaches_every_socket_of_its_host_as_one_shared_frame():
    stage = Stage(automatic=OPENING)
    stage.broker.add_host(make_host("other.test"), lambda _: stage.runtime)
    peers = [(await stage.live())[1] for _ in range(3)]
    payload = b'{"a": "\\u00e9\\/"}'
    receipt = cast(stage, payload)
    assert (receipt.host, receipt.sent, receipt.matched) == (HOST, 3, 3)
    assert [peer.messages for peer in peers] == [[payload]] * 3
    assert peers[0].frames[0] is peers[2].frames[0], "encoded once for all"
    assert stage.broker.cast(Cast("other.test", b"{}")).matched == 0


async def test_except_is_applied_last():
    stage = Stage(automatic=OPENING)
    (first, first_peer), (second, second_peer) = await stage.live(), await stage.live()
    receipt = cast(stage, target=["all", first.id], excluded=[first.id, "unknown"])
    assert receipt.matched == 1
    assert (len(first_peer.frames), len(second_peer.frames)) == (0, 1)
    assert second.sent == 1


async def test_a_slow_consumer_is_matched_and_dropped_and_the_others_get_theirs():
    stage = Stage(automatic=ALL_HOOKS)
    live = [await stage.live() for _ in range(3)]
    live[1][1].is_slow = True
    receipt = cast(stage)
    assert (receipt.sent, receipt.dropped, receipt.matched, receipt.held) == (2, 1, 3, 0)
    assert cast(stage).matched == 2


async def test_a_socket_that_another_ones_cast_ended_is_dropped_not_sent():
    stage = Stage(automatic=ALL_HOOKS)
    (_, first_peer), (second, second_peer) = await stage.live(), await stage.live()
    first_peer.send = lambda *_: second.end(CloseCode.SLOW_CONSUMER, "the fullest") or True
    receipt = cast(stage)
    assert (receipt.sent, receipt.dropped) == (1, 1)
    assert second_peer.frames == []


async def test_a_cast_to_an_unknown_host_is_an_error():
    stage = Stage()
    with pytest.raises(UnknownHostError):
        stage.broker.cast(Cast("x.test", b"{}"))


@given(st.lists(st.sampled_from(["live", "slow", "waiting", "excluded"]), max_size=8))
def test_matched_is_sent_and_dropped_and_held_is_apart(kinds):
    async def run():
        stage = Stage(automatic=ALL_HOOKS)
        excluded = []
        for kind in kinds:
            session, peer = stage.connect("" if kind == "waiting" else "alice")
            await stage.settle()
            peer.is_slow = kind == "slow"
            if kind == "excluded":
                excluded.append(session.id)
        return cast(stage, excluded=excluded)

    receipt = asyncio.run(run())
    counts = (receipt.sent, receipt.dropped, receipt.held)
    assert counts == (kinds.count("live"), kinds.count("slow"), kinds.count("waiting"))
    assert receipt.matched == receipt.sent + receipt.dropped


async def test_a_watched_cast_tells_its_audience_without_its_tokens():
    stage = Stage(automatic=OPENING)
    await stage.live()
    seen = watch(stage)
    cast(
        stage, b"[12]", ["token:secret-token", "token:not:other-secret", "socket:0000000000000f00"]
    )
    (event,) = seen.take()
    assert event | {"time": 0} == {
        "time": 0,
        "type": "cast",
        "host": HOST,
        "target": [
            "socket:0000000000000f00",
            f"token:{token_hash('secret-token')[:12]}",
            f"token:not:{token_hash('other-secret')[:12]}",
        ],
        "bytes": 4,
        "sent": 1,
        "dropped": 0,
        "held": 0,
    }


secrets = st.text(st.characters(codec="utf-8"), min_size=6)


@given(st.lists(secrets, max_size=4), st.lists(secrets, max_size=4), st.booleans())
def test_describe_never_shows_a_token(tokens, not_tokens, everyone):
    target = Target(everyone, frozenset(tokens), frozenset(not_tokens), frozenset({"0" * 16}))
    shown = describe(target)
    assert len(shown) == everyone + len(set(tokens)) + len(set(not_tokens)) + 1
    for token in tokens:
        assert f"token:{token_hash(token)[:12]}" in shown
    for line in shown:
        kind, _, value = line.rpartition(":")
        assert line == "all" or kind == "socket" or (len(value) == 12 and int(value, 16) >= 0)


# Disconnect


async def test_disconnect_ends_an_audience_with_its_code_and_counts_it():
    stage = Stage(automatic=ALL_HOOKS)
    (_, alice), (_, bob) = await stage.live("alice"), await stage.live("bob")
    assert stage.broker.disconnect(HOST, Target.parse("token:alice"), 4999, "bye") == 1
    await stage.settle()
    assert (alice.closed, bob.closed) == ((4999, "bye"), None)
    assert stage.runtime.names[-1] == "close"
    with pytest.raises(UnknownHostError):
        stage.broker.disconnect("x.test", Target.parse("all"), 1000, "")


async def test_disconnect_reaches_a_waiting_socket_by_its_id():
    stage = Stage(automatic=["connect", "close"])
    session, peer = stage.connect()
    await stage.settle()
    assert stage.broker.disconnect(HOST, Target.parse("all"), 1000, "") == 0
    assert stage.broker.disconnect(HOST, Target.parse(session.id), 1000, "") == 1
    assert peer.code == 1000


# What watchers see


async def test_a_life_is_told_as_it_happens_and_without_tokens():
    stage = Stage(automatic=ALL_HOOKS)
    seen = watch(stage)
    session, _ = stage.connect("secret", address="198.51.100.1", agent="Browser/1")
    await stage.settle()
    session.receive('{"a":"é"}')
    await stage.settle()
    session.left(1001, "going")
    await stage.settle()
    events = seen.take()
    assert [(e["type"], e.get("hook")) for e in events] == [
        ("open", None),
        ("hook", "connect"),
        ("hook", "auth"),
        ("auth", None),
        ("receive", None),
        ("hook", "receive"),
        ("close", None),
        ("hook", "close"),
    ]
    assert all(e["host"] == HOST and e["socket"] == session.id for e in events)
    assert {e["token"] for e in events} == {token_hash("secret")[:12]}
    assert "secret" not in repr(events)
    opened, received, closed = events[0], events[4], events[6]
    assert (opened["address"], opened["agent"]) == ("198.51.100.1", "Browser/1")
    assert received["bytes"] == 10
    assert (closed["code"], closed["reason"]) == (1001, "going")
    assert events[1]["outcome"] == "accepted"


async def test_in_upgrade_mode_open_is_told_before_auth():
    stage = Stage(auth="upgrade", automatic=ALL_HOOKS)
    seen = watch(stage)
    stage.open("alice")
    assert [event["type"] for event in seen.take()] == ["open", "auth"]


# The end


async def test_draining_lets_waiting_messages_run_closes_1012_and_runs_the_close_hooks():
    stage = Stage(automatic=[*OPENING, "close"])
    session, peer = await stage.live()
    _, idle_peer = await stage.live("bob")
    session.receive("[0]")
    session.receive("[1]")
    first = await stage.runtime.started("receive")
    draining = asyncio.ensure_future(stage.broker.drain(60))
    await turns()
    assert (peer.holds, idle_peer.holds) == (1, 1), "sockets are no longer read"
    assert (peer.closed, idle_peer.closed) == (None, None)
    assert cast(stage).sent == 2, "the bridge keeps answering"
    first.accepts()
    (await stage.runtime.started("receive")).accepts()
    assert await draining == 0
    assert (peer.code, idle_peer.code) == (CloseCode.DRAIN, CloseCode.DRAIN)
    assert stage.runtime.names[-2:] == ["close", "close"]
    assert not any(stage.broker.drops.totals.values())


async def test_what_has_not_run_by_half_of_the_time_is_dropped_and_by_all_of_it_is_counted(caplog):
    stage = Stage(automatic=[*OPENING, "close"])
    session, peer = await stage.live()
    for _ in range(3):
        session.receive("{}")
    await stage.runtime.started("receive")
    assert await stage.broker.drain(0.02) == 1
    assert peer.code == CloseCode.DRAIN
    assert stage.broker.drops.totals["message of a socket that was closed"] == 2
    (record,) = [r for r in caplog.records if "drain_timeout" in r.getMessage()]
    assert record.count == 1
    caplog.clear()
    await stage.broker.stop()
    assert stage.runtime.is_stopped
    assert len(stage.broker.tasks) == 0


async def test_a_socket_full_of_messages_is_not_read_again_while_draining():
    stage = Stage(automatic=[*OPENING, "close"], limits={"pending_events": 2})
    session, peer = await stage.live()
    for _ in range(3):
        session.receive("{}")
    first = await stage.runtime.started("receive")
    assert peer.holds == 1
    draining = asyncio.ensure_future(stage.broker.drain(60))
    await turns()
    first.accepts()
    for _ in range(2):
        (await stage.runtime.started("receive")).accepts()
    await draining
    assert peer.holds == 2


async def test_sockets_are_closed_in_slices_so_that_others_are_served_between():
    stage = Stage(auth="none", hooks=frozenset())
    peers = [stage.connect()[1] for _ in range(250)]
    await stage.settle()
    draining = asyncio.ensure_future(stage.broker.drain(60))
    closed = []
    while not draining.done():
        closed.append(sum(peer.closed is not None for peer in peers))
        await asyncio.sleep(0)
    assert {100, 200} <= set(closed)
    assert all(peer.code == CloseCode.DRAIN for peer in peers)


async def test_stop_reports_what_was_dropped(caplog):
    stage = Stage()
    stage.broker.drops.count("something", 3)
    await stage.broker.stop()
    (record,) = [r for r in caplog.records if r.name == "phlows.drops"]
    assert (record.reason, record.count) == ("something", 3)


async def test_a_push_only_host_has_nothing_to_stop():
    broker = Broker(make_limits())
    broker.add_host(make_host(app="", hooks=frozenset(), auth="none"), lambda _: None)
    await broker.stop()
    assert not broker.apps[HOST].is_full
    assert broker.apps[HOST].message_limit == 0
