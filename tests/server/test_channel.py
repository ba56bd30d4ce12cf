"""Sockets over real connections: frames, floods, slowness and the end."""

from __future__ import annotations

import struct

import pytest

from phlows_cli.model import Cast, CloseCode, Target
from phlows_cli.server.channel import FRAMES_A_TURN, Channel
from tests.builders import HOST
from tests.fakes import FakeTransport, turns
from tests.server.serving import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    serving,
)

pytestmark = pytest.mark.usefixtures("loop_factory")

OPENING = ("connect", "close")
ALL = ("connect", "receive", "close")


def cast(scene, payload=b"{}", target="all"):
    return scene.broker.cast(Cast(HOST, payload, Target.parse(target)))


def received(scene):
    return [call.hook.data for call in scene.runtime.calls if call.hook.name == "receive"]


# Messages


async def test_messages_reach_the_app_and_its_lines_the_client_in_order():
    async with serving(auth="none", automatic=OPENING) as scene:
        client, _ = await scene.opened()
        client.send(frame(b'{"n":1}'), frame(b'{"n":2}'))
        for number in (b"1", b"2"):
            call = await scene.runtime.started("receive")
            call.prints(b'{"answer":%b}' % number)
            call.accepts()
            assert await client.text() == b'{"answer":%b}' % number


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 200_000])
async def test_a_cast_of_any_size_arrives_whole(size):
    async with serving(auth="none", automatic=OPENING) as scene:
        client, _ = await scene.opened()
        payload = b'["' + b"x" * size + b'"]'
        assert cast(scene, payload).sent == 1
        assert await client.text() == payload


async def test_casts_of_one_turn_come_in_order():
    async with serving(auth="none", automatic=OPENING) as scene:
        client, _ = await scene.opened()
        for number in range(500):
            cast(scene, b"[%d]" % number)
        assert [await client.text() for _ in range(500)] == [b"[%d]" % n for n in range(500)]


async def test_a_pong_takes_its_place_among_the_casts():
    async with serving(auth="none", automatic=OPENING) as scene:
        client, _ = await scene.opened()
        cast(scene, b"[0]")
        client.send(frame(b"x", PING))
        await scene.settled_reads()
        cast(scene, b"[1]")
        assert [await client.frame() for _ in range(3)] == [
            (TEXT, b"[0]"),
            (PONG, b"x"),
            (TEXT, b"[1]"),
        ]


async def test_many_frames_in_one_read_are_all_handled_in_order_and_over_several_turns():
    async with serving(auth="none", automatic=ALL) as scene:
        client, session = await scene.opened()
        number = 5 * FRAMES_A_TURN + 7
        client.send(*(frame(b"[%d]" % n) for n in range(number)))
        for _ in range(number):
            await scene.told("receive")
        await scene.settle()
        assert received(scene) == [f"[{n}]" for n in range(number)]
        assert session.received == number


async def test_a_flood_of_pings_is_answered_whole_and_others_get_their_turn():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        number = 10 * FRAMES_A_TURN
        client.send(*(frame(b"%d" % n, PING) for n in range(number)), frame(b"[1]"))
        other, _ = await scene.opened()
        other.send(frame(b'["other"]'))
        for _ in range(2):
            await scene.told("receive")
        for n in range(number):
            assert await client.frame() == (PONG, b"%d" % n)


async def test_back_pressure_holds_a_flood_and_loses_nothing():
    limits = {"pending_events": 3}
    async with serving(auth="none", automatic=OPENING, limits=limits) as scene:
        client, session = await scene.opened()
        number = 4 * FRAMES_A_TURN
        client.send(*(frame(b"[%d]" % n) for n in range(number)))
        call = await scene.runtime.started("receive")
        await scene.settled_reads()
        assert len(session._pending) <= 3 + FRAMES_A_TURN
        (channel,) = scene.front.channels
        assert not channel.transport.is_reading()
        scene.runtime.automatic.add("receive")
        call.accepts()
        for _ in range(number):
            await scene.told("receive")
        await scene.settle()
        assert received(scene) == [f"[{n}]" for n in range(number)]
        assert channel.transport.is_reading()


# What clients must not do


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"\x00", BINARY), CloseCode.UNSUPPORTED_DATA),
        (frame(b"\xff\xfe"), CloseCode.INVALID_TEXT),
        (frame(b'"' + b"x" * 65_536), CloseCode.TOO_BIG),
        (b"\x81\x02{}", CloseCode.PROTOCOL_ERROR),
        (b"\xc1\x82" + b"\0" * 6, CloseCode.PROTOCOL_ERROR),
        (frame(b"{}", 0), CloseCode.PROTOCOL_ERROR),
        (frame(struct.pack("!H", 1005), CLOSE), CloseCode.PROTOCOL_ERROR),
    ],
)
async def test_a_broken_rule_closes_with_its_code_and_what_came_before_is_dropped(data, code):
    async with serving(auth="none", automatic=OPENING) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"[0]"), frame(b"[1]"), data, frame(b"[2]"))
        assert (await client.close_code())[0] == code
        assert await client.rest() == b"", "the stream ends after the close frame"
        assert (await scene.told("close"))["code"] == code
        client.leave()
        scene.runtime.automatic.add("receive")
        for call in scene.runtime.calls:
            if call.hook.name == "receive":
                call.accepts()
        await scene.settle()
        assert scene.runtime.names.count("close") == 1
        assert "[2]" not in received(scene)


