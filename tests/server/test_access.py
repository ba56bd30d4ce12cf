"""Who may use the bridge: peer, headers, host and key, route by route."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from phlows_cli.errors import RequestError
from phlows_cli.server.access import Access, is_within
from phlows_cli.server.bridge import ROUTES
from tests.builders import KEY, LOOPBACK, make_bridge, make_request, make_server

BEARER = {"authorization": f"Bearer {KEY}"}


def access(key=KEY, proxies=LOOPBACK, **bridge):
    return Access(make_server(trusted_proxies=proxies), make_bridge(**bridge), key)


def status(rules, address="127.0.0.1", headers=(), *, needs_key=False):
    """200, or the status of the refusal."""
    try:
        request = make_request("/message", headers=headers)
        rules.check(request, rules.caller(address), needs_key=needs_key)
    except RequestError as error:
        return error.status
    return 200


FROM_ELSEWHERE = [
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-proto": "https"},
    {"x-forwarded-host": "localhost"},
    {"x-forwarded-anything": ""},
    {"x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1"},
    {"via": "1.1 proxy"},
    {"origin": "http://localhost"},
    {"origin": "null"},
    {"sec-fetch-site": "same-origin"},
    {"host": "evil.example"},
    {"host": "evil.example:3001"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "localhost.evil.example"},
]
DIRECT = [
    {},
    {"host": "localhost"},
    {"host": "LOCALHOST:3001"},
    {"host": "localhost."},
    {"host": "127.0.0.1"},
    {"host": "[::1]:3001"},
    {"host": "::1"},
    {"host": "192.0.2.1:80"},
    {"host": ""},
    {"cookie": "token=x", "user-agent": "curl"},
]


@pytest.mark.parametrize("headers", DIRECT, ids=str)
def test_a_direct_peer_that_is_allowed_needs_no_key_where_the_route_needs_none(headers):
    assert status(access(), headers=headers) == 200
    assert status(access(), headers=headers, needs_key=True) == 401


@pytest.mark.parametrize("headers", FROM_ELSEWHERE, ids=str)
def test_what_comes_through_a_proxy_from_a_browser_or_to_another_name_needs_the_key(headers):
    for needs_key in (False, True):
        assert status(access(), headers=headers, needs_key=needs_key) == 401
        assert status(access(), headers=headers | BEARER, needs_key=needs_key) == 200


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", 200),
        ("127.255.0.9", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.1", 401),
        ("::ffff:192.0.2.1", 401),
        ("fe80::1%eth0", 401),
        ("unix", 401),
        ("", 401),
    ],
)
def test_who_is_allowed_is_decided_by_the_direct_peers_address(address, expected):
    assert status(access(), address) == expected
    assert status(access(), address, BEARER) == 200


def test_unix_peers_are_allowed_when_bridge_allow_says_so():
    rules = access(allow_unix=True, allow=())
    assert status(rules, "unix") == 200
    assert status(rules, "127.0.0.1") == 401
    assert status(rules, "unix", needs_key=True) == 401
    assert status(rules, "unix", {"x-forwarded-for": "192.0.2.1"}) == 401


def test_names_make_a_host_header_our_own():
    rules = access(names=frozenset({"broker.internal"}))
    assert status(rules, headers={"host": "Broker.Internal:3001"}) == 200
    assert status(rules, headers={"host": "other.internal"}) == 401


WRONG = [
    "Bearer wrong",
    f"Bearer {KEY}x",
    f"Bearer {KEY[:-1]}",
    "Bearer ",
    "Bearer",
    "",
    f"Basic {KEY}",
    KEY,
    "Bearer \u00ff",
]


@pytest.mark.parametrize("authorization", WRONG)
@pytest.mark.parametrize("needs_key", [True, False])
def test_a_wrong_key_is_403_even_where_none_is_needed(authorization, needs_key):
    headers = {"authorization": authorization}
    assert status(access(), headers=headers, needs_key=needs_key) == 403


@pytest.mark.parametrize("authorization", [f"bearer {KEY}", f"BEARER   {KEY} "])
def test_the_scheme_is_read_as_http_reads_it(authorization):
    headers = {"authorization": authorization}
    assert status(access(), "192.0.2.1", headers, needs_key=True) == 200


def test_a_key_may_be_any_text_as_its_bytes_travel():
    sent = "schlüssel-ключ".encode().decode("latin-1")
    headers = {"authorization": f"Bearer {sent}"}
    assert status(access("schlüssel-ключ"), "192.0.2.1", headers) == 200


def test_a_refusal_says_why_and_how_and_never_shows_a_key():
    rules = access()
    for headers, why in (
        ({"via": "1.1 x"}, "carries via, so it comes through a proxy or from a browser"),
        ({"host": "evil.example"}, r"host 'evil\.example', which is not in bridge\.names"),
    ):
        request = make_request("/message", headers=headers)
        with pytest.raises(RequestError, match=why) as caught:
            rules.check(request, rules.caller("127.0.0.1"), needs_key=False)
        assert "Authorization: Bearer <key> (bridge.key_file)" in str(caught.value)
        assert dict(caught.value.headers) == {"WWW-Authenticate": 'Bearer realm="phlows"'}
    with pytest.raises(RequestError, match=r"192\.0\.2\.1 is not in bridge\.allow"):
        rules.check(make_request(), rules.caller("192.0.2.1"), needs_key=False)
    wrong = make_request(headers={"authorization": "Bearer guess"})
    with pytest.raises(RequestError) as caught:
        rules.check(wrong, rules.caller("127.0.0.1"), needs_key=False)
    assert KEY not in str(caught.value)
    assert "guess" not in str(caught.value)


def test_only_casting_and_asking_for_health_can_do_without_the_key():
    keyless = {path for path, route in ROUTES.items() if not route.needs_key}
    assert keyless == {"/message", "/health", "/ready", "/dispatch"}


# What trusted proxies say


@pytest.mark.parametrize(
    ("address", "headers", "host"),
    [
        ("127.0.0.1", {"x-forwarded-host": "App.Example:443, inner"}, "app.example"),
        ("unix", {"x-forwarded-host": "app.example"}, "app.example"),
        ("192.0.2.1", {"x-forwarded-host": "app.example"}, "front.example"),
        ("127.0.0.1", {"x-forwarded-host": " , app.example"}, "front.example"),
        ("127.0.0.1", {"x-forwarded-host": ""}, "front.example"),
        ("127.0.0.1", {}, "front.example"),
    ],
)
def test_the_visited_host_is_the_first_that_a_trusted_proxy_forwards(address, headers, host):
    rules = access()
    request = make_request(headers={"host": "Front.Example.:80"} | headers)
    assert rules.visited_host(request, rules.caller(address)) == host


@pytest.mark.parametrize(
    ("address", "proto", "secure"),
    [
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "HTTPS, http", True),
        ("127.0.0.1", "wss", True),
        ("127.0.0.1", "http, https", False),
        ("127.0.0.1", "", False),
        ("unix", "https", True),
        ("192.0.2.1", "https", False),
    ],
)
def test_a_connection_is_secure_when_a_trusted_proxy_says_so_first(address, proto, secure):
    rules = access()
    request = make_request(headers={"x-forwarded-proto": proto})
    assert rules.is_secure(request, rules.caller(address), is_tls=False) is secure


def test_a_connection_is_secure_when_it_is_encrypted_whatever_anybody_says():
    rules = access()
    request = make_request(headers={"x-forwarded-proto": "http"})
    for address in ("127.0.0.1", "192.0.2.1"):
        assert rules.is_secure(request, rules.caller(address), is_tls=True)


@pytest.mark.parametrize(
    ("address", "forwarded", "expected"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "10.9.9.9, 203.0.113.9, 10.0.0.2, 10.0.0.1", "203.0.113.9"),
        ("127.0.0.1", "10.0.0.2, 10.0.0.1", "10.0.0.2"),
        ("127.0.0.1", "203.0.113.9, , ", "203.0.113.9"),
        ("127.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "203.0.113.9, unix", "unix"),
        ("127.0.0.1", "203.0.113.9, nonsense", "nonsense"),
        ("127.0.0.1", "203.0.113.9, " + "x" * 10_000, "x" * 64),
        ("unix", "203.0.113.9", "203.0.113.9"),
        ("unix", None, "unix"),
    ],
)
def test_the_client_is_the_right_most_address_that_no_trusted_proxy_wrote(
    address, forwarded, expected
):
    rules = access(proxies=(*LOOPBACK, ip_network("10.0.0.0/24")))
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    found = rules.client_address(make_request(headers=headers), rules.caller(address))
    assert found == expected


def test_no_address_lies_in_no_network():
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert is_within("192.0.2.1", everything)
    assert is_within("::1", everything)
    for text in ("", "unix", "localhost", "1.2.3", "1.2.3.4:80"):
        assert not is_within(text, everything)
