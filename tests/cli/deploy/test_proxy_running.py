"""The real Caddy and nginx in front of a real broker, by the files that are made."""

from __future__ import annotations

import json
import threading
from contextlib import suppress

import pytest

from tests.cli.deploy.web_servers import HOST, VISITOR, Caddy, Nginx, accepted
from tests.conformance.client import PING, PONG, TEXT, ClosedError, RefusedError, frame
from tests.conformance.program import Program
from tests.conformance.stream import EndOfStreamError, dial
from tests.conformance.web import read_head, request_bytes
from tests.started import ROOT

OTHER = "other.test"
SECRETS = (".env", "phlows.toml", "app.py", "APP.PY", "seen.ndjson", "tls.key", "app.php")
BEHIND = [
    pytest.param((Caddy, "tcp"), marks=pytest.mark.caddy, id="caddy over tcp"),
    pytest.param((Nginx, "unix"), marks=pytest.mark.nginx, id="nginx over unix"),
]
CROSSED = [
    pytest.param((Caddy, "unix"), marks=pytest.mark.caddy, id="caddy over unix"),
    pytest.param((Nginx, "tcp"), marks=pytest.mark.nginx, id="nginx over tcp"),
]


def behind(folder, kind, way, **server):
    """A broker, and the web server in front of it."""
    unix = f"unix:{folder}/p"
    listen = ["127.0.0.1"] if way == "tcp" else [unix, "127.0.0.1"]
    hosts = {HOST: {"app": "python"}, OTHER: {"hooks": []}}
    # No address of this machine is a trusted proxy but the web server's.
    server = {"listen": listen, "trusted_proxies": ["127.0.0.1"], **server}
    broker = Program(folder / "broker", hosts, {"PYTHONPATH": str(ROOT)}, server=server)
    broker.stages[HOST].plan()
    site = folder / "site"
    site.mkdir()
    (site / "index.html").write_text("the site")
    for name in SECRETS:
        (site / name).write_text("topsecret")
    try:
        front = kind(folder / "web", broker.folder / "phlows.toml", "--root", str(site))
    except BaseException:
        broker.kill()
        raise
    return broker, front


