"""The routes: who may ask what, and the answers, with a real broker."""

from __future__ import annotations

import pytest

from phlows_cli.broker.broker import Broker
from phlows_cli.errors import ConfigError, RequestError
from phlows_cli.server.access import Access
from phlows_cli.server.answers import Later
from phlows_cli.server.bridge import ROUTES, Bridge
from phlows_cli.server.feed import Feed
from tests.builders import (
    HOST,
    KEY,
    Answer,
    answer_of,
    make_bridge,
    make_limits,
    make_request,
    make_server,
)
from tests.builders import BridgeScene as Scene
from tests.fakes import FakeControl

BEARER = {"authorization": f"Bearer {KEY}"}
PAGES = {"/": ("text/html", b"<h1>demo</h1>")}


# Bodies and methods


@pytest.mark.parametrize("path", ["/message", "/disconnect"])
async def test_a_post_says_how_long_it_is(path):
    answer = Scene().ask(path, "POST", headers=BEARER)
    assert (answer.status, answer.message) == (411, "Content-Length is missing")


async def test_a_chunked_body_needs_no_length():
    request_headers = {"transfer-encoding": "chunked"}
    answer = Scene().ask("/message", "POST", b'{"host":"app.test"}', request_headers)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
    ],
)
async def test_a_body_that_says_it_is_not_json_is_415(kind, status):
    answer = Scene().post({"host": HOST}, {"content-type": kind})
    assert answer.status == status
    if status == 415:
        assert "is not application/json" in answer.message


@pytest.mark.parametrize("path", sorted(ROUTES))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_a_route_takes_one_method_and_names_it(path, method):
    scene = Scene()
    right = ROUTES[path].method
    answer = scene.ask(path, method, headers=BEARER | {"content-length": "0"})
    if method == right:
        answer = Answer(await answer.work) if isinstance(answer, Later) else answer
        assert isinstance(answer, Feed) or answer.status in (200, 400)
    else:
        assert answer.status == 405
        assert answer.headers["allow"] == right
        assert right in answer.message


@pytest.mark.parametrize("path", ["/", "/nowhere", "/message/", "//", "/Message", "/metric", "*"])
async def test_any_other_path_is_404(path):
    answer = Scene().ask(path)
    assert (answer.status, answer.message) == (404, "no such route")


@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_each_route_asks_for_the_key_as_its_table_says(path):
    scene = Scene()
    method = ROUTES[path].method
    with_length = {"content-length": "0"}
    direct = scene.ask(path, method, headers=with_length)
    proxied = scene.ask(path, method, headers=with_length | {"x-forwarded-for": "192.0.2.1"})
    wrong = scene.ask(path, method, headers=with_length | {"authorization": "Bearer wrong"})
    assert proxied.status == 401
    assert "bearer" in proxied.headers["www-authenticate"].lower()
    assert wrong.status == 403
    assert (direct.status == 401) == ROUTES[path].needs_key


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_an_answer_closes_the_connection_when_the_request_does(keep_alive):
    scene = Scene()
    for path, headers in (("/health", {}), ("/nowhere", {}), ("/presence", BEARER)):
        answer = scene.ask(path, headers=headers, keep_alive=keep_alive)
        assert (answer.headers.get("connection") == "close") is not keep_alive
    body = b'{"host":"app.test"}'
    answer = scene.ask("/message", "POST", body, keep_alive=keep_alive)
    assert (answer.headers.get("connection") == "close") is not keep_alive


# Pages


async def test_a_page_is_public_and_is_only_got():
    scene = Scene(pages=PAGES)
    answer = scene.ask("/", headers={"host": "any.example", "origin": "https://x.example"})
    assert (answer.status, answer.body) == (200, b"<h1>demo</h1>")
    assert answer.headers["content-type"] == "text/html"
    assert scene.ask("/", "POST").status == 404


# Health, readiness, presence


async def test_health_is_the_brokers_report():
    scene = Scene()
    await scene.stage.live("alice")
    answer = scene.ask("/health")
    assert answer.status == 200
    assert answer.json["connections"] == 1
    assert answer.json["uptime"] < 60
    assert {"hosts", "sockets", "pools", "workers", "cap", "dropped"} <= set(answer.json)


async def test_ready_is_503_with_the_reason_while_the_broker_cannot_serve():
    scene = Scene()
    assert scene.ask("/ready").json == {"status": "ok"}
    scene.broker.is_draining = True
    answer = scene.ask("/ready")
    assert (answer.status, answer.message) == (503, "the broker is stopping")


async def test_a_broker_that_drains_still_casts():
    scene = Scene()
    await scene.stage.live()
    scene.broker.is_draining = True
    assert scene.post({"host": HOST}).json["sent"] == 1


async def test_presence_lists_one_host_or_all():
    scene = Scene()
    session, _ = await scene.stage.live("secret")
    for query in ("", "?host=app.test", "?host=App.Test:443", "?host="):
        answer = scene.ask(f"/presence{query}", headers=BEARER)
        assert [row["socket"] for row in answer.json["sockets"]] == [session.id]
        assert b"secret" not in answer.body


@pytest.mark.parametrize("query", ["?host=x.test", "?hots=app.test", "?host=app.test&token=x"])
async def test_presence_of_an_unknown_host_or_parameter_is_400(query):
    answer = Scene().ask(f"/presence{query}", headers=BEARER)
    assert answer.status == 400
    assert "unknown" in answer.message


