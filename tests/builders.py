"""Values that tests need, each with a default for everything."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType

from phlows_cli.broker.broker import Broker
from phlows_cli.config import Bridge, Config, Interpreters, Limits, Server
from phlows_cli.model import HOOK_NAMES, Host
from phlows_cli.server.access import Access
from phlows_cli.server.bridge import Bridge as HttpBridge
from phlows_cli.wire.request import Request
from tests.fakes import FakeClock, FakeControl, FakePeer, ScriptedRuntime

HOST = "app.test"
KEY = "the-key-of-this-broker"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def make_limits(**changes):
    values = {
        "max_connections": 1000,
        "max_message": 65_536,
        "send_buffer": 262_144,
        "send_total": 268_435_456,
        "pending_events": 64,
        "message_rate": 0.0,
        "handshake_rate": 0.0,
        "per_address": 0.0,
        "handshake_timeout": 10.0,
        "auth_timeout": 10.0,
        "concurrency": 8,
        "queue": 1000,
        "output": 1_048_576,
    }
    return Limits(**values | changes)


def make_server(**changes):
    values = {
        "listen": ("127.0.0.1",),
        "port": 0,
        "paths": ("/websocket",),
        "trusted_proxies": LOOPBACK,
        "ping_interval": 25.0,
        "drain_timeout": 30.0,
        "close_timeout": 1.0,
        "state_dir": Path("state"),
        "journal": "memory",
        "tls_cert": "",
        "tls_key": "",
        "log_format": "text",
    }
    return Server(**values | changes)


def make_bridge(**changes):
    values = {
        "allow": LOOPBACK,
        "allow_unix": False,
        "names": frozenset(),
        "key_file": Path("state/key"),
        "body_limit": 1_048_576,
    }
    return Bridge(**values | changes)


def make_host(name=HOST, **changes):
    return Host(name, **{"app": "/srv/app.php"} | changes)


def make_config(*hosts, server=None, bridge=None, limits=None):
    return Config(
        path=None,
        server=server or make_server(),
        bridge=bridge or make_bridge(),
        limits=limits or make_limits(),
        interpreters=Interpreters("", "python"),
        hosts=MappingProxyType({host.name: host for host in hosts}),
    )


def make_request(target="/health", method="GET", body=b"", headers=(), **changes):
    """A request as the reader hands it out; Host is 127.0.0.1 unless given."""
    path, _, query = target.partition("?")
    fields = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    all_headers = {"host": "127.0.0.1:3001"} | dict(headers)
    if body:
        all_headers.setdefault("content-length", str(len(body)))
    return Request(method, target, path, fields, all_headers, body=body, **changes)


class Stage:
    """A broker with one host, whose app and clock are in the test's hand."""

    def __init__(
        self, auth="message", automatic=(), limits=None, journal=None, left_behind=(), **host
    ):
        self.clock = FakeClock()
        self.broker = Broker(make_limits(**limits or {}), self.clock, journal, left_behind)
        self.runtime = ScriptedRuntime(automatic)
        self.broker.add_host(make_host(auth=auth, **host), lambda _: self.runtime)
        self.app = self.broker.apps[HOST]
        self._last_id = 0

    def open(self, claim="", **peer):
        """Accept a socket: it is in the hub, and connect has not begun."""
        self._last_id += 1
        peer = FakePeer(**peer)
        peer.session = self.broker.open(self.app, f"{self._last_id:016x}", claim, peer)
        return peer.session, peer

    def connect(self, claim="", **peer):
        """Accept a socket and start it."""
        session, peer = self.open(claim, **peer)
        session.start()
        return session, peer

    async def settle(self):
        """Wait until no session has anything to do."""
        assert await self.broker.tasks.settle(5) == 0, "something still runs"

    async def live(self, token="alice"):
        """A socket that is authenticated; connect and auth must be automatic."""
        session, peer = self.connect(token)
        await self.settle()
        assert peer.closed is None
        return session, peer


class Answer:
    """An answer's bytes, taken apart."""

    def __init__(self, answer):
        head, _, self.body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        assert int(self.headers["content-length"]) == len(self.body)

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def message(self):
        assert set(self.json) == {"status", "message"}
        assert self.json["status"] == "error"
        return self.json["message"]


def answer_of(bridge, request, caller):
    """What the bridge answers, whether it lets the request in or not."""
    permit = bridge.permit(request, caller)
    return permit if isinstance(permit, bytes) else bridge.answer(request, permit)


class BridgeScene:
    """A bridge over a stage's broker."""

    def __init__(self, pages=(), **stage):
        self.stage = Stage(automatic=HOOK_NAMES, **stage)
        self.broker = self.stage.broker
        access = Access(make_server(), make_bridge(), KEY)
        self.bridge = HttpBridge(self.broker, access, dict(pages), FakeControl())
        self.caller = access.caller("127.0.0.1")

    def ask(self, target, method="GET", body=b"", headers=(), **changes):
        request = make_request(target, method, body, headers, **changes)
        answer = answer_of(self.bridge, request, self.caller)
        return Answer(answer) if isinstance(answer, bytes) else answer

    def post(self, body, headers=(), target="/message"):
        """Post JSON text, or a value as JSON."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(target, "POST", text, headers)