@pytest.fixture(scope="module", params=BEHIND)
def both(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("p")
    broker, front = behind(folder, *request.param, ping_interval=0.5)
    yield broker, front
    front.stop()
    broker.stop()


@pytest.fixture
def broker(both):
    return both[0]


@pytest.fixture
def front(both):
    return both[1]


@pytest.fixture
def visit(front):
    """Opens sockets through the web server, and drops those that are left."""
    clients = []

    def opened(**how):
        clients.append(front.open(**how))
        return clients[-1]

    yield opened
    for client in clients:
        client.drop()


def test_the_program_itself_finds_no_fault_with_the_file(front):
    said = front.validate()
    assert "not formatted" not in said
    assert "[warn]" not in said


def test_messages_and_casts_go_through_in_both_directions(broker, visit):
    client = accepted(visit())
    assert broker.cast(HOST, {"news": 1})["sent"] == 1
    assert client.receive_json() == {"news": 1}


def test_a_cookie_goes_through_and_authenticates(broker, visit):
    client = visit(agent="with cookie", headers=[("Cookie", "token=topsecret")])
    broker.admitted(client)
    calls = broker.stages[HOST].started()
    (call,) = [c for c in calls if c.hook == "auth" and c.socket == broker.socket_of(client)]
    assert "topsecret" in call.argv


@pytest.mark.parametrize("origin", ["https://evil.test", "http://app.test", "null"])
def test_a_page_of_another_site_is_refused(visit, origin):
    with pytest.raises(RefusedError) as refused:
        visit(headers=[("Origin", origin)])
    assert refused.value.status == 403  # plain http, too: the broker knows that this is https


def test_a_page_of_the_host_itself_may_connect(front, visit):
    accepted(visit(headers=[("Origin", f"https://{HOST}:{front.https}")]))


def test_what_a_visitor_says_of_itself_is_not_believed(broker, visit):
    lies = [
        ("X-Forwarded-Host", OTHER),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Origin", f"https://{HOST}"),
    ]
    client = accepted(visit(agent="liar", headers=lies))
    (found,) = [s for s in broker.presence(HOST) if s["agent"] == client.agent]
    assert found["address"] == VISITOR
    assert broker.presence(OTHER) == []
    with pytest.raises(RefusedError):
        visit(headers=[("X-Forwarded-Host", OTHER), ("Origin", f"https://{OTHER}")])


def test_a_host_that_is_not_this_web_servers_is_not_reached_through_it(broker, visit):
    with suppress(RefusedError):  # Caddy answers nothing; nginx takes it for its first host
        client = visit(agent="stray", host=OTHER)
        broker.admitted(accepted(client))
    assert broker.presence(OTHER) == []


@pytest.mark.parametrize("path", ["/message", "/health", "/ready", "/events", "/reload", "/drain"])
def test_the_bridge_is_not_reachable(broker, front, path):
    key = [("Authorization", f"Bearer {broker.key}")]
    for method in ("GET", "POST"):
        status, body = front.ask(method, path, {} if method == "POST" else None, key)
        assert status in (404, 405)
        assert b"status" not in body
    assert broker.health()["status"] == "ok"


def test_the_browser_script_goes_through_and_the_site_is_beside_it(front):
    status, body = front.ask("GET", "/websocket/phlows.js")
    assert (status, b"phlows" in body) == (200, True)
    status, body = front.ask("GET", "/")
    assert (status, b"the site" in body) == (200, True)


@pytest.mark.parametrize("name", [*SECRETS, "%70hlows.toml", "phlows.toml/", "./phlows.toml"])
def test_what_no_visitor_is_to_read_is_hidden(front, name):
    status, body = front.ask("GET", f"/{name}")
    assert (status, b"topsecret" in body) == (404, False)


def test_plain_http_leads_to_https(front):
    stream = dial(("127.0.0.1", front.http))
    try:
        stream.send(request_bytes("GET", "/x?y=1", host=f"{HOST}:{front.http}"))
        status, headers = read_head(stream)
    finally:
        stream.close()
    assert status in (301, 308)
    # Caddy takes its port for one that 443 is forwarded to.
    port = "" if front.kind == "caddy" else f":{front.https}"
    assert headers["location"] == f"https://{HOST}{port}/x?y=1"


def test_a_message_that_is_too_long_is_refused_by_the_broker_itself(visit):
    client = accepted(visit())
    # Its announcement alone: a web server resets a visitor that is cut while it still
    # sends, and then what the broker said may never be read.
    client.stream.send(frame(TEXT, b"x" * 65537)[:14])
    with pytest.raises(ClosedError) as closed:
        client.receive()
    assert closed.value.code == 1009
    assert "65536" in closed.value.reason


def test_a_message_of_nearly_64_kib_goes_through(visit):
    client = accepted(visit())
    client.send({"do": [["print", json.dumps({"got": 1})]], "rest": "x" * 65000})
    assert client.receive_json() == {"got": 1}


def test_an_idle_socket_is_kept_by_pings(visit):
    client = accepted(visit())
    for _ in range(3):
        opcode, payload = client.read_frame()
        assert opcode == PING
        client.send_frame(PONG, payload)
    client.send({"do": [["print", json.dumps({"still": "here"})]]})
    assert client.receive_json() == {"still": "here"}


def test_a_reload_of_the_web_server_keeps_or_ends_sockets_and_lets_new_ones_in(front, visit):
    client = accepted(visit())
    front.reload()
    if front.kind == "nginx":  # the worker of before serves its sockets to their end
        client.send({"do": [["print", json.dumps({"still": "here"})]]})
        assert client.receive_json() == {"still": "here"}
    else:
        with pytest.raises((ClosedError, EndOfStreamError)):
            client.receive()
    accepted(visit())


def test_a_broker_that_is_restarted_closes_with_its_code_and_is_found_again(broker, front, visit):
    client = accepted(visit())
    broker.signal()
    with pytest.raises(ClosedError) as closed:
        client.receive()
    assert closed.value.code == 1012
    client.drop()
    assert broker.wait() == 0
    if front.kind == "nginx":
        assert front.ask("GET", "/websocket")[0] == 502
        broker.start_again()
    else:
        started = threading.Thread(target=broker.start_again)
        started.start()  # Caddy lets the visitor wait meanwhile
        accepted(visit(), "again")
        started.join()
    accepted(visit(), "once more")


@pytest.mark.parametrize("pair", CROSSED)
def test_the_other_kind_of_address_will_do_as_well(pair, tmp_path):
    broker, front = behind(tmp_path, *pair)
    try:
        client = accepted(front.open())
        (found,) = broker.presence(HOST)
        assert found["address"] == VISITOR
        client.drop()
    finally:
        front.stop()
        broker.stop()