async def test_presence_of_a_broker_without_hosts_is_empty():
    broker = Broker(make_limits())
    access = Access(make_server(), make_bridge(), KEY)
    request = make_request("/presence", headers=BEARER)
    bridge = Bridge(broker, access, {}, FakeControl())
    answer = answer_of(bridge, request, access.caller("127.0.0.1"))
    assert Answer(answer).json == {"status": "ok", "sockets": []}


# Disconnect


def disconnect(scene, **body):
    return scene.post(body, BEARER, "/disconnect")


async def test_disconnect_closes_an_audience_and_counts_it():
    scene = Scene()
    (_, alice), (_, bob) = await scene.stage.live("alice"), await scene.stage.live("bob")
    answer = disconnect(scene, host=HOST, target="token:alice", code=4500, reason="ö" * 61)
    assert answer.json == {"status": "ok", "host": HOST, "disconnected": 1}
    assert alice.closed == (4500, "ö" * 61)
    assert bob.closed is None
    assert disconnect(scene, host=HOST, target="all").json["disconnected"] == 1
    assert bob.closed == (1000, "")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"host": HOST}, "target"),
        ({"host": HOST, "target": "ALL"}, "is not one of"),
        ({"target": "all"}, "host is missing"),
        ({"host": "x.test", "target": "all"}, "unknown host"),
        ({"host": HOST, "target": "all", "code": 999}, "code 999 is not 1000"),
        ({"host": HOST, "target": "all", "code": 1001}, "code 1001"),
        ({"host": HOST, "target": "all", "code": 2999}, "3000 to 4999"),
        ({"host": HOST, "target": "all", "code": 5000}, "code 5000"),
        ({"host": HOST, "target": "all", "code": "1000"}, "code"),
        ({"host": HOST, "target": "all", "code": 10**30}, "code"),
        ({"host": HOST, "target": "all", "reason": "é" * 62}, "123 bytes"),
        ({"host": HOST, "target": "all", "why": "x"}, "why"),
    ],
)
async def test_a_bad_disconnect_is_400_and_closes_nobody(body, says):
    scene = Scene()
    _, peer = await scene.stage.live()
    answer = disconnect(scene, **body)
    assert answer.status == 400
    assert says in answer.message
    assert peer.closed is None


# Events


async def test_events_are_a_feed_with_its_filters():
    scene = Scene()
    start = "0123456789ab"
    feed = scene.ask(f"/events?host=App.Test:80&type=open&socket=s&token={start}", headers=BEARER)
    assert isinstance(feed, Feed)
    assert feed._watch.filters == {"host": HOST, "type": "open", "socket": "s", "token": start}
    assert not scene.broker.events.is_watched, "nothing is watched before it starts"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("type=opened", "unknown type; there are: open, auth, receive, hook, cast, close, lost"),
        ("host=other.test", "unknown host 'other.test'"),
        ("token=abc", "token is not a sha256 or its first 12 hex characters"),
        ("token=secret-token", "token is not a sha256 or its first 12 hex characters"),
    ],
)
async def test_a_filter_that_nothing_can_pass_is_an_error(query, message):
    answer = Scene().ask(f"/events?{query}", headers=BEARER)
    assert answer.status == 400
    assert answer.message.startswith(message)


async def test_a_fault_of_ours_is_answered_and_logged(monkeypatch, caplog):
    scene = Scene()
    monkeypatch.setattr(scene.broker.hub, "tokens", None)
    assert scene.ask("/health").status == 500
    assert "a bridge request failed" in caplog.text
    caplog.clear()  # it was meant to be logged


async def test_events_need_http_1_1_and_known_parameters():
    scene = Scene()
    assert scene.ask("/events", headers=BEARER, version="1.0").status == 505
    answer = scene.ask("/events?hook=x", headers=BEARER)
    assert answer.status == 400
    assert "there are: host, socket, token, type" in answer.message


# The process


class Controlled(Scene):
    """A bridge whose control the test holds."""

    def __init__(self, **control):
        super().__init__()
        self.control = self.bridge._control = FakeControl(**control)


async def test_reload_tells_what_changed():
    scene = Controlled(changes={"added": ["new.test"], "needs_restart": ["server.port"]})
    answer = scene.ask("/reload", "POST", headers=BEARER)
    assert answer.status == 200
    assert answer.json == {"status": "ok", "added": ["new.test"], "needs_restart": ["server.port"]}
    assert scene.control.asked == ["reload"]


async def test_a_reload_of_a_wrong_file_is_400_and_says_that_nothing_was_changed():
    scene = Controlled(error=ConfigError("unknown key server.prot", "/etc/phlows.toml", 3))
    answer = scene.ask("/reload", "POST", headers=BEARER)
    message = "nothing was changed: /etc/phlows.toml:3: unknown key server.prot"
    assert (answer.status, answer.message) == (400, message)


async def test_a_reload_of_a_broker_that_stops_is_503():
    scene = Controlled(error=RequestError("the broker is stopping", 503))
    answer = scene.ask("/reload", "POST", headers=BEARER)
    assert (answer.status, answer.message) == (503, "the broker is stopping")


async def test_drain_is_asked_for_and_answered_at_once():
    scene = Controlled()
    assert scene.ask("/drain", "POST", headers=BEARER).json == {"status": "ok"}
    assert scene.control.asked == ["drain"]


async def test_metrics_are_text_as_prometheus_reads_it():
    answer = Controlled().ask("/metrics", headers=BEARER)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == b"phlows_casts_total 1.0\n"


@pytest.mark.parametrize("path", ["/reload", "/drain"])
async def test_without_the_key_nothing_is_done(path):
    scene = Controlled()
    assert scene.ask(path, "POST").status == 401
    assert scene.ask(path, "GET", headers=BEARER).status == 405
    assert scene.control.asked == []
