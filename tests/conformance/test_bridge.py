"""The HTTP side of the port, as a client that has nothing to hide sees it."""

from __future__ import annotations

import stat

import pytest

from tests.conformance.client import ClosedError, upgrade_bytes
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

POST = b"POST /message HTTP/1.1\r\nHost: localhost\r\n"


def test_health_tells_what_both_upstream_brokers_tell(broker):
    answer = broker.ask("GET", "/health")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    health = answer.json
    assert health["status"] == "ok"
    assert {"version", "uptime", "hosts", "sockets", "connections", "dropped"} <= set(health)
    assert {"configured", "registered", "workers", "cap", "pools"} <= set(health)
    assert health["configured"] == sorted(health["hosts"])
    assert "push.example.com" in health["configured"]
    assert health["uptime"] > 0
    assert health["cap"] > 0
    pool = next(iter(health["pools"].values()))
    assert set(pool) == {"workers", "busy", "queued"}


def test_pools_tell_what_runs(broker, take, join, gate, token):
    stage = take("upgrade")
    client, _ = join(stage, token)
    client.send({"do": [["gate", gate.port]]})
    visitor = gate.arrival()
    pools = broker.health()["pools"]
    assert next(pool for app, pool in pools.items() if app.endswith("/actor.py"))["busy"] >= 1
    visitor.let_on()


def test_ready_is_200_while_it_can_serve(broker):
    answer = broker.ask("GET", "/ready")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "//", 404),
        ("GET", "/", 404),
        ("GET", "/unknown", 404),
        ("POST", "/", 404),
        ("GET", "/message/", 404),
        ("GET", "/%00", 404),
        ("GET", "/message", 405),
        ("PUT", "/message", 405),
        ("DELETE", "/health", 405),
        ("POST", "/health", 405),
        ("POST", "/events", 405),
        ("CONNECT", "example.com:443", 405),
        ("BREW", "/message", 501),
    ],
)
def test_what_is_not_there_is_said_in_the_one_shape_of_errors(broker, method, path, status):
    answer = broker.ask(method, path)
    assert answer.status == status
    assert answer.json["status"] == "error"
    assert answer.json["message"]
    assert broker.ask("GET", "/ready").status == 200


def test_a_wrong_method_is_told_the_right_one(broker):
    assert broker.ask("GET", "/message").headers["allow"] == "POST"


def test_a_post_without_a_length_is_411(broker, take):
    assert broker.ask("POST", "/message").status == 411


def test_a_body_over_the_limit_is_413_before_it_is_sent(broker):
    stream = dial(broker.address)
    stream.send(POST + b"Content-Length: 1048577\r\n\r\n")
    answer = read_answer(stream)
    assert answer.status == 413
    assert "bridge.body_limit" in answer.json["message"]
    assert stream.at_end()
    stream.close()


def test_a_chunked_body_over_the_limit_is_413(broker):
    stream = dial(broker.address)
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    stream.send(head + b"100100\r\n" + b" " * 0x100100)
    assert read_answer(stream).status == 413
    stream.close()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/problem+json", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_of_another_type_than_json_is_415(broker, take, kind, status):
    body = {"host": take().host}
    answer = broker.ask("POST", "/message", body, [("Content-Type", kind)])
    assert answer.status == status


def test_a_body_without_a_type_is_taken(broker, take):
    body = b'{"host":"%b"}' % take().host.encode()
    stream = dial(broker.address)
    stream.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert read_answer(stream).status == 200
    stream.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", 400),
        (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client says hello\r\n\r\n", 400),
    ],
)  # fmt: skip
def test_what_is_not_http_is_refused_and_the_connection_ends(broker, raw, status):
    stream = dial(broker.address)
    stream.send(raw)
    assert read_answer(stream).status == status
    assert stream.at_end()
    stream.close()


def test_requests_on_one_connection_are_answered_in_order(broker):
    stream = dial(broker.address)
    paths = ["/ready", "/unknown", "/health", "//", "/message", "/ready"]
    stream.send(b"".join(request_bytes("GET", path) for path in paths))
    assert [read_answer(stream).status for _ in paths] == [200, 404, 200, 404, 405, 200]
    stream.send(request_bytes("GET", "/ready"))
    assert read_answer(stream).status == 200
    stream.close()


