"""Clients that do not read, over real connections."""

from __future__ import annotations

import asyncio
import struct

import pytest

from phlows_cli.model import Cast, CloseCode
from tests.builders import HOST
from tests.fakes import turns
from tests.server.serving import PING, TEXT, frame, http, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

ALL = ("connect", "receive", "close")


def cast(scene, payload):
    return scene.broker.cast(Cast(HOST, payload))


async def slow_socket(scene):
    """A client that does not read, with a small window."""
    client = await scene.client(receive_buffer=4096, limit=1024)
    await client.open()
    client.writer.transport.pause_reading()
    (channel,) = scene.front.channels
    return client, channel


async def cast_until_dropped(scene, payload):
    """Cast until a socket is dropped; how many casts that took."""
    for number in range(1, 100_000):
        if cast(scene, payload).dropped:
            return number
        await asyncio.sleep(0)
    raise AssertionError("nobody was ever too slow")


async def test_a_slow_client_is_cut_at_send_buffer_and_others_are_not():
    limits = {"send_buffer": 100_000}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        slow, channel = await slow_socket(scene)
        quick, _ = await scene.opened()
        payload = b'["' + b"x" * 4000 + b'"]'
        number = await cast_until_dropped(scene, payload)
        assert channel.size <= 200
        assert channel.transport.get_write_buffer_size() <= 100_000
        assert (await scene.told("close"))["code"] == CloseCode.SLOW_CONSUMER
        assert scene.broker.drops.totals["frame to a slow consumer"] >= 1
        for _ in range(number):
            assert await quick.text() == payload
        slow.writer.transport.resume_reading()
        whole = 0
        opcode, got = await slow.frame()
        while opcode == TEXT:
            assert got == payload
            whole += 1
            opcode, got = await slow.frame()
        assert struct.unpack("!H", got[:2])[0] == CloseCode.SLOW_CONSUMER
        assert 0 < whole < number


async def test_a_slow_client_that_reads_in_time_loses_nothing():
    limits = {"send_buffer": 400_000}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        slow, channel = await slow_socket(scene)
        payload = b'["' + b"x" * 4000 + b'"]'
        sent = 0
        while channel.size < 100_000:
            sent += cast(scene, payload).sent
            await asyncio.sleep(0)
        assert scene.front.flusher.waiting == channel.size + channel.stuck
        slow.writer.transport.resume_reading()
        for _ in range(sent):
            assert await slow.text() == payload
        assert scene.front.flusher.waiting == 0


async def test_a_slow_client_is_cut_in_the_end_though_it_never_reads_its_close_frame():
    limits = {"send_buffer": 50_000}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        await slow_socket(scene)
        await cast_until_dropped(scene, b'["' + b"x" * 4000 + b'"]')
        scene.pass_time(1)
        await scene.front.wait_empty()
        assert scene.front.flusher.waiting == 0


async def test_a_client_that_pings_and_never_reads_is_a_slow_consumer():
    limits = {"send_buffer": 50_000}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        slow, _ = await slow_socket(scene)
        flood = frame(b"x" * 125, PING) * 500
        while scene.broker.connected:
            slow.send(flood)
            await scene.settled_reads()
            await turns()
        assert (await scene.told("close"))["code"] == CloseCode.SLOW_CONSUMER


async def test_the_bridge_answers_while_a_slow_client_is_cut():
    limits = {"send_buffer": 50_000}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        await slow_socket(scene)
        await cast_until_dropped(scene, b'["' + b"x" * 4000 + b'"]')
        client = await scene.client()
        answer = await client.ask(http("/health"))
        assert answer.json["dropped"]["frame to a slow consumer"] >= 1
