"""One exchange with a broker: real sockets, and every way it can go wrong."""

from __future__ import annotations

import socket
import threading

import pytest

from phlows_cli.app import exchange as module
from phlows_cli.app.exchange import exchange
from phlows_cli.errors import BrokerUnreachableError, UsageError


class Server:
    """Accept one connection, read until `until`, then answer and close."""

    def __init__(self, listener, answer, until):
        self.listener, self.answer, self.until = listener, answer, until
        self.received = b""
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        client, _ = self.listener.accept()
        with client:
            while self.until not in self.received:
                self.received += client.recv(65536)
            client.sendall(self.answer)

    def stop(self):
        self.thread.join(timeout=10)
        self.listener.close()
        assert not self.thread.is_alive()


@pytest.fixture
def serve(tmp_path):
    """serve(answer, family=..., until=...) -> (url, server)."""
    servers = []

    def start(answer, family=socket.AF_INET, until=b"\r\n\r\n"):
        listener = socket.socket(family)
        address = {
            socket.AF_INET: ("127.0.0.1", 0),
            socket.AF_INET6: ("::1", 0),
            socket.AF_UNIX: str(tmp_path / "broker.sock"),
        }[family]
        listener.bind(address)
        listener.listen()
        servers.append(Server(listener, answer, until))
        name = listener.getsockname()
        if family == socket.AF_UNIX:
            return f"unix:{name}", servers[-1]
        host = f"[{name[0]}]" if family == socket.AF_INET6 else name[0]
        return f"http://{host}:{name[1]}", servers[-1]

    yield start
    for server in servers:
        server.stop()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


def test_a_request_is_one_head_and_its_body(serve):
    url, server = serve(OK, until=b'{"a":1}')
    assert exchange(url, "POST /message", b'{"a":1}', "key") == (200, b"{}")
    head, _, body = server.received.partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.split(b"\r\n") == [
        b"POST /message HTTP/1.0",
        b"Host: " + url[7:].encode(),
        b"Content-Type: application/json",
        b"Content-Length: 7",
        b"Authorization: Bearer key",
    ]


def test_without_a_key_no_authorization_is_sent(serve):
    url, server = serve(OK)
    exchange(url, "GET /health")
    assert b"authorization" not in server.received.lower()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_the_broker_is_reached_over_any_kind_of_address(serve, family):
    url, _ = serve(OK, family)
    assert exchange(url, "GET /health") == (200, b"{}")


def test_a_unix_address_may_be_spelled_with_slashes(serve):
    url, _ = serve(OK, socket.AF_UNIX)
    assert exchange(url.replace("unix:", "unix://"), "GET /health") == (200, b"{}")


def test_a_port_alone_is_a_broker_on_this_machine(serve):
    url, server = serve(OK)
    port = url.rpartition(":")[2]
    assert exchange(port, "GET /health") == (200, b"{}")
    assert f"Host: 127.0.0.1:{port}".encode() in server.received


def test_without_a_port_it_is_that_of_http():
    assert module._address("http://example.com/") == ("example.com", ("example.com", 80))


def test_a_path_after_the_port_is_ignored(serve):
    url, _ = serve(OK)
    assert exchange(f"{url}/", "GET /health") == (200, b"{}")


def test_a_refusal_is_an_answer(serve):
    url, _ = serve(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nnope")
    assert exchange(url, "GET /health") == (400, b"nope")


def test_a_broker_that_refuses_before_the_body_is_read_is_still_heard(serve):
    url, _ = serve(b"HTTP/1.1 413 Too Large\r\n\r\nno", socket.AF_UNIX)
    assert exchange(url, "POST /message", b"x" * 8_000_000) == (413, b"no")


def test_nobody_listening_is_an_unreachable_broker():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(BrokerUnreachableError, match=f"no answer from the broker at {url}: "):
        exchange(url, "GET /health")


def test_a_missing_unix_socket_is_an_unreachable_broker(tmp_path):
    with pytest.raises(BrokerUnreachableError):
        exchange(f"unix:{tmp_path}/none.sock", "GET /health")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "it is not HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "it is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "it is not HTTP"),
        (b"HTTP/1.1\r\n\r\n", "it is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "it was cut short"),
    ],
)
def test_half_an_answer_is_no_answer(serve, answer, reason):
    url, _ = serve(answer)
    with pytest.raises(BrokerUnreachableError, match=reason):
        exchange(url, "GET /health")


def test_an_answer_over_the_limit_is_not_kept(serve, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_LIMIT", 40)
    url, _ = serve(OK + b"x" * 100)
    with pytest.raises(BrokerUnreachableError, match="more than 40 bytes"):
        exchange(url, "GET /health")


def test_a_silent_broker_is_given_up_on(monkeypatch):
    monkeypatch.setattr(module, "TOTAL_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="timed out"):
            exchange(url, "GET /health")


def test_an_answer_that_trickles_past_the_deadline_is_given_up_on(serve, monkeypatch):
    ticks = iter([0.0, 0.0, 0.0, 99.0])
    monkeypatch.setattr(module, "monotonic", lambda: next(ticks))
    url, _ = serve(OK)
    with pytest.raises(BrokerUnreachableError, match=r"not complete after 3\.0 seconds"):
        exchange(url, "GET /health")


@pytest.mark.parametrize("url", ["https://example.com", "ftp://x", "", "example.com"])
def test_another_kind_of_address_is_a_usage_error(url):
    with pytest.raises(UsageError, match="is not a broker's address"):
        exchange(url, "GET /health")


@pytest.mark.parametrize("url", ["http://h:", "http://h:x", "http://h:80:x", "http://[::1]:"])
def test_an_address_with_a_strange_port_is_a_usage_error(url):
    with pytest.raises(UsageError, match="has no port number"):
        exchange(url, "GET /health")
