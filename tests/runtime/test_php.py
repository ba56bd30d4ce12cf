"""Real PHP: the guide's chat, and every way an app can fail to say true."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.answer import values_in
from phlows_cli.runtime.oneshot import OneShot
from tests.runtime.apps import APPS, FAULTS, NAME, Printed, hook, host, settings

pytestmark = [pytest.mark.php, pytest.mark.usefixtures("loop_factory")]

ANN = "token of ann"
RECEIPT = b'{"status":"ok","host":"app.example.com","sent":1,"matched":1,"dropped":0,"held":0}'


class Bridge:
    """Stands where the broker's bridge does, and keeps what is posted to it."""

    def __init__(self):
        self.casts = []
        self.url = ""

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /message HTTP/1.")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        body = await reader.readexactly(int(headers["Content-Length"]))
        self.casts.append(json.loads(body))
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(RECEIPT)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + RECEIPT)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def bridge():
    stand_in = Bridge()
    server = await asyncio.start_server(stand_in.answer, "127.0.0.1", 0)
    async with server:
        _, port = server.sockets[0].getsockname()
        stand_in.url = f"http://127.0.0.1:{port}"
        yield stand_in


@asynccontextmanager
async def app_at(app, url="http://127.0.0.1:9", log=lambda _hook, _line: None):
    runtime = OneShot(host(app), settings(url=url), log)
    yield runtime
    await runtime.stop()


async def test_the_guides_chat_lives_through_all_four_hooks():
    log, printed = [], Printed()
    async with (
        bridge() as broker,
        app_at(APPS / "chat.php", broker.url, lambda _hook, line: log.append(line)) as runtime,
    ):
        connect = await runtime.call(hook("connect", token=ANN), printed)
        auth = await runtime.call(hook("auth", token=ANN), printed)
        said = {"type": "chat.send", "text": "h\u00e9 \U0001f600 'quoted' \"twice\" $HOME"}
        receive = await runtime.call(hook(token=ANN, data=json.dumps(said)), printed)
        close = await runtime.call(hook("close", token=ANN), printed)
    outcomes = [result.outcome for result in (connect, auth, receive, close)]
    assert outcomes == [Outcome.ACCEPTED] * 4
    assert printed.lines == [b"true", b"true"]
    assert broker.casts == [
        {
            "host": NAME,
            "target": "all",
            "except": "",
            "data": {"chat": {"from": "Ann", "text": said["text"]}},
        }
    ]
    assert log == ["ws connect 0123456789abcdef", "ws close 0123456789abcdef"]


async def test_a_ping_is_answered_by_a_cast_to_the_socket():
    async with bridge() as broker, app_at(APPS / "chat.php", broker.url) as runtime:
        result = await runtime.call(hook(token=ANN, data='{"type":"ping"}'), Printed())
    assert result.is_accepted
    (cast,) = broker.casts
    assert cast["target"] == "0123456789abcdef"
    assert list(cast["data"]) == ["pong"]


async def test_a_cast_while_the_broker_is_down_is_silent():
    log = []
    async with app_at(APPS / "chat.php", log=lambda _hook, line: log.append(line)) as runtime:
        result = await runtime.call(hook(token=ANN, data='{"type":"ping"}'), Printed())
    assert result.is_accepted
    assert log == []


async def test_what_receive_prints_is_sendable_byte_for_byte():
    printed = Printed()
    async with app_at(APPS / "chat.php") as runtime:
        await runtime.call(hook(token=ANN, data='{"type":"whoami"}'), printed)
    (line,) = printed.lines
    assert values_in(line).sendable == [rb'{"name":"Ann","path":"a\/b","accent":"\u00e9"}']


async def test_an_unknown_token_is_refused():
    async with app_at(APPS / "chat.php") as runtime:
        result = await runtime.call(hook("auth", token="token of eve"), Printed())
    assert (result.outcome, result.exit_code) == (Outcome.REFUSED, 0)


@pytest.mark.parametrize("message", ['{"wsHost":"x"}', '"text"', "{", '{"type":"chat.send"}'])
async def test_a_message_the_hook_chokes_on_fails_with_nothing_on_stdout(message):
    log, printed = [], Printed()
    async with app_at(APPS / "chat.php", log=lambda _hook, line: log.append(line)) as runtime:
        result = await runtime.call(hook(token="token of eve", data=message), printed)
    assert (result.outcome, result.exit_code, printed.lines) == (Outcome.FAILED, 1, [])
    assert log


async def test_six_messages_awaited_one_by_one_arrive_in_order():
    async with bridge() as broker, app_at(APPS / "chat.php", broker.url) as runtime:
        for number in range(6):
            message = json.dumps({"type": "chat.send", "text": number})
            assert (await runtime.call(hook(token=ANN, data=message), Printed())).is_accepted
    assert [cast["data"]["chat"]["text"] for cast in broker.casts] == list(range(6))


PHP_FAULTS = sorted(path.name for path in FAULTS.glob("*.php"))


@pytest.mark.parametrize("name", [*PHP_FAULTS, "missing.php"])
async def test_auth_lets_nobody_in_however_the_app_ends(name):
    async with app_at(FAULTS / name) as runtime:
        result = await runtime.call(hook("auth"), Printed())
    assert result.outcome is Outcome.FAILED
    assert result.reason


def test_the_faults_are_there():
    assert len(PHP_FAULTS) >= 10
