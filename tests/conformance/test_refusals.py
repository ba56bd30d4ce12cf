"""What an upgrade that is not accepted gives: an HTTP status, a body, no hook."""

from __future__ import annotations

import pytest

from tests.conformance.client import (
    TEXT,
    RefusedError,
    WebSocket,
    frame,
    upgrade_bytes,
)
from tests.conformance.stream import dial
from tests.conformance.web import read_answer


def refusal(broker, host, **how):
    """The answer to an upgrade that is not accepted."""
    with pytest.raises(RefusedError) as refused:
        WebSocket.open(broker.address, host, **how)
    body = refused.value.body
    assert body["status"] == "error"
    assert body["message"]
    return refused.value


def test_an_unknown_path_is_404(broker, take):
    stage = take()
    assert refusal(broker, stage.host, path="/elsewhere").status == 404
    assert stage.started() == []


def test_an_unknown_host_is_421(broker):
    assert refusal(broker, "unknown.example.com").status == 421


def test_a_foreign_host_that_a_trusted_proxy_names_is_421(broker, take):
    headers = [("X-Forwarded-Host", "unknown.example.com")]
    assert refusal(broker, take().host, headers=headers).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Origin", "https://evil.example.com")], id="foreign"),
        pytest.param([("Origin", "https://{host}.evil.com")], id="looks alike"),
        pytest.param([("Origin", "null")], id="null"),
        pytest.param([("Origin", "https://{host}")] * 2, id="repeated"),
        pytest.param([("Origin", "")], id="empty"),
        pytest.param([("Origin", "{host}")], id="without scheme"),
        pytest.param([("Origin", "http://{host}"), ("X-Forwarded-Proto", "https")], id="http page"),
    ],
)
def test_an_origin_that_is_not_allowed_is_403(broker, take, headers, token):
    stage = take()
    headers = [(name, value.format(host=stage.host)) for name, value in headers]
    assert refusal(broker, stage.host, headers=headers, cookie=token).status == 403
    assert stage.started() == []


@pytest.mark.parametrize("origin", ["http://{}", "https://{}", "https://{}:8443", "HTTPS://{}"])
def test_the_hosts_own_pages_may_connect(broker, take, connect, origin):
    stage = take("none", "quick")
    broker.admitted(connect(stage, headers=[("Origin", origin.format(stage.host))]))


def test_over_https_the_hosts_own_https_pages_may_connect(take, connect):
    stage = take("none")
    headers = [("Origin", f"https://{stage.host}"), ("X-Forwarded-Proto", "https")]
    connect(stage, headers=headers)
    stage.call("connect")


def test_a_client_without_origin_is_no_browser_and_passes(take, connect):
    stage = take("none")
    connect(stage)
    stage.call("connect")


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://partner.example.com", True),
        ("https://partner.example.com:444", True),
        ("http://partner.example.com", False),
        ("https://ported.example.com:8443", True),
        ("https://ported.example.com", False),
        ("https://origins.example.com", True),
        ("https://third.example.com", False),
    ],
)
def test_a_host_can_allow_more_origins(broker, connect, origin, is_allowed):
    stage = broker.stages["origins.example.com"]
    if is_allowed:
        connect(stage, headers=[("Origin", origin)])
    else:
        assert refusal(broker, stage.host, headers=[("Origin", origin)]).status == 403


def test_a_host_can_turn_the_origin_check_off(broker, connect):
    connect(
        broker.stages["any-origin.example.com"], headers=[("Origin", "https://evil.example.com")]
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([("Sec-WebSocket-Version", "8")], 426, id="old version"),
        pytest.param([("Sec-WebSocket-Version", None)], 400, id="no version"),
        pytest.param([("Sec-WebSocket-Key", None)], 400, id="no key"),
        pytest.param([("Sec-WebSocket-Key", "short")], 400, id="bad key"),
        pytest.param([("Content-Length", "5")], 400, id="with a body"),
    ],
)
def test_a_malformed_upgrade_is_told_what_is_wrong(broker, take, headers, status):
    stage = take("none")
    assert refusal(broker, stage.host, headers=headers).status == status
    assert stage.started() == []


def test_a_version_that_is_not_spoken_is_told_which_one_is(broker, take):
    refused = refusal(broker, take().host, headers=[("Sec-WebSocket-Version", "8")])
    assert refused.headers["sec-websocket-version"] == "13"


def test_a_plain_get_of_the_path_is_426(broker):
    answer = broker.ask("GET", "/websocket")
    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json["status"] == "error"


def test_an_upgrade_by_post_is_405(broker, take):
    refused = refusal(broker, take().host, method="POST")
    assert refused.status == 405
    assert refused.headers["allow"] == "GET"


def test_two_host_headers_are_400(broker, take):
    host = take().host
    assert refusal(broker, host, headers=[("Host", host)]).status == 400


@pytest.mark.parametrize("cookie", ["topsecret" + "x" * 4088, "topsecret%00x"])
def test_a_token_that_no_app_could_take_is_400(broker, take, cookie):
    stage = take()
    assert refusal(broker, stage.host, cookie=cookie).status == 400
    assert stage.started() == []


def test_a_token_of_4096_bytes_is_taken(take, connect):
    stage = take("upgrade")
    longest = "topsecret" + "x" * 4087
    connect(stage, cookie=longest)
    assert stage.call("auth").argv[2] == longest


def test_upgrade_mode_without_a_cookie_is_401(broker, take):
    stage = take("upgrade")
    assert refusal(broker, stage.host).status == 401
    assert stage.started() == []


def test_upgrade_mode_with_an_auth_that_refuses_is_401(broker, take, token, kind):
    stage = take("upgrade", kind)
    stage.plan(auth=[["print", "false"]])
    assert refusal(broker, stage.host, cookie=token).status == 401
    assert [call.hook for call in stage.started()] == ["auth"]


def test_upgrade_mode_with_an_auth_that_fails_is_401(broker, take, token, kind):
    stage = take("upgrade", kind)
    stage.plan(auth=[["complain", "database gone"], ["exit", 1]])
    assert refusal(broker, stage.host, cookie=token).status == 401


def test_upgrade_mode_with_an_auth_that_takes_too_long_is_503(broker, gate, token):
    stage = broker.stages["hangs-upgrade.example.com"]
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    refused = refusal(broker, stage.host, cookie=token)
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0


def test_a_refused_upgrade_leaves_the_connection_with_its_answer_whole(broker):
    stream = dial(broker.address)
    stream.send(upgrade_bytes("unknown.example.com") + frame(TEXT, b"{}") * 100)
    assert read_answer(stream).status == 421
    assert stream.at_end()
    stream.close()
