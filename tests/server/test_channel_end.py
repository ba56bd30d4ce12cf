"""How sockets end over real connections: the close handshake, and without one."""

from __future__ import annotations

import pytest

from phlows_cli.model import Cast, Target
from phlows_cli.server.channel import FRAMES_A_TURN
from tests.builders import HOST
from tests.fakes import turns
from tests.server.serving import CLOSE, PING, PONG, close_frame, frame, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

OPENING = ("connect", "close")
ALL = ("connect", "receive", "close")


def cast(scene, payload=b"{}"):
    return scene.broker.cast(Cast(HOST, payload))


def received(scene):
    return [call.hook.data for call in scene.runtime.calls if call.hook.name == "receive"]


async def test_a_client_that_closes_gets_its_close_frame_back_and_the_stream_ends():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"[0]"), close_frame(4321, b"bye"), frame(b'["after"]'))
        assert await client.close_code() == (4321, "bye")
        assert await client.rest() == b""
        event = await scene.told("close")
        assert (event["code"], event["reason"]) == (4321, "bye")
        client.leave()
        await scene.front.wait_empty()
        await scene.settle()
        assert scene.runtime.names == ["connect", "receive", "close"]


async def test_a_close_frame_without_a_code_is_1005():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"", CLOSE))
        assert await client.close_code() == (1005, "")
        assert (await scene.told("close"))["code"] == 1005


async def test_a_socket_the_broker_closes_waits_for_the_clients_close_frame():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        cast(scene, b'{"last":1}')
        scene.broker.disconnect(HOST, Target.parse("all"), 4321, "enough")
        cast(scene, b'{"late":1}')
        assert await client.text() == b'{"last":1}'
        assert await client.close_code() == (4321, "enough")
        client.send(frame(b'["late"]'), close_frame(4321))
        assert await client.rest() == b""
        client.leave()
        await scene.front.wait_empty()
        assert received(scene) == []


async def test_a_client_that_does_not_answer_a_close_frame_is_cut_after_close_timeout():
    async with serving(auth="none", automatic=ALL, server={"close_timeout": 3.0}) as scene:
        client, _ = await scene.opened()
        scene.broker.disconnect(HOST, Target.parse("all"), 1000, "")
        assert await client.close_code() == (1000, "")
        scene.pass_time(2.9)
        await scene.settled_reads()
        assert scene.front.channels
        scene.pass_time(0.1)
        await scene.front.wait_empty()
        assert await client.rest() == b""


async def test_a_client_that_does_not_end_its_stream_after_both_close_frames_is_cut_too():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        client.send(close_frame())
        await client.close_code()
        await client.rest()
        assert scene.front.channels
        scene.pass_time(1)
        await scene.front.wait_empty()


async def test_both_may_close_at_once():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        client.send(close_frame(4111))
        scene.broker.disconnect(HOST, Target.parse("all"), 4222, "")
        assert (await client.close_code())[0] == 4222
        assert await client.rest() == b""
        assert (await scene.told("close"))["code"] == 4222


async def test_a_socket_that_is_not_read_still_sees_the_clients_close_frame():
    limits = {"pending_events": 1}
    async with serving(auth="none", automatic=OPENING, limits=limits) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"[0]") * 3)
        call = await scene.runtime.started("receive")
        await scene.settled_reads()
        scene.broker.disconnect(HOST, Target.parse("all"), 4321, "")
        assert (await client.close_code())[0] == 4321
        client.send(frame(b"[1]") * 200, close_frame(4321))
        assert await client.rest() == b""
        call.accepts()
        await scene.settle()
        assert received(scene) == ["[0]"]
        assert scene.broker.drops.totals["message of a socket that was closed"] >= 1


async def test_messages_before_the_end_of_the_stream_still_run():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"[0]"), frame(b"[1]"))
        client.end()
        event = await scene.told("close")
        assert event["code"] == 1006
        await scene.front.wait_empty()
        await scene.settle()
        assert scene.runtime.names == ["connect", "receive", "receive", "close"]


async def test_many_messages_before_the_end_of_the_stream_all_run():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        number = 3 * FRAMES_A_TURN
        client.send(*(frame(b"[%d]" % n) for n in range(number)))
        client.end()
        await scene.told("close")
        await scene.settle()
        assert received(scene) == [f"[{n}]" for n in range(number)]


async def test_what_was_cast_before_the_end_of_the_stream_is_still_sent():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        cast(scene, b"[1]")
        client.end()
        assert await client.text() == b"[1]"
        assert await client.rest() == b""


@pytest.mark.parametrize("departure", ["reset", "leave"])
async def test_a_client_that_vanishes_is_a_departure(departure):
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        getattr(client, departure)()
        assert (await scene.told("close"))["code"] == 1006
        await scene.front.wait_empty()
        await scene.settle()
        assert scene.runtime.names == ["connect", "close"]
        assert cast(scene).matched == 0


async def test_clients_that_vanish_amid_casts_do_no_harm_to_the_others():
    async with serving(auth="none", hooks=frozenset()) as scene:
        stays, _ = await scene.opened()
        vanish = [(await scene.opened())[0] for _ in range(30)]
        for number, client in enumerate(vanish):
            cast(scene, b"[%d]" % number)
            getattr(client, ("reset", "leave", "end")[number % 3])()
            cast(scene, b"[%d]" % number)
            await turns(1)
        for number in range(30):
            assert [await stays.text(), await stays.text()] == [b"[%d]" % number] * 2
        while scene.broker.connected > 1:
            await scene.told("close")
        assert cast(scene).matched == 1


async def test_frames_that_a_vanished_client_never_got_are_counted():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        (channel,) = scene.front.channels
        channel.stall()
        cast(scene)
        cast(scene)
        client.reset()
        await scene.front.wait_empty()
        assert scene.broker.drops.totals["frame to a socket that was lost"] == 2


# Keepalive


async def test_a_socket_that_answers_its_pings_stays():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        for _ in range(3):
            scene.pass_time(25, ticks=25)
            assert await client.frame() == (PING, b"")
            client.send(frame(b"", PONG))
            await scene.settled_reads()
        assert scene.front.channels


async def test_a_half_open_socket_is_found_by_its_missing_pong():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        scene.pass_time(25, ticks=25)
        assert await client.frame() == (PING, b"")
        await scene.settled_reads()
        scene.pass_time(25, ticks=25)
        event = await scene.told("close")
        assert (event["code"], event["reason"]) == (1006, "no answer to a ping")
        await client.rest()
        await scene.front.wait_empty()
        await scene.settle()
        assert scene.runtime.names == ["connect", "close"]
        assert scene.broker.drops.totals["socket that answered no ping"] == 1


async def test_anything_that_a_client_sends_is_a_sign_of_life():
    async with serving(auth="none", automatic=ALL) as scene:
        client, _ = await scene.opened()
        for _ in range(3):
            scene.pass_time(25, ticks=25)
            client.send(frame(b"{}"))
            await scene.told("receive")
        assert scene.front.channels


async def test_a_socket_that_is_not_read_is_not_asked_for_signs_of_life():
    limits = {"pending_events": 1}
    async with serving(auth="none", automatic=OPENING, limits=limits) as scene:
        client, _ = await scene.opened()
        client.send(frame(b"{}"), frame(b"{}"))
        call = await scene.runtime.started("receive")
        await scene.settled_reads()
        scene.pass_time(100, ticks=100)
        assert scene.broker.connected == 1
        scene.runtime.automatic.add("receive")
        call.accepts()
        await scene.settle()
        scene.pass_time(25, ticks=25)
        assert await client.frame() == (PING, b"")