def test_a_request_that_asks_for_it_is_the_last_of_its_connection(broker):
    stream = dial(broker.address)
    stream.send(request_bytes("GET", "/ready", None, [("Connection", "close")]))
    assert read_answer(stream).headers["connection"] == "close"
    assert stream.at_end()
    stream.close()


def test_an_http_1_0_request_is_answered_and_the_connection_ends(broker):
    stream = dial(broker.address)
    stream.send(b"GET /ready HTTP/1.0\r\n\r\n")
    assert read_answer(stream).json == {"status": "ok"}
    assert stream.at_end()
    stream.close()


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(broker, take):
    body = b'{"host":"%b"}' % take().host.encode()
    stream = dial(broker.address)
    stream.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert stream.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    stream.send(body)
    assert read_answer(stream).status == 200
    stream.close()


def test_a_request_cut_byte_by_byte_is_answered(broker, take):
    stream = dial(broker.address)
    for byte in request_bytes("POST", "/message", {"host": take().host}):
        stream.send(bytes([byte]))
    assert read_answer(stream).status == 200
    stream.close()


def test_requests_before_an_upgrade_on_one_connection_are_answered_first(broker, take):
    stream = dial(broker.address)
    stream.send(request_bytes("GET", "/ready") + upgrade_bytes(take("none").host))
    assert read_answer(stream).status == 200
    assert read_answer(stream).status == 101
    stream.close()


def test_the_key_is_made_at_the_first_start_for_its_owner_only(broker):
    path = broker.folder / "state" / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(broker.key) >= 32


def disconnect(broker, **body):
    return broker.ask_with_key("POST", "/disconnect", body)


def test_disconnect_closes_the_sockets_of_an_audience(broker, take, join, token):
    stage = take("upgrade")
    (first, first_id), (second, _) = join(stage, token), join(stage, token)
    answer = disconnect(broker, host=stage.host, target=first_id, code=4321, reason="enough")
    assert answer.json == {"status": "ok", "host": stage.host, "disconnected": 1}
    assert first.closed() == 4321
    assert first.close_reason == "enough"
    assert stage.call("close").socket == first_id
    assert disconnect(broker, host=stage.host, target=f"token:{token}").json["disconnected"] == 1
    with pytest.raises(ClosedError) as closed:
        second.receive()
    assert closed.value.code == 1000


def test_when_the_broker_ends_a_socket_its_waiting_messages_are_dropped_and_counted(
    broker, take, join, token, gate
):
    stage = take("upgrade")
    client, socket_id = join(stage, token)
    client.send({"do": [["gate", gate.port]]})
    visitor = gate.arrival()
    for number in range(3):
        client.send({"n": number})
    broker.events.until(
        lambda _: [e["type"] for e in broker.events.of_socket(socket_id)].count("receive") == 4
    )
    counted = "message of a socket that was closed"
    before = broker.health()["dropped"].get(counted, 0)
    disconnect(broker, host=stage.host, target=socket_id)
    assert client.closed() == 1000
    visitor.let_on()
    broker.hook_done(socket_id, "close")
    assert stage.hooks_of(socket_id) == ["auth", "connect", "receive", "close"]
    assert broker.health()["dropped"][counted] == before + 3


@pytest.mark.parametrize(
    "change",
    [
        {"target": None},
        {"target": ""},
        {"code": 1006},
        {"code": 99},
        {"code": 5000},
        {"code": "1000"},
        {"reason": "x" * 124},
        {"reason": 7},
        {"host": "unknown.example.com"},
        {"socket": "x"},
    ],
)
def test_a_disconnect_that_is_not_meant_so_is_400(broker, take, change):
    body = {"host": take().host, "target": "all", **change}
    assert disconnect(broker, **body).status == 400


def test_a_disconnect_without_a_target_is_400(broker, take):
    assert disconnect(broker, host=take().host).status == 400
