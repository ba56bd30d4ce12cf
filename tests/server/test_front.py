"""Another configuration for what all connections share."""

from __future__ import annotations

import pytest

from phlows_cli.model import HOOK_NAMES
from tests.builders import make_config, make_limits, make_server
from tests.server.serving import PING, close_frame, frame, http, serving

pytestmark = pytest.mark.usefixtures("loop_factory")


def apply(scene, tick=1, limits=None, **server):
    """Apply other settings, as a reload does."""
    limits = make_limits(**limits or {})
    scene.broker.apply_limits(limits)
    config = make_config(server=make_server(**server), limits=limits)
    scene.front.apply(config, scene.front.access, tick)


def opening(**settings):
    return serving(auth="none", automatic=HOOK_NAMES, **settings)


async def test_sockets_are_pinged_at_the_new_pace():
    async with opening(server={"ping_interval": 100.0}) as scene:
        client, _ = await scene.opened()
        apply(scene, ping_interval=4.0)
        scene.pass_time(4.0, ticks=4)
        assert await client.frame() == (PING, b"")


async def test_reloads_that_leave_the_pace_alone_put_no_ping_off():
    async with opening(server={"ping_interval": 4.0}) as scene:
        client, _ = await scene.opened()
        for _ in range(4):
            apply(scene, ping_interval=4.0)
            scene.pass_time(1.0)
        assert await client.frame() == (PING, b"")


async def test_a_socket_that_leaves_after_the_pace_has_changed_is_forgotten():
    async with opening() as scene:
        client, _ = await scene.opened()
        apply(scene, ping_interval=3.0)
        client.send(close_frame(1000))
        await client.close_code()
        client.leave()
        await scene.told("close")
        await scene.front.wait_empty()
        scene.pass_time(6.0, ticks=6)
        assert not scene.front.channels


async def test_a_head_has_the_new_time_from_the_next_one_on():
    async with opening() as scene:
        apply(scene, limits={"handshake_timeout": 1.0})
        client = await scene.client()
        client.send(b"GET / HTTP/1.1\r\n")
        await scene.settled_reads()
        scene.pass_time(1.1)
        assert (await client.answer()).status == 408


async def test_the_close_handshake_has_the_new_time():
    async with opening() as scene:
        client, session = await scene.opened()
        apply(scene, close_timeout=0.5)
        session.end(1000, "")
        await client.close_code()
        scene.pass_time(0.6)
        assert await client.rest() == b""


async def test_buffers_are_bounded_anew_for_every_socket():
    async with opening() as scene:
        await scene.opened()
        apply(scene, limits={"send_buffer": 1000, "send_total": 2000})
        flusher = scene.front.flusher
        assert (flusher.send_buffer, flusher.send_total, flusher.flush_size) == (1000, 2000, 1000)


async def test_messages_are_bounded_anew_for_new_sockets_only():
    async with opening() as scene:
        old, _ = await scene.opened()
        apply(scene, limits={"max_message": 10, "message_rate": 0.5})
        new, _ = await scene.opened()
        big = frame(b'{"text":"over ten bytes"}')
        old.send(big, big, big)
        new.send(big)
        assert (await new.close_code())[0] == 1009
        for _ in range(3):
            assert (await scene.told("receive"))["bytes"] == 25
        old.send(close_frame(1000))
        assert await old.close_code() == (1000, "")


async def test_other_paths_and_access_rules_hold_for_open_connections():
    async with opening() as scene:
        caller = await scene.client()
        assert (await caller.ask(http("/ws"))).status == 404
        config = make_config(server=make_server(paths=("/ws",)))
        scene.front.apply(config, scene.front.access, 1)
        assert (await caller.ask(http("/ws"))).status == 426
