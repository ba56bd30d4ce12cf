from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from phlows_cli.errors import RequestError
from phlows_cli.wire import handshake
from phlows_cli.wire.handshake import accept_upgrade, cookie_token, origin_allowed
from phlows_cli.wire.request import Request, RequestReader

UPGRADE = {
    "host": "app.example.com",
    "connection": "keep-alive, Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}


def upgrade(without="", method="GET", version="1.1", **changes):
    headers = {**UPGRADE, **{name.replace("_", "-"): value for name, value in changes.items()}}
    headers.pop(without, None)
    return Request(method, "/websocket", "/websocket", {}, headers, version=version)


def refusal(request):
    with pytest.raises(RequestError) as caught:
        accept_upgrade(request)
    return caught.value.status, str(caught.value), dict(caught.value.headers)


def test_a_real_client_opens_with_our_answer():
    client = ClientProtocol(parse_uri("ws://app.example.com/websocket?x=1"))
    client.send_request(client.connect())
    reader = RequestReader(body_limit=0)
    reader.receive_data(b"".join(client.data_to_send()))
    (request,) = reader.requests_received()
    client.receive_data(accept_upgrade(request))
    assert client.state is State.OPEN
    assert client.extensions == []


def test_the_accept_key_is_the_one_of_the_rfc():
    answer = accept_upgrade(upgrade())
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("key", ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAB=="])
def test_an_upgrade_like_one_before_is_answered_as_websockets_does(key):
    accept_upgrade(upgrade())
    assert accept_upgrade(upgrade(sec_websocket_key=key)).decode().split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
        "",
        "",
    ]


@pytest.mark.parametrize(
    "key", ["", "short", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "*" * 22 + "=="]
)
def test_a_bad_key_is_refused_whatever_came_before(key):
    accept_upgrade(upgrade())
    assert refusal(upgrade(sec_websocket_key=key))[0] == 400


def test_kinds_of_upgrade_are_remembered_up_to_a_bound():
    for number in range(1000):
        accept_upgrade(upgrade(connection=f"x{number}, Upgrade"))
        accept_upgrade(upgrade(connection="x" * 1000 + ", Upgrade"))
    assert len(handshake._good_shapes) <= handshake._KNOWN_SHAPES
    assert all(len("".join(shape)) <= 256 for shape in handshake._good_shapes)


def test_no_extension_and_no_subprotocol_is_taken():
    answer = accept_upgrade(
        upgrade(
            sec_websocket_extensions="permessage-deflate",
            sec_websocket_protocol="chat, superchat",
        )
    ).lower()
    assert b"sec-websocket-extensions" not in answer
    assert b"sec-websocket-protocol" not in answer


WEBSOCKET_HEADERS = {"upgrade": "websocket", "sec-websocket-version": "13"}
NOT_AN_UPGRADE = "this path speaks WebSocket: connect with an upgrade"
KEY = "bad upgrade: "
REFUSALS = {
    "another method": (
        upgrade(method="POST"),
        405,
        "an upgrade is a GET",
        {"allow": "GET"},
    ),
    "HTTP/1.0": (upgrade(version="1.0"), 505, "an upgrade needs HTTP/1.1", {}),
    "no upgrade header": (upgrade("upgrade"), 426, NOT_AN_UPGRADE, WEBSOCKET_HEADERS),
    "no connection header": (upgrade("connection"), 426, NOT_AN_UPGRADE, WEBSOCKET_HEADERS),
    "connection without upgrade": (
        upgrade(connection="close"),
        426,
        NOT_AN_UPGRADE,
        WEBSOCKET_HEADERS,
    ),
    "another protocol": (upgrade(upgrade="h2c"), 426, NOT_AN_UPGRADE, WEBSOCKET_HEADERS),
    "two protocols": (upgrade(upgrade="websocket, h2c"), 426, NOT_AN_UPGRADE, WEBSOCKET_HEADERS),
    "an old version": (
        upgrade(sec_websocket_version="8"),
        426,
        "WebSocket version '8' is not 13",
        WEBSOCKET_HEADERS,
    ),
    "a repeated version": (
        upgrade(sec_websocket_version="13, 13"),
        426,
        "WebSocket version '13, 13' is not 13",
        WEBSOCKET_HEADERS,
    ),
    "no version": (
        upgrade("sec-websocket-version"),
        400,
        "bad upgrade: missing Sec-WebSocket-Version header",
        {},
    ),
    "no key": (
        upgrade("sec-websocket-key"),
        400,
        "bad upgrade: missing Sec-WebSocket-Key header",
        {},
    ),
    "a key that is not base64": (
        upgrade(sec_websocket_key="é"),
        400,
        "bad upgrade: invalid Sec-WebSocket-Key header: é",
        {},
    ),
    "a short key": (
        upgrade(sec_websocket_key="c2hvcnQ="),
        400,
        "bad upgrade: invalid Sec-WebSocket-Key header: c2hvcnQ=",
        {},
    ),
    "a connection header that is no list": (
        upgrade(connection="a b"),
        400,
        "bad upgrade: invalid Connection header: expected comma at 2 in a b",
        {},
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_not_an_upgrade_is_refused_with_its_reason(case):
    request, status, text, headers = REFUSALS[case]
    assert refusal(request) == (status, text, headers)


def test_a_refusal_leaves_nothing_for_the_next_handshake():
    refusal(upgrade("sec-websocket-key"))
    assert handshake._handshake.handshake_exc is None
    assert accept_upgrade(upgrade()).startswith(b"HTTP/1.1 101 ")


def with_cookie(cookie):
    return upgrade(cookie=cookie)


TOKENS = {
    "token=abc": "abc",
    "a=1; token=abc; b=2": "abc",
    "a=1;token=abc;b=2": "abc",
    "token=first; token=last": "last",
    "token=first; token=": "",
    "token=a=b==": "a=b==",
    "token=a+b": "a+b",
    "token=a%20b%2Bc": "a b+c",
    "token=caf%C3%A9": "café",
    "token=caf%c3%a9": "café",
    "token=%zz": "%zz",
    "token=100%": "100%",
    "token=%2": "%2",
    "token=%FFa%20b": "%FFa b",
    "token=%C3": "%C3",
    "token=caf\xc3\xa9": "café",
    "token=caf\xe9": "caf\xe9",
    'token="abc"': '"abc"',
    "token = abc ": "abc",
    "Token=abc": "",
    "xtoken=abc": "",
    "token": "",
    "": "",
    ";;; ;": "",
    "token=%25%32%30": "%20",
}


@pytest.mark.parametrize("cookie", TOKENS)
def test_the_token_is_read_from_its_cookie(cookie):
    assert cookie_token(with_cookie(cookie), "token") == TOKENS[cookie]


def test_no_cookie_is_an_empty_token():
    assert cookie_token(upgrade(), "token") == ""


def test_a_host_without_cookies_sees_no_token():
    assert cookie_token(with_cookie("=abc; token=abc"), "") == ""


def test_cookie_lines_sent_apart_are_read_together():
    reader = RequestReader(body_limit=0)
    reader.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: token=x,y\r\n\r\n")
    (request,) = reader.requests_received()
    assert cookie_token(request, "token") == "x,y"


def test_a_token_of_4096_bytes_is_the_longest():
    assert len(cookie_token(with_cookie("token=" + "a" * 4096), "token")) == 4096
    with pytest.raises(
        RequestError, match=r"^cookie 'token' of 4097 bytes exceeds 4096$"
    ) as caught:
        cookie_token(with_cookie("token=" + "a" * 4097), "token")
    assert caught.value.status == 400


def test_the_limit_counts_bytes_after_decoding():
    assert cookie_token(with_cookie("token=" + "%61" * 4096), "token") == "a" * 4096
    with pytest.raises(RequestError, match="of 4098 bytes"):
        cookie_token(with_cookie("token=" + "%C3%A9" * 2049), "token")


def test_a_token_with_nul_is_refused():
    with pytest.raises(RequestError, match=r"^cookie 'token' holds NUL$") as caught:
        cookie_token(with_cookie("token=a%00b"), "token")
    assert caught.value.status == 400


def token_and_reason(cookie):
    """What is read, and why it is refused: one of them is empty."""
    try:
        return cookie_token(with_cookie(cookie), "token"), ""
    except RequestError as error:
        return "", str(error)


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\0;"), max_size=60))
@settings(deadline=None)
def test_any_cookie_gives_a_token_unless_it_hides_a_nul(cookie):
    token, reason = token_and_reason(f"a=b; token={cookie}; c=d")
    assert reason == ("cookie 'token' holds NUL" if "%00" in cookie else "")
    token.encode()


HOST = "app.example.com"
ORIGINS = [
    # origin, secure, entries, allowed
    (None, True, (), True),
    (None, False, (), True),
    ("https://app.example.com", True, (), True),
    ("https://app.example.com", False, (), True),
    ("http://app.example.com", False, (), True),
    ("http://app.example.com", True, (), False),
    ("https://app.example.com:8443", True, (), True),
    ("HTTPS://APP.example.COM", True, (), True),
    ("https://app.example.com.", True, (), True),
    ("https://other.example.com", True, (), False),
    ("https://app.example.com.evil.org", True, (), False),
    ("https://evilapp.example.com", True, (), False),
    ("https://example.com", True, (), False),
    ("null", False, (), False),
    ("null", True, ("null",), False),
    ("", False, (), False),
    ("app.example.com", False, (), False),
    ("//app.example.com", False, (), False),
    ("file://", False, (), False),
    ("ftp://app.example.com", False, (), False),
    ("https://app.example.com/", True, (), False),
    ("https://app.example.com/path", True, (), False),
    ("https://app.example.com?x", True, (), False),
    ("https://evil.org@app.example.com", True, (), False),
    ("https://app.example.com@evil.org", True, (), False),
    ("https://app.example.com#@evil.org", True, (), False),
    ("https://app.example.com https://evil.org", True, (), False),
    ("https://app.example.com, https://app.example.com", True, (), False),
    ("https://app.example.com:", True, (), False),
    ("https://app.example.com:x", True, (), False),
    ("https://app.example.com:443:443", True, (), False),
    ("https://app.example.com\n", True, (), False),
    ("https://other.org", True, ("https://other.org",), True),
    ("https://OTHER.org", True, ("HTTPS://other.ORG",), True),
    ("https://other.org:8443", True, ("https://other.org",), True),
    ("https://other.org:8443", True, ("https://other.org:8443",), True),
    ("https://other.org", True, ("https://other.org:8443",), False),
    ("https://other.org:9443", True, ("https://other.org:8443",), False),
    ("https://other.org", True, ("https://other.org:443",), True),
    ("http://other.org", True, ("http://other.org:80",), True),
    ("http://other.org", True, ("https://other.org",), False),
    ("http://other.org", True, ("http://other.org",), True),
    ("app://other.org", True, ("app://other.org",), True),
    ("app://other.org", True, ("app://other.org:1",), False),
    ("https://third.org", True, ("https://other.org", "https://third.org"), True),
    ("https://sub.other.org", True, ("https://other.org",), False),
    ("https://other.org", True, ("other.org",), False),
    ("https://evil.org", True, ("*",), True),
    ("null", True, ("https://other.org", "*"), True),
]


@pytest.mark.parametrize(("origin", "secure", "entries", "allowed"), ORIGINS)
def test_the_page_that_may_open_a_socket(origin, secure, entries, allowed):
    request = upgrade() if origin is None else upgrade(origin=origin)
    assert origin_allowed(request, HOST, entries, secure) is allowed


def test_an_ipv6_host_allows_its_own_pages():
    request = upgrade(origin="http://[::1]:3001")
    assert origin_allowed(request, "::1", (), False)
    assert not origin_allowed(request, "::2", (), False)


def test_a_repeated_origin_is_refused_even_when_both_are_right():
    request = upgrade(origin="https://app.example.com")
    request.repeated = frozenset({"origin"})
    assert not origin_allowed(request, HOST, (), False)
    assert not origin_allowed(request, HOST, ("https://app.example.com",), False)
    assert origin_allowed(request, HOST, ("*",), False)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(deadline=None)
def test_no_origin_makes_the_check_fail(origin, entry):
    assert origin_allowed(upgrade(origin=origin), HOST, (entry,), True) in (True, False)
