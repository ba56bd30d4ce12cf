"""An answer that takes a while: what its connection does until it is there."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import Outcome
from phlows_cli.server import front as front_module
from phlows_cli.server.connection import Connection
from tests.fakes import FakeTransport, turns
from tests.server.serving import HOST, frame, http, serving, upgrade

pytestmark = pytest.mark.usefixtures("loop_factory")

ENGINE = {"hook_class": "websocket"}


def dispatch(target="tasks::run", **headers):
    body = json.dumps({"host": HOST, "target": target}).encode()
    return http("/dispatch", "POST", headers, body)


async def test_what_is_asked_behind_it_is_answered_behind_it():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(http("/ready"), dispatch("a"), http("/nowhere"), dispatch("b"))
        assert (await client.answer()).status == 200
        first = await scene.runtime.started("call")
        client.send(http("/ready"))
        await scene.settled_reads()
        assert scene.runtime.not_started(), "the second call waits for the first"
        first.ends(Outcome.ACCEPTED, result=b'"a"')
        assert (await client.answer()).json["result"] == "a"
        assert (await client.answer()).status == 404
        (await scene.runtime.started("call")).ends(Outcome.ACCEPTED, result=b'"b"')
        assert (await client.answer()).json["result"] == "b"
        assert (await client.answer()).json == {"status": "ok"}


async def test_other_connections_are_answered_meanwhile():
    async with serving(**ENGINE) as scene:
        client, other = await scene.client(), await scene.client()
        client.send(dispatch())
        call = await scene.runtime.started("call")
        assert (await other.ask(http("/ready"))).status == 200
        call.fails()
        assert (await client.answer()).status == 400


async def test_no_deadline_cuts_a_client_that_waits():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch())
        call = await scene.runtime.started("call")
        scene.pass_time(10 * front_module.IDLE_TIMEOUT, ticks=10)
        call.accepts()
        assert (await client.answer()).status == 200
        assert (await client.ask(http("/ready"))).status == 200


async def test_after_the_answer_an_idle_client_is_cut_as_ever():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch())
        (await scene.runtime.started("call")).accepts()
        assert (await client.answer()).status == 200
        scene.pass_time(front_module.IDLE_TIMEOUT + 1)
        assert await client.rest() == b""


async def test_a_client_that_has_left_meanwhile_harms_nobody():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch("a"), dispatch("b"))
        call = await scene.runtime.started("call")
        client.reset()
        call.accepts()
        await turns()
        if not scene.runtime.not_started():  # the reset is yet to be seen
            (await scene.runtime.started("call")).accepts()
        await scene.settle()
        while len(scene.front.connections) > 1:  # the probe's stays
            await scene.settled_reads()


async def test_a_client_that_only_ends_its_half_gets_its_answer():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch())
        call = await scene.runtime.started("call")
        client.end()
        await scene.settled_reads()
        call.accepts()
        assert (await client.answer()).status == 200
        assert await client.rest() == b""


async def test_a_client_that_asked_to_close_is_closed_and_nothing_of_it_stays():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch(connection="close"), http("/ready"))
        (await scene.runtime.started("call")).accepts()
        answer = await client.answer()
        assert answer.headers["connection"] == "close"
        assert await client.rest() == b""
        client.leave()
        while len(scene.front.connections) > 1:  # by its end, and by no deadline
            await scene.settled_reads()


async def test_an_upgrade_may_be_asked_for_behind_it():
    async with serving(auth="none", automatic=("connect",), **ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch(), upgrade(), frame(b"{}"))
        (await scene.runtime.started("call")).accepts()
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 101
        (await scene.runtime.started("receive")).prints(b"[1]")
        assert await client.text() == b"[1]"


async def test_an_error_behind_it_is_told_behind_it():
    async with serving(**ENGINE) as scene:
        client = await scene.client()
        client.send(dispatch(), b"GET / HTTP/9.9\r\n\r\n")
        (await scene.runtime.started("call")).accepts()
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 505
        assert await client.rest() == b""


# What only a transport in the test's hand can show


def connected(scene, **transport):
    connection = Connection(scene.front)
    transport = FakeTransport(protocol=connection, **transport)
    connection.connection_made(transport)
    return connection, transport


def is_read(transport):
    return [event for event in transport.events if event != "eof"][-1:] != ["pause"]


async def test_a_reader_that_catches_up_is_not_read_before_its_answer():
    """What it asks meanwhile would be held without bound."""
    async with serving(**ENGINE) as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(http("/ready") + dispatch())
        call = await scene.runtime.started("call")
        assert not is_read(transport)
        transport.reads()
        assert not is_read(transport)
        call.accepts()
        await turns()
        assert is_read(transport)
        assert transport.written.count(b"content-length") == 2
        transport.lose()


async def test_an_answer_that_is_not_read_holds_up_what_is_behind_it():
    async with serving(**ENGINE) as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(dispatch() + http("/ready"))
        (await scene.runtime.started("call")).accepts()
        await turns()
        assert transport.written.count(b"content-length") == 1
        assert not is_read(transport)
        transport.reads()
        assert transport.written.count(b"content-length") == 2
        assert is_read(transport)
        transport.lose()


async def test_a_reader_that_never_reads_its_answer_is_cut_in_the_end():
    async with serving(**ENGINE) as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(dispatch())
        (await scene.runtime.started("call")).accepts()
        await turns()
        scene.pass_time(front_module.IDLE_TIMEOUT + 1)
        assert transport.events[-1] == "abort"
        transport.lose()


async def test_an_answer_before_it_that_is_not_read_is_read_first():
    async with serving(**ENGINE) as scene:
        connection, transport = connected(scene, appetite=0)
        connection.data_received(http("/ready") + dispatch())
        (await scene.runtime.started("call")).accepts()
        await turns()
        assert transport.written.count(b"content-length") == 2
        assert not is_read(transport), "it has not read the first one yet"
        transport.reads()
        assert is_read(transport)
        transport.lose()


async def test_a_client_that_is_lost_meanwhile_is_not_written_to():
    async with serving(**ENGINE) as scene:
        connection, transport = connected(scene)
        connection.data_received(dispatch() + dispatch())
        call = await scene.runtime.started("call")
        transport.lose()
        call.accepts()
        await turns()
        assert transport.written == b""
        assert scene.runtime.not_started(), "nobody waits for the second call"
