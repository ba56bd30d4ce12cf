"""GET /events over real connections."""

from __future__ import annotations

import asyncio
import json

import pytest

from phlows_cli.broker.events import BACKLOG
from phlows_cli.model import Cast, token_hash
from phlows_cli.server.connection import Connection
from tests.builders import HOST, KEY
from tests.fakes import FakeTransport, turns
from tests.server.serving import http, post, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

BEARER = {"authorization": f"Bearer {KEY}"}


class Reader:
    """A client of /events."""

    def __init__(self, client):
        self.client = client
        self._lines = []

    async def start(self, query="", before=b""):
        self.client.send(before, http(f"/events{query}", headers=BEARER))
        if before:
            await self.client.answer()
        head = await self.client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding: chunked" in head
        assert b"content-type: application/x-ndjson" in head
        return self

    async def event(self):
        while not self._lines:
            size = int(await self.client.reader.readline(), 16)
            assert size, "the stream never ends by itself"
            chunk = await self.client.reader.readexactly(size + 2)
            self._lines = chunk[:-2].splitlines()
        return json.loads(self._lines.pop(0))


async def reader(scene, query="", before=b""):
    return await Reader(await scene.client()).start(query, before)


def cast(scene, number=0):
    scene.broker.cast(Cast(HOST, b"[%d]" % number))


async def test_events_come_as_lines_as_they_happen():
    async with serving(auth="none", automatic=["connect", "receive", "close"]) as scene:
        events = await reader(scene)
        client, session = await scene.opened(cookie="token=secret")
        assert [(await events.event())["type"] for _ in range(3)] == ["open", "hook", "auth"]
        client.leave()
        closed = await events.event()
        assert (closed["type"], closed["socket"], closed["code"]) == ("close", session.id, 1006)
        assert closed["token"] == token_hash("secret")[:12]
        assert closed["host"] == HOST


async def test_filters_are_those_of_the_query():
    async with serving(auth="none", hooks=frozenset()) as scene:
        events = await reader(scene, f"?type=open&token={token_hash('bob')}")
        for token in ("alice", "bob"):
            await scene.opened(cookie=f"token={token}")
        assert (await events.event())["token"] == token_hash("bob")[:12]


async def test_every_reader_gets_every_event():
    async with serving() as scene:
        readers = [await reader(scene, "?type=cast") for _ in range(3)]
        cast(scene)
        for each in readers:
            assert (await each.event())["bytes"] == 3


async def test_a_feed_may_follow_other_requests_on_its_connection():
    async with serving() as scene:
        events = await reader(scene, "?type=cast", before=http("/ready"))
        cast(scene)
        assert (await events.event())["type"] == "cast"


async def test_what_a_reader_sends_after_its_request_is_ignored():
    async with serving() as scene:
        events = await reader(scene, "?type=cast")
        events.client.send(http("/ready") * 3)
        await scene.settled_reads()
        cast(scene)
        assert (await events.event())["type"] == "cast"


@pytest.mark.parametrize("departure", ["end", "leave", "reset"])
async def test_a_reader_that_goes_is_watched_for_no_more(departure):
    async with serving() as scene:
        events = await reader(scene)
        watches = scene.broker.events._watches
        assert len(watches) == 2
        getattr(events.client, departure)()
        while len(scene.front.connections) > 1:
            await scene.settled_reads()
        assert len(watches) == 1
        cast(scene)
        await scene.told("cast")


async def test_a_feed_is_open_though_nothing_happens_for_long():
    async with serving() as scene:
        events = await reader(scene, "?type=cast")
        scene.pass_time(3600)
        cast(scene)
        assert (await events.event())["type"] == "cast"


async def slow_reader(scene, before=b""):
    """A reader that stops reading after the head, and its connection."""
    client = await scene.client(receive_buffer=4096, limit=1024)
    events = await Reader(client).start("?type=cast", before)
    client.writer.transport.pause_reading()
    (connection,) = (c for c in scene.front.connections if c._feed is not None)
    return events, connection


async def test_a_slow_reader_costs_a_bounded_backlog_and_is_told_what_it_lost():
    async with serving() as scene:
        events, connection = await slow_reader(scene)
        sent = 0
        while connection._feed._watch.lost < 10:
            for _ in range(100):
                cast(scene)
            sent += 100
            await asyncio.sleep(0)
        assert len(connection._feed._watch.waiting) == BACKLOG
        assert connection._transport.get_write_buffer_size() < 1_000_000
        events.client.writer.transport.resume_reading()
        seen, lost = 0, 0
        while not lost:
            event = await events.event()
            lost = event.get("count", 0)
            seen += event["type"] == "cast"
        assert seen + lost == sent
        cast(scene)
        assert (await events.event())["type"] == "cast"


async def test_a_feed_behind_answers_that_are_not_read_waits_as_well():
    async with serving() as scene:
        connection = Connection(scene.front)
        transport = FakeTransport(appetite=0, protocol=connection)
        connection.connection_made(transport)
        connection.data_received(http("/ready") + http("/events?type=cast", headers=BEARER))
        written = len(transport.writes)
        cast(scene)
        await scene.told("cast")
        assert len(transport.writes) == written, "written to a client that does not read"
        transport.reads()
        await turns()
        assert b'"type":"cast"' in transport.writes[-1]
        transport.lose()
        await turns()


async def test_without_the_key_there_are_no_events():
    async with serving() as scene:
        client = await scene.client()
        assert (await client.ask(http("/events"))).status == 401
        assert (await client.ask(post(b'{"host":"app.test"}'))).status == 200
