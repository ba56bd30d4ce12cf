"""A host's own key: it opens that host and nothing else, and the host asks for it."""

from __future__ import annotations

import stat

import pytest

from phlows_cli.broker.broker import Broker
from phlows_cli.errors import ConfigError
from phlows_cli.server.access import Access
from phlows_cli.server.bridge import ROUTES
from phlows_cli.server.bridge import Bridge as HttpBridge
from phlows_cli.server.feed import Feed
from phlows_cli.server.key import load_host_keys
from tests.builders import (
    KEY,
    Answer,
    answer_of,
    make_bridge,
    make_host,
    make_limits,
    make_request,
    make_server,
)
from tests.fakes import FakeClock, FakeControl, ScriptedRuntime

OURS, THEIRS, OPEN = "ours.test", "theirs.test", "open.test"
OUR_KEY, THEIR_KEY = "key-of-ours", "key-of-theirs"
BODIES = {
    "/message": '{"host":"%s"}',
    "/disconnect": '{"host":"%s","target":"all"}',
    "/dispatch": '{"host":"%s","target":"tasks::run","async":true}',
}
QUERIES = ("/presence", "/events", "/record")


class Scene:
    """A bridge of three hosts, two of which have a key."""

    def __init__(self):
        self.broker = Broker(make_limits(), FakeClock())
        for name in (OURS, THEIRS, OPEN):
            host = make_host(name, hook_class="websocket")
            self.broker.add_host(host, lambda _: ScriptedRuntime(("call",)))
        keys = {OURS: OUR_KEY, THEIRS: THEIR_KEY}
        access = Access(make_server(), make_bridge(), KEY, keys)
        self.bridge = HttpBridge(self.broker, access, {}, FakeControl())
        self.caller = access.caller("127.0.0.1")

    def ask(self, path, host, key=None):
        """Ask something of a host, "" meaning that none is named."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        if path in BODIES:
            body = (BODIES[path] % host).encode()
            request = make_request(path, "POST", body, headers)
        else:
            request = make_request(f"{path}?host={host}" if host else path, headers=headers)
        answer = answer_of(self.bridge, request, self.caller)
        return answer if isinstance(answer, Feed) else Answer(answer)

    def status(self, path, host, key=None):
        answer = self.ask(path, host, key)
        return 200 if isinstance(answer, Feed) else answer.status


@pytest.mark.parametrize("path", [*BODIES, *QUERIES])
async def test_a_hosts_key_opens_that_host_and_no_other(path):
    scene = Scene()
    assert scene.status(path, OURS, OUR_KEY) in (200, 202)
    for other in (THEIRS, OPEN):
        answer = scene.ask(path, other, OUR_KEY)
        assert answer.status == 403
        assert answer.message == (
            f'this key is for {OURS} alone (hosts."{OURS}".key_file), not for {other!r}'
        )
        assert scene.status(path, other, KEY) in (200, 202)
    await scene.broker.tasks.settle(5)


@pytest.mark.parametrize("path", QUERIES)
async def test_with_a_hosts_key_the_host_must_be_named(path):
    answer = Scene().ask(path, "", OUR_KEY)
    assert answer.status == 403
    assert answer.message.endswith("so the request must name the host")
    assert Scene().status(path, "", KEY) == 200


@pytest.mark.parametrize("path", ["/message", "/dispatch"])
async def test_a_host_with_a_key_is_not_cast_to_without_one(path):
    scene = Scene()
    answer = scene.ask(path, OURS)
    assert answer.status == 401
    assert answer.message == (
        f"host {OURS} has a key of its own: "
        f'send Authorization: Bearer <key> (hosts."{OURS}".key_file)'
    )
    assert "www-authenticate" in answer.headers
    assert scene.status(path, OPEN) in (200, 202), "a host without a key stays as it was"
    await scene.broker.tasks.settle(5)


async def test_a_host_is_the_same_however_it_is_written():
    scene = Scene()
    for spelling in ("OURS.test", "ours.test:443", "ours.test."):
        assert scene.status("/message", spelling) == 401
        assert scene.status("/message", spelling, THEIR_KEY) == 403
        assert scene.status("/message", spelling, OUR_KEY) == 200


async def test_what_is_not_of_one_host_is_for_the_brokers_key():
    scene = Scene()
    of_hosts = {*BODIES, *QUERIES, "/health", "/ready"}
    others = {path: route for path, route in ROUTES.items() if path not in of_hosts}
    assert {"/drain", "/reload", "/metrics", "/workers"} <= others.keys()
    for path, route in others.items():
        headers = {"authorization": f"Bearer {OUR_KEY}"}
        request = make_request(path, route.method, headers=headers)
        answer = Answer(answer_of(scene.bridge, request, scene.caller))
        assert answer.status == 403
        assert answer.message == f"{path} is for the broker's own key (bridge.key_file)"


async def test_health_tells_a_host_of_itself():
    told = Scene().ask("/health", "", OUR_KEY).json
    assert list(told["hosts"]) == list(told["sockets"]) == told["configured"] == [OURS]
    everything = Scene().ask("/health", "", KEY).json
    assert everything["configured"] == sorted([OURS, THEIRS, OPEN])
    assert Scene().status("/ready", "", OUR_KEY) == 200


@pytest.mark.parametrize("key", ["", "key-of-our", "key-of-ours2", "KEY-OF-OURS", "key-of-\xfc"])
async def test_a_key_that_is_nobodys_opens_nothing(key):
    scene = Scene()
    request = make_request("/health", headers={"authorization": f"Bearer {key}"})
    assert Answer(answer_of(scene.bridge, request, scene.caller)).status == 403
    request = make_request("/health", headers={"authorization": f"Basic {OUR_KEY}"})
    assert Answer(answer_of(scene.bridge, request, scene.caller)).status == 403


async def test_two_hosts_with_one_key_share_it():
    access = Access(make_server(), make_bridge(), KEY, {OURS: "same", OPEN: "same"})
    request = make_request(headers={"authorization": "Bearer same"})
    grant = access.check(request, access.caller("192.0.2.1"), needs_key=True)
    assert grant.hosts == {OURS, OPEN}


# The files


def test_a_hosts_key_is_made_for_its_owner_alone(tmp_path):
    hosts = [make_host("a", key_file=str(tmp_path / "keys" / "a")), make_host("b")]
    keys = load_host_keys(hosts, KEY)
    assert list(keys) == ["a"]
    assert len(keys["a"]) > 30
    assert stat.S_IMODE((tmp_path / "keys" / "a").stat().st_mode) == 0o600
    assert load_host_keys(hosts, KEY) == keys


def test_the_brokers_variable_is_not_a_hosts_key(tmp_path, monkeypatch):
    monkeypatch.setenv("PHLOWS_KEY", "the-brokers")
    keys = load_host_keys([make_host("a", key_file=str(tmp_path / "a"))], KEY)
    assert keys["a"] == (tmp_path / "a").read_text().strip() != "the-brokers"


def test_the_brokers_own_key_is_no_hosts(tmp_path):
    (tmp_path / "key").write_text(KEY)
    with pytest.raises(ConfigError, match=r'hosts\."a"\.key_file holds the broker\'s own key'):
        load_host_keys([make_host("a", key_file=str(tmp_path / "key"))], KEY)


def test_a_key_that_cannot_be_read_names_its_setting(tmp_path):
    (tmp_path / "key").write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        load_host_keys([make_host("a", key_file=str(tmp_path / "key"))], KEY)
    with pytest.raises(ConfigError, match=r'set hosts\."a"\.key_file to a place'):
        load_host_keys([make_host("a", key_file=str(tmp_path / "key" / "below"))], KEY)
