from __future__ import annotations

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.wire.endpoint import Endpoint, origin_of


@pytest.mark.parametrize(
    ("url", "host", "port", "line", "named"),
    [
        ("http://app.example", "app.example", 80, "/", "app.example"),
        ("http://App.Example:80/a/b?c=d&e", "app.example", 80, "/a/b?c=d&e", "app.example"),
        ("https://app.example:8443/", "app.example", 8443, "/", "app.example:8443"),
        ("https://app.example:80/", "app.example", 80, "/", "app.example:80"),
        ("http://[::1]:8080/%20", "::1", 8080, "/%20", "[::1]:8080"),
        ("http://[::1]?a", "::1", 80, "/?a", "[::1]"),
        ("http://b\u00fccher.example/\u00e9?\u00e9", "b\u00fccher.example", 80, "/%C3%A9?%C3%A9",
         "xn--bcher-kva.example"),
    ],
)  # fmt: skip
def test_a_url_says_where_to_connect_and_what_to_ask(url, host, port, line, named):
    endpoint = Endpoint.parse(url)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert endpoint.is_secure == url.startswith("https")
    assert endpoint.origin == f"{url.partition(':')[0]}://{named}"
    lines = endpoint.request(b"{}").decode().split("\r\n")
    assert (lines[0], lines[1]) == (f"POST {line} HTTP/1.1", f"Host: {named}")
    assert lines[-3:] == ["Content-Length: 2", "", "{}"]


def test_userinfo_goes_into_a_header_and_is_never_shown():
    endpoint = Endpoint.parse("http://me:p%3Ass@app.example/?key=k")
    assert b"Authorization: Basic bWU6cDpzcw==\r\n" in endpoint.request(b"")
    assert endpoint.origin == "http://app.example"
    assert "bWU6" not in repr(endpoint)
    assert b"Authorization" not in Endpoint.parse("http://app.example/").request(b"")


@pytest.mark.parametrize(
    "url",
    ["", "/path", "ftp://a/", "http://", "http:///x", "http://[a/", "http://a:0/", "http://a:b/",
     "http://a:99999/", "http://a b/", f"http://{'a' * 70}.example/"],
)  # fmt: skip
def test_what_is_no_url_is_refused_without_being_repeated(url):
    with pytest.raises(ConfigError) as error:
        Endpoint.parse(url)
    assert str(error.value) == "app is not a URL such as http://127.0.0.1:8080/hooks"
    assert origin_of(url) == ""


def test_no_url_can_add_a_header():
    endpoint = Endpoint.parse("http://a:b%0d%0aX:y@app.example/a\r\nX: y?b\r\nX: y")
    lines = endpoint.request(b"").split(b"\r\n")
    assert not any(line.startswith(b"X:") for line in lines)
