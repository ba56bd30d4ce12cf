"""HTTP over real sockets: order, limits, deadlines and upgrades."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from phlows_cli.server import connection as connection_module
from phlows_cli.server import front as front_module
from phlows_cli.server.access import Access
from phlows_cli.server.connection import Connection
from tests.builders import KEY, make_bridge, make_server
from tests.fakes import FakeTransport, turns
from tests.server.serving import frame, http, post, serving, upgrade

pytestmark = pytest.mark.usefixtures("loop_factory")

CAST = b'{"host":"app.test","data":{"n":%d}}'
OPENING = ("connect", "auth")


# Requests


async def test_pipelined_requests_are_answered_in_order():
    async with serving() as scene:
        client = await scene.client()
        client.send(
            http("/ready"),
            post(b'{"host":"app.test","target":[]}'),
            http("/nowhere"),
            post(b"bad"),
            http("/health"),
        )
        answers = [await client.answer() for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 404, 400, 200]
        assert answers[1].json["matched"] == 0
        assert "uptime" in answers[4].json


async def test_a_request_may_come_byte_by_byte():
    async with serving() as scene:
        client = await scene.client()
        for byte in post(b'{"host":"app.test"}'):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200


async def test_what_was_let_in_once_is_looked_at_again_under_other_rules():
    async with serving() as scene:
        client = await scene.client()
        cast = post(b'{"host":"app.test"}')
        assert [(await client.ask(cast)).status for _ in range(2)] == [200, 200]
        strict = Access(make_server(), make_bridge(allow=()), KEY)
        scene.front.access = scene.front.bridge.access = strict
        assert [(await client.ask(cast)).status for _ in range(2)] == [401, 401]


async def test_to_let_one_head_in_lets_no_other_in():
    async with serving() as scene:
        client = await scene.client()
        body = b'{"host":"app.test"}'
        cast = post(body)
        from_browser = http("/message", "POST", {"origin": "https://evil.test"}, body)
        asked = [cast, from_browser, cast, http("/metrics"), cast, from_browser]
        statuses = [(await client.ask(request)).status for request in asked]
        assert statuses == [200, 401, 200, 401, 200, 401]


async def test_good_requests_are_answered_before_the_error_that_ends_the_connection():
    async with serving() as scene:
        client = await scene.client()
        client.send(http("/ready"), http("/ready"), b"GET / HTTP/9.9\r\n\r\n", http("/ready"))
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 505]
        assert await client.rest() == b""


async def test_an_error_is_read_by_a_client_that_still_sends():
    async with serving(bridge={"body_limit": 1000}) as scene:
        client = await scene.client()
        client.send(http("/message", "POST", {"content-length": "1000000"}))
        for _ in range(50):
            client.send(b"x" * 10_000)
        answer = await client.answer()
        assert answer.status == 413
        assert "bridge.body_limit" in answer.message
        assert answer.headers["connection"] == "close"


async def test_a_connection_that_was_told_to_close_is_closed_after_the_answer():
    async with serving() as scene:
        client = await scene.client()
        client.send(http("/ready", headers={"connection": "close"}), http("/ready"))
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.rest() == b""


async def test_a_client_that_does_not_close_after_its_last_answer_is_cut_after_close_timeout():
    async with serving(server={"close_timeout": 3.0}) as scene:
        client = await scene.client()
        assert (await client.ask(b"GET / HTTP/9.9\r\n\r\n")).status == 505
        scene.pass_time(2.9)
        assert len(scene.front.connections) == 2
        scene.pass_time(0.1)
        await client.rest()
        await scene.settled_reads()
        assert len(scene.front.connections) == 1


async def test_the_answer_to_continue_comes_after_the_answers_before_it():
    async with serving() as scene:
        client = await scene.client()
        expecting = http("/message", "POST", {"content-length": "19", "expect": "100-continue"})
        client.send(http("/ready"), expecting)
        assert (await client.answer()).status == 200
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(b'{"host":"app.test"}')).status == 200


async def test_a_client_that_ends_its_stream_gets_every_answer_and_nothing_else():
    async with serving() as scene:
        client = await scene.client()
        client.send(http("/ready") * 3)
        client.end()
        for _ in range(3):
            assert (await client.answer()).status == 200
        assert await client.rest() == b""


async def test_answers_wait_for_a_client_that_does_not_read_and_all_come_in_the_end():
    async with serving(server={"paths": ("/websocket",)}) as scene:
        client = await scene.client(receive_buffer=4096, limit=1024)
        number = 3000
        client.send(http("/nowhere?" + "x" * 500) * number)
        client.end()
        await scene.settled_reads()
        (connection,) = (c for c in scene.front.connections if c._is_stalled)
        assert connection._transport.get_write_buffer_size() < 1_000_000
        for _ in range(number):
            assert (await client.answer()).status == 404
        assert await client.rest() == b""


async def test_a_client_that_never_reads_its_answers_is_cut_in_the_end():
    async with serving() as scene:
        client = await scene.client(receive_buffer=4096, limit=1024)
        client.send(http("/nowhere") * 20_000)
        while not any(c._is_stalled for c in scene.front.connections):
            await scene.settled_reads()
        (connection,) = (c for c in scene.front.connections if c._is_stalled)
        assert not connection._transport.is_reading(), "it would hold requests without bound"
        scene.pass_time(front_module.IDLE_TIMEOUT - 0.1)
        await scene.settled_reads()
        assert len(scene.front.connections) == 2
        scene.pass_time(0.1)
        await scene.settled_reads()
        assert len(scene.front.connections) == 1


async def test_sockets_path_without_an_upgrade_says_what_it_is_for():
    async with serving() as scene:
        client = await scene.client()
        answer = await client.ask(http("/websocket"))
        assert answer.status == 426
        assert answer.headers["upgrade"] == "websocket"
        assert (await client.ask(http("/ready"))).status == 200


async def test_where_every_path_takes_upgrades_the_bridge_still_answers():
    async with serving(server={"paths": ("*",)}, automatic=OPENING) as scene:
        client = await scene.client()
        assert (await client.ask(http("/ready"))).status == 200
        assert (await client.ask(http("/anything"))).status == 404
        await client.open("/anything/at/all")


# Deadlines and limits


async def test_a_head_that_does_not_come_whole_in_time_is_answered_408():
    async with serving() as scene:
        client = await scene.client()
        client.send(http("/ready")[:-1])
        await scene.settled_reads()
        scene.pass_time(9.9)
        scene.pass_time(0.1)
        answer = await client.answer()
        assert answer.status == 408
        assert "10 s (limits.handshake_timeout)" in answer.message
        assert await client.rest() == b""


async def test_a_body_that_does_not_come_whole_in_time_is_answered_408():
    async with serving() as scene:
        client = await scene.client()
        client.send(post(b'{"host":"app.test"}')[:-1])
        await scene.settled_reads()
        scene.pass_time(10)
        assert (await client.answer()).status == 408


async def test_a_trickle_does_not_extend_the_deadline():
    async with serving() as scene:
        client = await scene.client()
        for byte in http("/ready")[:8]:
            client.send(bytes([byte]))
            await scene.settled_reads()
            scene.pass_time(1)
        scene.pass_time(2)
        assert (await client.answer()).status == 408


async def test_each_pipelined_request_has_all_the_time():
    async with serving() as scene:
        client = await scene.client()
        half = len(http("/ready")) // 2
        for _ in range(4):
            client.send(http("/ready")[half:] if _ else http("/ready"), http("/ready")[:half])
            assert (await client.answer()).status == 200
            await scene.settled_reads()
            scene.pass_time(6)
        scene.pass_time(4)
        assert (await client.answer()).status == 408


async def test_a_connection_that_sends_nothing_is_cut_without_an_answer():
    async with serving() as scene:
        client = await scene.client()
        await scene.settled_reads()
        scene.pass_time(10)
        assert await client.rest() == b""
        assert not scene.broker.drops.totals


async def test_an_idle_connection_lives_longer_than_a_head_may_take():
    async with serving() as scene:
        client = await scene.client()
        assert (await client.ask(http("/ready"))).status == 200
        scene.pass_time(front_module.IDLE_TIMEOUT - 1)
        assert (await client.ask(http("/ready"))).status == 200
        scene.pass_time(front_module.IDLE_TIMEOUT)
        assert await client.rest() == b""


async def test_of_too_many_unfinished_heads_the_oldest_is_cut(monkeypatch):
    monkeypatch.setattr(front_module, "UNFINISHED_HEADS", 3)
    async with serving() as scene:
        clients = [await scene.client() for _ in range(3)]
        await scene.settled_reads()
        clients.append(await scene.client())
        assert await clients[0].rest() == b""
        for client in clients[1:]:
            assert (await client.ask(http("/ready"))).status == 200
        assert scene.broker.drops.totals["unfinished head over 1024"] == 1


async def test_the_longest_idle_connection_goes_for_a_new_one(monkeypatch):
    monkeypatch.setattr(front_module, "RESERVED", 2)
    async with serving(limits={"max_connections": 1}, automatic=OPENING) as scene:
        await (await scene.client()).open()
        silent, idle = await scene.client(), await scene.client()
        assert (await idle.ask(http("/ready"))).status == 200
        third = await scene.client()
        assert await idle.rest() == b""
        assert (await third.ask(http("/ready"))).status == 200
        # the first to go was the scene's own connection
        assert scene.broker.drops.totals["idle connection, cut for a new one"] == 2
        assert (await silent.ask(http("/ready"))).status == 200


async def test_a_connection_too_many_is_cut_when_all_are_busy(monkeypatch):
    monkeypatch.setattr(front_module, "RESERVED", 1)
    async with serving(limits={"max_connections": 1}, automatic=OPENING) as scene:
        await (await scene.client()).open()
        watching = await scene.client()
        watching.send(http("/events", headers={"authorization": f"Bearer {KEY}"}))
        assert (await watching.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        over = await scene.client()
        assert await over.rest() == b""
        assert scene.broker.drops.totals["connection over the limit of descriptors"] == 1
        assert scene.broker.events.is_watched


async def test_one_socket_over_max_connections_is_answered_503_and_may_come_again():
    async with serving(limits={"max_connections": 1}, automatic=(*OPENING, "close")) as scene:
        first = await (await scene.client()).open()
        answer = await (await scene.client()).ask(upgrade())
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert scene.runtime.names == ["connect"], "refused before any hook"
        first.leave()
        await scene.told("close")
        await (await scene.client()).open()


# What only a transport in the test's hand can show


def connected(scene, **transport):
    """A connection on a transport that the test reads from."""
    connection = Connection(scene.front)
    transport = FakeTransport(protocol=connection, **transport)
    connection.connection_made(transport)
    return connection, transport


async def test_answers_that_wait_for_the_client_are_written_when_it_reads():
    async with serving() as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(http("/ready"))
        connection.data_received(http("/nowhere") + http("/ready"))
        assert transport.written.count(b"content-length") == 1
        assert transport.events == ["pause"]
        transport.reads()
        assert transport.written.count(b"content-length") == 3
        assert transport.events == ["pause", "resume"]
        transport.lose()


async def test_requests_of_a_client_that_is_lost_are_not_answered():
    async with serving() as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(http("/ready"))
        connection.data_received(post(b'{"host":"app.test"}'))
        transport.lose()
        assert transport.written.count(b"content-length") == 1


async def test_a_last_answer_that_is_not_read_is_not_followed_by_another():
    async with serving() as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(b"GET / HTTP/9.9\r\n\r\n")
        connection.data_received(http("/ready"))
        transport.reads()
        assert transport.written.count(b"content-length") == 1
        assert transport.events == ["pause", "eof", "resume"]
        transport.lose()


async def test_a_transport_that_cannot_end_a_stream_is_closed_after_the_last_answer():
    async with serving() as scene:
        connection, transport = connected(scene)
        transport.can_end = False
        connection.data_received(b"GET / HTTP/9.9\r\n\r\n")
        assert transport.events == ["close"]
        transport.lose()


async def test_a_socket_opened_behind_answers_that_are_not_read_waits_and_is_read():
    async with serving(auth="none", automatic=OPENING) as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(http("/ready") + upgrade() + frame(b"{}"))
        await scene.told("receive")
        assert b" 101 " not in transport.written
        assert transport.events == ["pause", "resume"]
        transport.reads()
        await turns()
        assert b" 101 " in transport.written
        transport.lose()


@pytest.mark.parametrize(
    ("peername", "address"),
    [
        (("192.0.2.1", 4711), "192.0.2.1"),
        (("::1", 4711, 0, 0), "::1"),
        ("", "unix"),
        (b"\0abstract", "unix"),
        (None, ""),
    ],
)
def test_a_peer_that_has_gone_is_not_taken_for_one_on_a_unix_socket(peername, address):
    transport = SimpleNamespace(get_extra_info=lambda _: peername)
    assert connection_module._peer_address(transport) == address
