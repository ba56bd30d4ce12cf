"""Upgrades over real sockets: refused, accepted, or asked about first."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.model import Outcome
from phlows_cli.server.connection import EARLY_BYTES
from tests.builders import HOST
from tests.server.serving import frame, http, post, serving, upgrade

pytestmark = pytest.mark.usefixtures("loop_factory")

CAST = b'{"host":"app.test","data":{"n":%d}}'
OPENING = ("connect", "auth")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/elsewhere", {}, 404),
        ("/health", {}, 404),
        ("/websocket", {"host": "x.test"}, 421),
        ("/websocket", {"origin": "https://evil.example"}, 403),
        ("/websocket", {"origin": "null"}, 403),
        ("/websocket", {"sec_websocket_version": "8"}, 426),
        ("/websocket", {"sec_websocket_key": "short"}, 400),
        ("/websocket", {"cookie": "token=%00"}, 400),
        ("/websocket", {"cookie": "token=" + "x" * 4097}, 400),
    ],
)
async def test_an_upgrade_that_is_refused_says_why_and_starts_nothing(path, headers, status):
    async with serving() as scene:
        client = await scene.client()
        answer = await client.ask(upgrade(path, **headers))
        assert answer.status == status
        assert answer.message
        assert await client.rest() == b""
        assert scene.runtime.calls == []


async def test_an_upgrade_is_accepted_from_its_own_page_and_after_other_requests():
    async with serving(automatic=OPENING) as scene:
        client = await scene.client()
        client.send(http("/ready"), upgrade(origin=f"https://{HOST}"))
        assert (await client.answer()).status == 200
        switched = await client.answer()
        assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in switched.head


async def test_the_visitors_host_and_address_come_from_a_trusted_proxy():
    async with serving(automatic=OPENING) as scene:
        await scene.opened(
            host="inner", x_forwarded_host=f"{HOST}:443", x_forwarded_for="1.2.3.4, 203.0.113.9"
        )
        event = await scene.told("open")
        assert event["address"] == "203.0.113.9"


async def test_behind_https_a_page_over_http_may_not_open_a_socket():
    async with serving() as scene:
        client = await scene.client()
        request = upgrade(x_forwarded_proto="https", origin=f"http://{HOST}")
        assert (await client.ask(request)).status == 403


async def test_hooks_of_an_upgrade_run_only_after_the_101_is_on_its_way():
    async with serving() as scene:
        client, _ = await scene.opened()
        connect = await scene.runtime.started("connect")
        connect.refuses()
        assert await client.close_code() == (4500, "connect refused")


async def test_a_connect_hooks_own_cast_reaches_the_newcomer_after_its_101():
    async with serving(auth="upgrade", automatic=["auth"]) as scene:
        client = await (await scene.client()).open(cookie="token=alice")
        connect = await scene.runtime.started("connect")
        caster = await scene.client()
        assert (await caster.ask(post(CAST % 1))).json["sent"] == 1
        assert await client.text() == b'{"n":1}'
        connect.accepts()


async def test_frames_that_come_with_the_upgrade_are_not_lost():
    async with serving(auth="none", automatic=["connect", "receive"]) as scene:
        client = await scene.client()
        client.send(upgrade(), frame(b"[0]"), frame(b"[1]")[:4])
        assert (await client.answer()).status == 101
        client.send(frame(b"[1]")[4:])
        for _ in range(2):
            await scene.told("receive")
        await scene.settle()
        assert [call.hook.data for call in scene.runtime.calls] == [None, "[0]", "[1]"]


# While the app is asked before the upgrade


async def asked(scene, *early):
    """A client whose upgrade waits for the auth hook, and that hook."""
    client = await scene.client()
    client.send(upgrade(cookie="token=alice"), *early)
    return client, await scene.runtime.started("auth")


async def test_early_frames_wait_for_the_101_and_are_not_lost():
    async with serving(auth="upgrade", automatic=["connect", "receive"]) as scene:
        client, auth = await asked(scene, frame(b"[0]"), frame(b"[1]"))
        client.send(frame(b"[2]"), frame(b"[3]")[:3])
        await scene.settled_reads()
        assert scene.runtime.names == ["auth"]
        auth.accepts()
        assert (await client.answer()).status == 101
        client.send(frame(b"[3]")[3:])
        for _ in range(4):
            await scene.told("receive")
        await scene.settle()
        received = [call.hook.data for call in scene.runtime.calls if call.hook.name == "receive"]
        assert received == ["[0]", "[1]", "[2]", "[3]"]


async def test_more_early_bytes_than_are_held_wait_in_the_kernel_and_are_not_lost():
    async with serving(auth="upgrade", automatic=["connect", "receive"]) as scene:
        text = b'["' + b"x" * 9_000 + b'"]'
        client, auth = await asked(scene, frame(text))
        for _ in range(30):
            client.send(frame(text))
            await scene.settled_reads()
        (connection,) = (c for c in scene.front.connections if c._early is not None)
        assert EARLY_BYTES <= len(connection._early) < EARLY_BYTES + 262_144
        assert not connection._transport.is_reading()
        auth.accepts()
        assert (await client.answer()).status == 101
        for _ in range(31):
            await scene.told("receive")
        await scene.settle()


@pytest.mark.parametrize(
    ("end", "status"),
    [("refuses", 401), ("fails", 401), ("times_out", 503), ("overloads", 503)],
)
async def test_what_auth_answers_before_the_101_is_a_status(end, status):
    async with serving(auth="upgrade") as scene:
        client, auth = await asked(scene)
        if end == "times_out":
            auth.ends(Outcome.TIMEOUT)
        elif end == "overloads":
            auth.ends(Outcome.OVERLOADED, started=False)
        else:
            getattr(auth, end)()
        answer = await client.answer()
        assert answer.status == status
        assert ("retry-after" in answer.headers) == (status == 503)
        assert await client.rest() == b""
        assert scene.runtime.names == ["auth"], "no connect, no close"


async def test_without_a_cookie_nobody_is_asked():
    async with serving(auth="upgrade") as scene:
        answer = await (await scene.client()).ask(upgrade())
        assert answer.status == 401
        assert "cookie 'token'" in answer.message
        assert scene.runtime.calls == []


@pytest.mark.parametrize("departure", ["reset", "leave", "end"])
@pytest.mark.parametrize("verdict", ["accepts", "refuses"])
async def test_a_client_gone_during_auth_does_no_harm(departure, verdict):
    async with serving(auth="upgrade") as scene:
        client, auth = await asked(scene)
        getattr(client, departure)()
        while len(scene.front.connections) > 1:
            await scene.settled_reads()
        getattr(auth, verdict)()
        await scene.settle()
        assert scene.runtime.names == ["auth"], "no connect, no close"
        assert scene.broker.hub.count(HOST) == 0
        assert not scene.front.channels
        again, auth = await asked(scene)
        auth.accepts()
        assert (await again.answer()).status == 101


async def test_a_verdict_in_the_same_turn_as_the_departure_does_no_harm():
    async with serving(auth="upgrade", automatic=["close"]) as scene:
        client, auth = await asked(scene)
        (connection,) = (c for c in scene.front.connections if c._early is not None)
        auth.accepts()
        if connection.eof_received() is False:
            connection._transport.close()
        await scene.settle()
        await client.rest()
        await scene.front.wait_empty()
        assert "connect" not in scene.runtime.names


async def test_an_upgrade_that_was_asked_about_when_the_broker_drained_is_answered_503():
    async with serving(auth="upgrade") as scene:
        client, auth = await asked(scene)
        draining = asyncio.ensure_future(scene.broker.drain(60))
        await scene.settled_reads()
        auth.accepts()
        assert (await client.answer()).status == 503
        assert await draining == 0
        assert not scene.front.channels
        assert (await (await scene.client()).ask(upgrade(cookie="token=a"))).status == 503


# Limits on upgrades


async def refused(scene, **headers):
    """The answer to an upgrade that is over a limit."""
    answer = await (await scene.client()).ask(upgrade(**headers))
    assert answer.status == 503, answer.body
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    return answer.message


async def test_an_upgrade_over_a_rate_starts_nothing_and_names_the_setting():
    async with serving(auth="upgrade", limits={"handshake_rate": 0.5}) as scene:
        client, auth = await asked(scene)
        assert "(limits.handshake_rate)" in await refused(scene, cookie="token=bob")
        assert scene.runtime.names == ["auth"]
        assert scene.broker.drops.totals == {"upgrade over limits.handshake_rate": 1}
        auth.accepts()
        assert (await client.answer()).status == 101


async def test_only_upgrades_count_not_requests_nor_upgrades_that_are_wrong():
    async with serving(automatic=OPENING, limits={"handshake_rate": 0.5}) as scene:
        client = await scene.client()
        for _ in range(5):
            assert (await client.ask(http("/ready"))).status == 200
            assert (await (await scene.client()).ask(upgrade(origin="null"))).status == 403
        await scene.opened()
        assert "(limits.handshake_rate)" in await refused(scene)


async def test_the_rate_of_one_address_is_that_of_the_visitor_behind_the_proxy():
    async with serving(automatic=OPENING, limits={"per_address": 0.5}) as scene:
        await scene.opened(x_forwarded_for="203.0.113.9")
        said = await refused(scene, x_forwarded_for="198.51.100.1, 203.0.113.9")
        assert "(limits.per_address)" in said
        await scene.opened(x_forwarded_for="203.0.113.10")
        await scene.opened(x_forwarded_for="unknown")
        await scene.opened(x_forwarded_for="unknown")
        assert scene.broker.drops.totals == {"upgrade over limits.per_address": 1}


async def test_a_host_over_its_sockets_leaves_room_for_those_that_leave():
    async with serving(auth="none", automatic=["connect", "close"], max_connections=1) as scene:
        client, _ = await scene.opened()
        assert f'(hosts."{HOST}".max_connections)' in await refused(scene)
        client.reset()
        await scene.told("close")
        await scene.opened()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("Firefox/145", "Firefox/145"),
        ("k\xc3\xa4se/1", "käse/1"),
        ("k\xe4se/1", "k\ufffdse/1"),
        ("a" * 300, "a" * 256),
    ],
)
async def test_the_user_agent_is_kept_as_text_and_cut(sent, kept):
    async with serving(auth="none") as scene:
        client = await scene.client()
        client.send(upgrade(user_agent=sent).decode().encode("latin-1"))
        assert (await client.answer()).status == 101
        (session,) = scene.broker.sessions()
        assert session.peer.agent == kept
