"""Who may use the bridge without the key, and who must have it."""

from __future__ import annotations

import pytest

OPEN = ["/health", "/ready"]
NEEDS_KEY = [("GET", "/presence"), ("GET", "/events"), ("POST", "/disconnect")]

SIGNS = [
    ("Forwarded", "for=203.0.113.9"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Host", "app.example.com"),
    ("X-Forwarded-Proto", "https"),
    ("X-Real-IP", "203.0.113.9"),
    ("Via", "1.1 proxy"),
    ("Origin", "https://evil.example.com"),
    ("Origin", "null"),
    ("Sec-Fetch-Site", "cross-site"),
]


def with_key(broker, scheme="Bearer"):
    return ("Authorization", f"{scheme} {broker.key}")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:3001", "localhost", "[::1]:3001", "LOCALHOST."]
)
def test_a_direct_neighbour_needs_no_key(broker, take, host):
    assert broker.ask("POST", "/message", {"host": take().host}, host=host).status == 200
    assert {broker.ask("GET", path, host=host).status for path in OPEN} == {200}


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: f"{sign[0]}: {sign[1]}")
def test_what_comes_through_a_proxy_or_from_a_browser_needs_the_key(broker, take, sign):
    body = {"host": take().host}
    answer = broker.ask("POST", "/message", body, [sign])
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert sign[0].lower() in answer.json["message"]
    assert {broker.ask("GET", path, None, [sign]).status for path in OPEN} == {401}
    answer = broker.ask("POST", "/message", body, [sign, with_key(broker)])
    assert answer.status == 200


def test_a_name_that_is_not_the_brokers_own_needs_the_key(broker, take):
    stage = take()
    for host in ("evil.example.com", stage.host, "127.0.0.1.evil.com", "localhost.evil.com"):
        answer = broker.ask("POST", "/message", {"host": stage.host}, host=host)
        assert answer.status == 401
        answer = broker.ask("POST", "/message", {"host": stage.host}, [with_key(broker)], host=host)
        assert answer.status == 200


@pytest.mark.parametrize(("method", "path"), NEEDS_KEY)
def test_what_shows_or_ends_connections_needs_the_key_from_anyone(broker, method, path):
    answer = broker.ask(method, path, {"target": "all"} if method == "POST" else None)
    assert answer.status == 401
    assert answer.json["status"] == "error"


@pytest.mark.parametrize(
    "given", ["Bearer wrong", "Bearer ", "Bearer", "Basic {key}", "{key}", "Bearer {key}x", ""]
)
def test_a_wrong_key_is_403_even_where_none_is_needed(broker, given):
    header = ("Authorization", given.format(key=broker.key))
    for path in (*OPEN, "/presence"):
        assert broker.ask("GET", path, None, [header]).status == 403


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_right_key_opens(broker, scheme):
    assert broker.ask("GET", "/presence", None, [with_key(broker, scheme)]).status == 200


def test_peers_that_are_not_allowed_and_names_that_are(start):
    program = start(
        {"push.example.com": {"hooks": []}},
        bridge={"allow": ["10.0.0.0/8"], "names": ["broker.internal"]},
    )
    assert program.ask("GET", "/health").status == 401
    assert program.ask_with_key("GET", "/health").status == 200


def test_a_name_of_the_bridge_needs_no_key(start):
    program = start({"push.example.com": {"hooks": []}}, bridge={"names": ["broker.internal"]})
    assert program.ask("GET", "/health", host="Broker.Internal:3001").status == 200
    assert program.ask("GET", "/health", host="other.internal").status == 401


def test_the_key_of_the_environment_goes_before_the_file(start):
    program = start({"push.example.com": {"hooks": []}}, environ={"PHLOWS_KEY": "topsecret-key"})
    header = ("Authorization", "Bearer topsecret-key")
    assert program.ask("GET", "/presence", None, [header]).status == 200


def test_what_a_peer_says_that_is_no_trusted_proxy_is_not_believed(start, connect):
    host = "app.example.com"
    program = start({host: {"hooks": []}}, server={"trusted_proxies": ["10.0.0.0/8"]})
    forwarded = [
        ("X-Forwarded-Host", "unknown.example.com"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("Origin", f"http://{host}"),
    ]
    client = connect(program.stages[host], to=program, headers=forwarded)
    program.socket_of(client)
    assert [row["address"] for row in program.presence(host)] == ["127.0.0.1"]
