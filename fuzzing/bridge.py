"""Bodies of the bridge: casts, disconnects, dispatches, new workers.

The first byte chooses the route, and whether the rest is the body itself or says
of which fields and values to make one: a mutated body is seldom JSON.
Each body has an answer, whose status is in docs/protocol.md and never 500; what a
cast sends on is JSON and UTF-8, byte for byte a part of the body.
"""

from __future__ import annotations

import asyncio

import msgspec

from fuzzing.target import Target
from phlows_cli.server.answers import Later
from tests.builders import HOST, KEY, Answer, BridgeScene
from tests.fakes import FakeTransport

STATUSES = frozenset({200, 202, 400, 503})
HEADERS = {"authorization": f"Bearer {KEY}", "content-length": "0"}
SOCKETS = 2
FIELDS = {
    "/message": ("host", "target", "data", "except", "target", "data", "except", "tokens"),
    "/disconnect": ("host", "target", "target", "code", "reason", "code", "reason", "data"),
    "/dispatch": ("host", "target", "app", "args", "stream", "async", "build", "data"),
    "/workers/reload": ("host", "host", "host", "host", "host", "host", "host", "hosts"),
}
VALUES = (
    *(f'"{HOST}"', '"App.Test.:80"', '"other.test"', '""', "null", "true", "false", "0", "-1"),
    *("1000", "1006", "3000", "4999", "5000", "1e3", "1.5", "1e999", "9" * 30, "[]", "{}", '[""]'),
    *('"all"', '"token:alice"', '"token:not:alice"', '"token:"', '"socket:0000000000000001"'),
    *('["all","all"]', '["0000000000000001",7]', '[["all"]]', '{"a":{"b":[1,"é"]}}', '[{"a":1}]'),
    *('"' + "x" * 124 + '"', '"' + "é" * 62 + '"', '"/srv/app.php"', '"/srv/../srv/app.php"'),
    *('"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"tasks::run"', "[" * 600 + "]" * 600),
)
ROUTES = tuple(FIELDS)
RAW = 4
"""The bit of the first byte that makes the rest the body itself."""

_json = msgspec.json.Decoder(msgspec.Raw)


class Stand:
    """A bridge with sockets and an app that says yes, made once."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.peers: list = []
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self.scene = BridgeScene()
        self.scene.stage.runtime.automatic.add("call")

    async def ask(self, target: str, body: bytes) -> None:
        """Post a body; hold the answer to the rule."""
        stage = self.scene.stage
        while len(self.peers) < SOCKETS:
            self.peers.append((await stage.live())[1])
        answer = self.scene.ask(target, "POST", body, HEADERS)
        if isinstance(answer, Later):
            answer = Answer(await answer.work)
        if isinstance(answer, Answer):
            assert answer.status in STATUSES, answer.body
            assert answer.status < 400 or answer.message
        else:
            await self._follow(answer)
        await stage.settle()
        self._look(body)

    async def _follow(self, stream) -> None:
        transport = FakeTransport()
        stream.start(transport)
        await self.scene.stage.settle()
        stream.stop()
        assert transport.written.endswith(b"0\r\n\r\n")

    def _look(self, body: bytes) -> None:
        """See what the sockets were sent, and forget it."""
        for peer in self.peers:
            for message in peer.messages:
                message.decode()
                _json.decode(message)
                assert message in body or message == b"{}"
            peer.frames.clear()
        self.peers = [peer for peer in self.peers if peer.closed is None]
        self.scene.stage.runtime.calls.clear()


_stand: list[Stand] = []


def made_of(fields: tuple[str, ...], choices: bytes) -> bytes:
    """A body of fields and values: each two bytes choose one of both.

    A value past the end of VALUES is a text of the choices that follow.
    """
    body, at = [f'"host":"{HOST}"'.encode()], 0
    while at + 1 < len(choices):
        field, value = fields[choices[at] % len(fields)], choices[at + 1]
        at += 2
        if value < len(VALUES):
            text = VALUES[value].encode()
        else:
            size = value - len(VALUES)
            text = b'"%b"' % choices[at : at + size]
            at += size
        body.append(b'"%b":%b' % (field.encode(), text))
    return b"{%b}" % b",".join(body)


def check(data: bytes) -> None:
    """Hold one body to the rule."""
    if not data:
        return
    if not _stand:
        _stand.append(Stand())
    stand = _stand[0]
    route = ROUTES[data[0] % len(ROUTES)]
    body = data[1:] if data[0] & RAW else made_of(FIELDS[route], data[1:])
    stand.loop.run_until_complete(stand.ask(route, body))


_HOST = b'"host":"%s"' % HOST.encode()
_V = {value: number for number, value in enumerate(VALUES)}
_CHOICES = (
    (1, _V['"all"'], 2, _V["{}"], 3, _V['""'], 3, 45, *b"abc"),
    (1, _V['"token:alice"'], 3, _V["4999"], 4, 43, *b"x"),
    (1, _V['"tasks::run"'], 3, _V["[]"], 4, _V["true"], 5, _V["false"]),
    (2, _V['"/srv/app.php"'], 1, _V['"tasks::run"'], 5, _V["true"], 6, _V["null"]),
)
TARGET = Target(
    "bridge",
    check,
    (
        b"\x04{" + _HOST + b',"target":"all","except":"","data":{"a":[1,"\xc3\xa9",null]}}',
        b"\x04{" + _HOST + b',"target":["token:alice","socket:0000000000000001"],"data":[]}',
        b"\x05{" + _HOST + b',"target":"token:not:bob","code":4000,"reason":"why"}',
        b"\x06{" + _HOST + b',"target":"tasks::run","args":[1,"a",{"b":[]}],"stream":true}',
        b'\x06{"app":"/srv/app.php","target":"a::b","async":true,"build":null}',
        b"\x07{" + _HOST + b"}",
        *(bytes([route, *choices]) for route in range(len(ROUTES)) for choices in _CHOICES),
    ),
    (
        *(b'"host":', b'"target":', b'"data":', b'"except":', b'"code":', b'"reason":', b'"app":'),
        *(b'"args":', b'"stream":true', b'"async":', b'"all"', b'"token:', b'"token:not:', b"null"),
        *(b'"socket:0000000000000001"', b"[" * 50, b"]" * 50, b"{", b"}", b",", b":", b'"', b"\\u"),
        *(b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\0", b"\\u0000", b"1e999", b"-0", b"NaN", b"1e5"),
        *(b"4999", b"1000", b"9" * 30, _HOST, b"\xef\xbb\xbf", b"/srv/app.php", b"..", b"[::1]"),
    ),
)
