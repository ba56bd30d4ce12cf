"""Casts to a host while one of its sockets is not authenticated yet."""

from __future__ import annotations

import pytest

from phlows_cli.broker.session import HELD_CASTS
from phlows_cli.model import Cast, Target
from tests.builders import HOST, Stage


def cast(stage, payload, target="all", excluded=()):
    return stage.broker.cast(Cast(HOST, payload, Target.parse(target), frozenset(excluded)))


async def waiting_socket(auth="message", claim="alice"):
    """A socket whose connect hook runs, and that hook."""
    stage = Stage(auth=auth)
    session, peer = stage.connect(claim)
    return stage, session, peer, await stage.runtime.started("connect")


@pytest.mark.parametrize("auth", ["message", "none"])
async def test_the_cast_of_a_sockets_own_connect_hook_reaches_it(auth):
    stage, session, peer, connect = await waiting_socket(auth)
    receipt = cast(stage, b'{"joined":1}')
    assert (receipt.sent, receipt.matched, receipt.dropped, receipt.held) == (0, 0, 0, 1)
    connect.accepts()
    if auth == "message":
        call = await stage.runtime.started("auth")
        assert peer.messages == [], "delivered before auth had said yes"
        call.accepts()
    await stage.settle()
    assert peer.messages == [b'{"joined":1}']
    assert session.sent == 1


async def test_in_upgrade_mode_casts_are_delivered_at_once_and_never_held():
    stage, _, peer, _ = await waiting_socket("upgrade")
    assert cast(stage, b"[1]").held == 0
    assert peer.messages == [b"[1]"]


async def test_held_casts_are_delivered_in_order_and_before_later_ones():
    stage, _, peer, connect = await waiting_socket()
    for number in range(3):
        cast(stage, b"[%d]" % number)
    connect.accepts()
    auth = await stage.runtime.started("auth")
    cast(stage, b"[3]")
    auth.accepts()
    await stage.settle()
    assert cast(stage, b"[4]").sent == 1
    assert peer.messages == [b"[%d]" % number for number in range(5)]


async def test_64_casts_are_held_and_the_oldest_goes_first_and_is_counted():
    stage, _, peer, connect = await waiting_socket()
    receipts = [cast(stage, b"[%d]" % number) for number in range(HELD_CASTS + 3)]
    assert all(receipt.held == 1 for receipt in receipts)
    connect.accepts()
    (await stage.runtime.started("auth")).accepts()
    await stage.settle()
    assert HELD_CASTS == 64
    assert peer.messages == [b"[%d]" % number for number in range(3, HELD_CASTS + 3)]
    assert stage.broker.drops.totals["held cast over 64"] == 3


@pytest.mark.parametrize(
    ("target", "is_for_alice"),
    [
        ("all", True),
        ("token:alice", True),
        ("token:bob", False),
        ("token:not:bob", True),
        ("token:not:alice", False),
        (["token:bob", "token:alice"], True),
        (["token:bob", "token:not:alice"], False),
    ],
)
async def test_the_audience_is_looked_at_when_the_token_is_known(target, is_for_alice):
    stage, session, peer, connect = await waiting_socket(claim="")
    assert cast(stage, b"[1]", target).held == 1, "nobody knows its token yet"
    connect.accepts()
    session.receive('{"token":"alice"}')
    (await stage.runtime.started("auth")).accepts()
    await stage.settle()
    assert peer.messages == [b"[1]"] * is_for_alice


async def test_a_socket_that_is_excluded_by_id_is_not_held_for():
    stage, session, peer, connect = await waiting_socket()
    assert cast(stage, b"[1]", excluded=[session.id]).held == 0
    connect.accepts()
    (await stage.runtime.started("auth")).accepts()
    await stage.settle()
    assert peer.messages == []


@pytest.mark.parametrize("prefix", ["", "socket:"])
async def test_a_cast_to_its_own_id_goes_out_from_accept_on(prefix):
    stage, session, peer, _ = await waiting_socket()
    receipt = cast(stage, b"[1]", prefix + session.id)
    assert (receipt.sent, receipt.held) == (1, 0)
    assert peer.messages == [b"[1]"]


async def test_a_cast_to_its_id_and_to_all_reaches_a_waiting_socket_once():
    stage, session, peer, connect = await waiting_socket()
    receipt = cast(stage, b"[1]", ["all", session.id])
    assert (receipt.sent, receipt.held) == (1, 0)
    connect.accepts()
    (await stage.runtime.started("auth")).accepts()
    await stage.settle()
    assert peer.messages == [b"[1]"]


async def test_a_cast_to_other_ids_only_is_not_held():
    stage, _, _, _ = await waiting_socket()
    assert cast(stage, b"[1]", ["f" * 16]).held == 0
    assert cast(stage, b"[1]", []).held == 0


@pytest.mark.parametrize("hook", ["connect", "auth"])
@pytest.mark.parametrize("end", ["refuses", "fails"])
async def test_held_casts_are_forgotten_when_the_socket_is_turned_away(hook, end):
    stage, _, peer, call = await waiting_socket()
    stage.runtime.automatic = {"close"}
    cast(stage, b"[1]")
    if hook == "auth":
        call.accepts()
        call = await stage.runtime.started("auth")
    getattr(call, end)()
    await stage.settle()
    assert peer.messages == []
    assert peer.closed is not None


async def test_held_casts_are_forgotten_when_the_client_leaves():
    stage, session, peer, connect = await waiting_socket("none")
    stage.runtime.automatic = {"close"}
    cast(stage, b"[1]")
    session.left(1000, "")
    assert cast(stage, b"[2]").held == 0
    connect.accepts()
    await stage.settle()
    assert peer.messages == []


async def test_each_waiting_socket_counts_as_one_held():
    stage, _, _, _ = await waiting_socket()
    stage.connect("bob")
    stage.connect("")
    receipt = cast(stage, b"[1]")
    assert (receipt.matched, receipt.held) == (0, 3)


async def test_a_client_that_cannot_take_its_held_casts_is_ended_within_them():
    stage, _, peer, connect = await waiting_socket()
    stage.runtime.automatic = {"auth", "close"}
    for number in range(3):
        cast(stage, b"[%d]" % number)
    peer.is_slow = True
    connect.accepts()
    await stage.settle()
    assert peer.code == 4000
    assert peer.messages == []
    assert stage.runtime.names[-1] == "close"
