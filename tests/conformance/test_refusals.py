"""What each refusal gives: an HTTP status before the upgrade, a close code after."""

from __future__ import annotations

import json

import pytest

from tests.conformance.client import (
    BINARY,
    CONTINUATION,
    PING,
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


# Before the upgrade


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
def test_the_hosts_own_pages_may_connect(take, connect, origin):
    stage = take("none")
    connect(stage, headers=[("Origin", origin.format(stage.host))])
    stage.call("connect")


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


# After the upgrade


@pytest.mark.parametrize("auth", ["message", "upgrade", "none"])
def test_a_refused_connect_closes_4500(broker, take, connect, token, auth, kind):
    stage = take(auth, kind)
    stage.plan(connect=[["print", "false"]])
    client = connect(stage, cookie=token)
    assert client.closed() == 4500
    assert broker.ended(broker.socket_of(client))["code"] == 4500


def test_a_refused_auth_closes_4501_whether_by_cookie_or_by_message(take, connect, token, kind):
    stage = take("message", kind)
    stage.plan(auth=[["print", "false"]])
    assert connect(stage, cookie=token).closed() == 4501
    client = connect(stage)
    client.authenticate(token)
    assert client.closed() == 4501


@pytest.mark.parametrize(
    "first",
    [
        '{"type":"chat.send","token":"topsecret"}',
        '{"type":"auth"}',
        '{"type":"auth","token":7}',
        '{"type":"auth","token":null}',
        '["topsecret"]',
        '"topsecret"',
        "topsecret",
        "",
        '{"token":"topsecret\\u0000"}',
        json.dumps({"token": "topsecret" + "x" * 4088}),
    ],
)
def test_a_first_message_that_does_not_authenticate_closes_4502(take, connect, first):
    stage = take()
    client = connect(stage)
    client.send(first)
    assert client.closed() == 4502
    stage.call("close")
    assert [call.hook for call in stage.started()] == ["connect", "close"]


def test_an_auth_message_that_contradicts_the_cookie_closes_4502(take, connect, token):
    stage = take()
    client = connect(stage, cookie=token)
    client.authenticate("topsecret-other")
    assert client.closed() == 4502


@pytest.mark.parametrize("auth", ["message", "none"])
def test_a_connect_that_fails_closes_1011(take, connect, token, auth, kind):
    stage = take(auth, kind)
    stage.plan(connect=[["exit", 3]])
    client = connect(stage, cookie=token)
    assert client.closed() == 1011
    assert stage.call("close").argv[2] == token


def test_in_upgrade_mode_a_connect_that_fails_leaves_the_socket(broker, take, connect, token, kind):
    stage = take("upgrade", kind)
    stage.plan(connect=[["exit", 3]])
    client = connect(stage, cookie=token)
    broker.hook_done(broker.socket_of(client), "connect")
    client.send({"do": [["print", '{"still":"here"}']]})
    assert client.receive_json() == {"still": "here"}


def test_a_connect_that_takes_too_long_closes_1011_and_owes_a_close_hook(broker, connect, gate):
    stage = broker.stages["hangs-connect.example.com"]
    stage.plan(connect=[["gate", gate.port]])
    assert connect(stage).closed() == 1011
    stage.call("close")


def test_a_binary_message_closes_1003(take, connect):
    client = connect(take("none"))
    client.send_frame(BINARY, b"{}")
    assert client.closed() == 1003


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([frame(TEXT, b'{"a":"\xff"}')], id="whole"),
        pytest.param(
            [frame(TEXT, b'{"a":"\xc3', fin=False), frame(CONTINUATION, b'"}')], id="fragments"
        ),
        pytest.param([frame(TEXT, b'{"a":"\xed\xa0\x80"}')], id="surrogate"),
    ],
)
def test_text_that_is_not_utf8_closes_1007(take, connect, frames):
    client = connect(take("none"))
    client.stream.send(b"".join(frames))
    assert client.closed() == 1007


