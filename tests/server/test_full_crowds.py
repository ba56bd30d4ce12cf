"""Casts to all sockets of a host, more than are kept at a time: they wait their turn."""

from __future__ import annotations

import asyncio
import json

import pytest

from phlows_cli.server.outbox import FLUSH_SIZE
from tests.builders import HOST
from tests.fakes import turns
from tests.server.serving import http, post, serving

pytestmark = pytest.mark.usefixtures("loop_factory")


def body(number, size=FLUSH_SIZE // 2):
    return json.dumps({"host": HOST, "data": {"n": number, "pad": "x" * size}}).encode()


async def sockets(scene, number=2):
    return [(await scene.opened())[0] for _ in range(number)]


async def numbers(member, count):
    return [json.loads(await member.text())["n"] for _ in range(count)]


async def test_what_is_pipelined_is_answered_and_arrives_in_order():
    async with serving(auth="none", automatic=("connect",)) as scene:
        members = await sockets(scene)
        client = await scene.client()
        client.send(*[post(body(n)) for n in range(8)], http("/ready"))
        assert [(await client.answer()).json.get("sent") for _ in range(9)] == [2] * 8 + [None]
        for member in members:
            assert await numbers(member, 8) == list(range(8))


async def test_many_connections_wait_in_one_line():
    async with serving(auth="none", automatic=("connect",)) as scene:
        members = await sockets(scene)
        clients = [await scene.client() for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(post(body(number)))
        assert [(await client.answer()).json["sent"] for client in clients] == [2] * 10
        heard = [await numbers(member, 10) for member in members]
        assert sorted(heard[0]) == list(range(10))
        assert heard[0] == heard[1]


class Held:
    """A scene whose crowd goes nowhere: the flusher's turns are the test's."""

    def __init__(self, scene):
        self._flusher = scene.front.flusher
        self._flusher._call_soon = lambda work: setattr(self, "_work", work)

    def let_go(self):
        self._flusher._call_soon = asyncio.get_running_loop().call_soon
        self._work()


async def waiting_cast(scene, client):
    """Two casts, of which the second has to wait; what holds it up."""
    held = Held(scene)
    client.send(post(body(0)), post(body(1)))
    assert (await client.answer()).json["sent"] == 2
    await scene.settled_reads()
    return held


async def test_others_are_answered_while_a_cast_waits():
    async with serving(auth="none", automatic=("connect",)) as scene:
        members = await sockets(scene)
        client, other = await scene.client(), await scene.client()
        held = await waiting_cast(scene, client)
        assert (await other.ask(http("/ready"))).status == 200
        assert scene.broker.counts.casts == 1
        held.let_go()
        assert (await client.answer()).json["sent"] == 2
        assert [await numbers(member, 2) for member in members] == [[0, 1]] * 2


async def test_a_host_that_is_removed_meanwhile_is_unknown():
    async with serving(auth="none", automatic=("connect",)) as scene:
        await sockets(scene)
        client = await scene.client()
        held = await waiting_cast(scene, client)
        scene.broker.remove_host(HOST)
        held.let_go()
        answer = await client.answer()
        assert answer.status == 400
        assert HOST in answer.json["message"]


async def test_a_cast_of_a_client_that_is_gone_is_made_all_the_same():
    async with serving(auth="none", automatic=("connect",)) as scene:
        members = await sockets(scene)
        client = await scene.client()
        held = await waiting_cast(scene, client)
        client.reset()
        await scene.settled_reads()
        held.let_go()
        assert [await numbers(member, 2) for member in members] == [[0, 1]] * 2


async def test_a_broker_that_stops_meanwhile_leaves_nothing_behind():
    async with serving(auth="none", automatic=("connect",)) as scene:
        await sockets(scene)
        client = await scene.client()
        held = await waiting_cast(scene, client)
        await scene.broker.tasks.stop()
        held.let_go()
        await turns()
        assert scene.broker.counts.casts == 1
