"""Casts to some sockets share the loop: what one turn may deliver has a bound."""

from __future__ import annotations

import asyncio
import json

import pytest

from phlows_cli.broker import turn as turn_module
from tests.server.serving import http, post, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

CAST = b'{"host":"app.test","target":"token:not:x","data":{"n":%d}}'
CASTS = [CAST % number for number in range(6)]


class Steps:
    """How many casts each turn of the loop has brought."""

    def __init__(self, broker):
        self._broker = broker
        self._seen = broker.counts.casts
        self.sizes = []
        self._look()

    def _look(self):
        new = self._broker.counts.casts - self._seen
        self._seen += new
        if new:
            self.sizes.append(new)
        asyncio.get_running_loop().call_soon(self._look)


async def joined(scene):
    """A socket that casts reach."""
    member, _ = await scene.opened()
    await scene.settle()
    return member


async def cast_all(scene):
    """Six casts in one piece; the turns they took, their answers and what arrived."""
    member = await joined(scene)
    client = await scene.client()
    steps = Steps(scene.broker)
    client.send(*map(post, CASTS))
    answers = [await client.answer() for _ in CASTS]
    arrived = [json.loads(await member.text())["n"] for _ in CASTS]
    return steps.sizes, [answer.json["sent"] for answer in answers], arrived


async def test_more_than_a_turn_may_deliver_waits_for_the_next_ones(monkeypatch):
    monkeypatch.setattr(turn_module, "DELIVERIES_A_TURN", 1)
    async with serving(auth="none", automatic=("connect",)) as scene:
        sizes, sent, arrived = await cast_all(scene)
    assert sizes == [1] * 6
    assert sent == [1] * 6
    assert arrived == list(range(6))


async def test_what_fits_in_one_turn_is_done_in_one():
    async with serving(auth="none", automatic=("connect",)) as scene:
        sizes, sent, _ = await cast_all(scene)
    assert sizes == [6]
    assert sent == [1] * 6


async def test_casts_of_many_connections_share_one_turn(monkeypatch):
    monkeypatch.setattr(turn_module, "DELIVERIES_A_TURN", 2)
    async with serving(auth="none", automatic=("connect",)) as scene:
        await joined(scene)
        clients = [await scene.client() for _ in range(5)]
        steps = Steps(scene.broker)
        for client in clients:
            client.send(post(CASTS[0]))
        assert [(await client.answer()).json["sent"] for client in clients] == [1] * 5
    assert max(steps.sizes) <= 2


async def test_a_client_that_leaves_before_its_turn_harms_nobody(monkeypatch):
    monkeypatch.setattr(turn_module, "DELIVERIES_A_TURN", 1)
    async with serving(auth="none", automatic=("connect",)) as scene:
        await joined(scene)
        client = await scene.client()
        client.send(*[post(CASTS[0])] * 50)
        client.reset()
        await scene.settled_reads()
        other = await scene.client()
        assert (await other.ask(http("/ready"))).status == 200