def test_a_character_cut_by_fragments_is_whole_again(take, connect):
    client = connect(take("none"))
    message = json.dumps({"do": [["print", '["\u00e9"]']]}, ensure_ascii=False).encode()
    cut = message.index(b"\xa9")
    client.send_frame(TEXT, message[:cut], fin=False)
    client.send_frame(PING, b"between")
    client.send_frame(CONTINUATION, message[cut:])
    assert client.read_frame() == (0xA, b"between")
    assert client.receive_json() == ["\u00e9"]


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_message_over_the_limit_closes_1009(take, connect, fragmented):
    client = connect(take("none"))
    if fragmented:
        client.send_frame(TEXT, b" " * 150_000, fin=False)
        client.send_frame(CONTINUATION, b" " * 50_001)
    else:
        client.send_frame(TEXT, b" " * 200_001)
    assert client.closed() == 1009
    assert "limits.max_message" in client.close_reason


def test_a_message_that_no_process_can_be_given_closes_1009(take, connect, kind):
    stage = take("none", kind)
    client = connect(stage)
    client.send('{"a":"' + "x" * (131_072 - 8) + '"}')
    assert client.closed() == 1009
    assert stage.call("close")
    assert [call.hook for call in stage.started()] == ["connect", "close"]


def test_the_longest_message_that_a_process_can_be_given_arrives(take, connect, kind):
    stage = take("none", kind)
    client = connect(stage)
    longest = '{"a":"' + "x" * (131_071 - 8) + '"}'
    client.send(longest)
    assert stage.call("receive").argv[4] == longest


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(frame(TEXT, b"{}", masked=False), id="not masked"),
        pytest.param(frame(TEXT, b"{}", rsv=4), id="reserved bit"),
        pytest.param(frame(0x3, b"{}"), id="unknown opcode"),
        pytest.param(frame(CONTINUATION, b"{}"), id="continues nothing"),
        pytest.param(frame(PING, b"x" * 126), id="long ping"),
        pytest.param(frame(PING, b"x", fin=False), id="ping in fragments"),
        pytest.param(frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), id="text in text"),
        pytest.param(frame(0x8, b"\x03"), id="half a close code"),
        pytest.param(frame(0x8, b"\x03\xed"), id="a code that is never sent"),
    ],
)
def test_a_broken_protocol_closes_1002(broker, take, connect, bad):
    stage = take("none")
    client = connect(stage)
    client.stream.send(bad)
    assert client.closed() == 1002
    assert broker.ended(broker.socket_of(client))["code"] == 1002
    stage.call("close")


def test_a_message_that_receive_could_not_take_is_told_so_and_the_socket_lives(take, connect):
    stage = take("none")
    client = connect(stage)
    client.send('{"wsToken":"topsecret"}')
    assert "wsToken" in client.receive_json()["error"]
    for bad in ("7", '"text"', "not JSON", "[" * 513 + "]" * 513, '{"wsHost":1}'):
        client.send(bad)
    client.send({"do": [["print", '{"still":"here"}']]})
    # One complaint in ten seconds: the five others are counted only.
    assert client.receive_json() == {"still": "here"}
    assert stage.call("receive").argv[4].startswith('{"do"')


@pytest.mark.parametrize(
    "bad", ["7", "true", '"text"', "not JSON", "", "{}x", "[" * 513 + "]" * 513]
)
def test_only_json_objects_and_arrays_are_messages(take, connect, bad):
    client = connect(take("none"))
    client.send(bad)
    assert set(client.receive_json()) == {"error"}


def test_the_deepest_message_that_php_can_read_arrives(take, connect):
    stage = take("none")
    client = connect(stage)
    client.send("[" * 512 + "]" * 512)
    assert stage.call("receive").argv[4] == "[" * 512 + "]" * 512


def test_a_refused_upgrade_leaves_the_connection_with_its_answer_whole(broker):
    stream = dial(broker.address)
    stream.send(upgrade_bytes("unknown.example.com") + frame(TEXT, b"{}") * 100)
    assert read_answer(stream).status == 421
    assert stream.at_end()
    stream.close()