async def test_more_messages_than_message_rate_close_4003():
    limits = {"message_rate": 2.0}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"{}") * 4)
        await scene.settled_reads()
        scene.clock.advance(1)
        client.send(frame(b"{}") * 3)
        code, reason = await client.close_code()
        assert code == CloseCode.TOO_FAST
        assert reason == "more than 2 messages a second (limits.message_rate)"


async def test_control_frames_count_against_message_rate():
    limits = {"message_rate": 2.0}
    async with serving(auth="none", automatic=ALL, limits=limits) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"x", PING) * 5)
        opcode, _ = await client.frame()
        while opcode == PONG:
            opcode, payload = await client.frame()
        assert opcode == CLOSE
        assert payload[:2] == struct.pack("!H", CloseCode.TOO_FAST)


# What only a transport in the test's hand can show


def channel_of(scene, **transport):
    """A channel with its session on a transport that the test reads from."""
    transport = FakeTransport(**transport)
    channel = Channel(scene.front, transport, "192.0.2.7", "fake/1")
    transport.protocol = channel
    channel.session = scene.broker.open(scene.app, "f" * 16, "", channel)
    scene.front.adopt(channel)
    channel.session.start()
    return channel, transport


async def test_a_close_frame_that_is_not_read_yet_is_followed_by_the_end_once_it_is():
    async with serving(auth="none", automatic=ALL) as scene:
        channel, transport = channel_of(scene, appetite=0)
        channel.send(b"x")
        await turns()
        channel.data_received(close_frame(1000))
        assert channel.eof_received()
        assert transport.events == []
        transport.reads()
        assert transport.writes == [b"x", b"\x88\x02\x03\xe8"]
        assert transport.events == ["close"], "both streams are at their end"
        transport.lose()


async def test_a_transport_that_cannot_end_a_stream_is_closed_after_the_close_frame():
    async with serving(auth="none", automatic=ALL) as scene:
        channel, transport = channel_of(scene)
        transport.can_end = False
        channel.data_received(close_frame(1000))
        await turns()
        assert transport.events == ["close"]
        transport.lose()


async def test_what_a_paused_transport_still_hands_over_waits_its_turn():
    limits = {"pending_events": 2}
    async with serving(auth="none", automatic=OPENING, limits=limits) as scene:
        channel, transport = channel_of(scene)
        await scene.settle()
        channel.data_received(frame(b"[0]") + frame(b"[1]"))
        assert transport.events == ["pause"]
        channel.data_received(frame(b"[2]"))
        channel.data_received(frame(b"[3]"))
        assert channel.session.received == 2
        scene.runtime.automatic.add("receive")
        for _ in range(4):
            await scene.told("receive")
        await scene.settle()
        assert received(scene) == ["[0]", "[1]", "[2]", "[3]"]
        transport.lose()


async def test_a_socket_closed_between_two_turns_of_a_flood_reads_on_for_the_close_frame():
    async with serving(auth="none", automatic=ALL) as scene:
        channel, transport = channel_of(scene)
        await scene.settle()
        channel.data_received(frame(b"{}") * (FRAMES_A_TURN + 1) + close_frame(4000))
        channel.data_received(b"")
        assert channel.session.received == FRAMES_A_TURN
        channel.session.end(4321, "")
        await turns()
        assert channel.session.received == FRAMES_A_TURN
        assert transport.written == b"\x88\x02\x10\xe1"
        assert transport.events == ["pause", "resume", "eof"]
        transport.lose()


async def test_a_channel_that_is_lost_is_not_read_on():
    async with serving(auth="none", automatic=ALL) as scene:
        channel, transport = channel_of(scene)
        await scene.settle()
        channel.data_received(frame(b"{}") * (FRAMES_A_TURN + 1))
        channel.abort()
        channel.data_received(frame(b"{}"))
        await turns()
        assert channel.session.received == FRAMES_A_TURN
        assert transport.events == ["pause", "abort"]
        transport.lose()


async def test_the_end_of_the_clients_stream_is_a_departure_though_answers_still_wait():
    async with serving(auth="none", automatic=ALL) as scene:
        channel, transport = channel_of(scene, appetite=0)
        await scene.settle()
        for _ in range(3):
            channel.send(b"x")
            await turns()
        assert channel.eof_received()
        assert channel.session.is_gone
        assert transport.events == [], "what waits may still be read"
        transport.lose()
        drops = scene.broker.drops.totals
        assert drops["frame to a socket that was lost"] == 0, "it went by itself"
