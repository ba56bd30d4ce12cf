"""GET /record over real connections."""

from __future__ import annotations

import json

import pytest

from phlows_cli.broker.masking import masked_token
from tests.builders import HOST, KEY
from tests.server.serving import frame, http, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

BEARER = {"authorization": f"Bearer {KEY}"}
ALL = ["connect", "auth", "receive", "close"]


class Reader:
    """A client of /record."""

    def __init__(self, client):
        self.client = client
        self._lines = []

    async def line(self):
        while not self._lines:
            size = int(await self.client.reader.readline(), 16)
            chunk = await self.client.reader.readexactly(size + 2)
            self._lines = chunk[:-2].splitlines()
        return json.loads(self._lines.pop(0))


async def reader(scene, query=""):
    client = await scene.client()
    client.send(http(f"/record{query}", headers=BEARER))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return Reader(client)


async def status(scene, query="", headers=BEARER):
    answer = await (await scene.client()).ask(http(f"/record{query}", headers=headers))
    return answer.status, answer.message


async def test_the_first_line_comes_before_anything_happens():
    async with serving() as scene:
        recorded = await reader(scene, f"?host={HOST}&payloads=all&keep=room")
        head = await recorded.line()
        assert (head["type"], head["host"], head["payloads"]) == ("recording", HOST, "all")


async def test_calls_come_as_they_end_with_the_tokens_of_before_masked():
    async with serving(auth="none", automatic=ALL) as scene:
        await scene.opened(cookie="token=secret of bob")
        recorded = await reader(scene, "?keep=to")
        assert (await recorded.line())["kept"] == ["to"]
        client, session = await scene.opened(cookie="token=secret of ann")
        client.send(frame(b'{"type":"say","to":"secret of bob","text":"hi"}'))
        connect, receive = await recorded.line(), await recorded.line()
        assert (connect["hook"], connect["socket"]) == ("connect", session.id)
        assert receive["token"] == masked_token("secret of ann")
        assert receive["message"]["type"] == "say"
        assert receive["message"]["to"] == masked_token("secret of bob")
        assert receive["message"]["text"].startswith("masked-")


async def test_a_reader_that_goes_is_recorded_for_no_more():
    async with serving() as scene:
        recorded = await reader(scene)
        assert scene.broker.events.recorder.is_on
        recorded.client.leave()
        while len(scene.front.connections) > 1:
            await scene.settled_reads()
        assert not scene.broker.events.recorder.is_on


async def test_what_is_asked_for_must_be_there():
    async with serving() as scene:
        assert await status(scene, "?payloads=clear") == (
            400,
            "payloads 'clear' is none of masked, all",
        )
        assert (await status(scene, "?host=other.test"))[0] == 400
        assert (await status(scene, "?host="))[0] == 400
        assert (await status(scene, "?token=x"))[1].startswith("unknown parameter 'token'")
        many = ",".join(map(str, range(101)))
        assert await status(scene, f"?keep={many}") == (
            400,
            "keep names 101 keys, and may name 100",
        )


async def test_without_the_key_nothing_is_recorded():
    async with serving() as scene:
        assert (await status(scene, headers={}))[0] == 401
        assert not scene.broker.events.recorder.is_on
