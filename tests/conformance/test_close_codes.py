"""What ends an open socket: each reason with its close code."""

from __future__ import annotations

import json

import pytest

from tests.conformance.client import BINARY, CONTINUATION, PING, TEXT, frame


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
    assert stage.call("close").argv[2] == token  # what connect was given
    client = connect(stage)
    client.authenticate(token)
    assert client.closed() == 4501
    assert stage.call("close", 2).argv[2] == ""


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
        '{"token":"topsecret\\ud800"}',
        "[" * 60_000,
        '{"token":' * 500,
        json.dumps({"token": "topsecret" + "x" * 4088}),
    ],
)
def test_a_first_message_that_does_not_authenticate_closes_4502(broker, take, connect, first):
    client = connect(take("message", "quick"))
    client.send(first)
    assert client.closed() == 4502
    socket_id = broker.socket_of(client)
    broker.hook_done(socket_id, "close")
    assert broker.hooks_done(socket_id) == ["connect", "close"]


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
    client = connect(take("none", "quick"))
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
    client = connect(take("none", "quick"))
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
    client = connect(take("none", "quick"))
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
    client = connect(take("none", "quick"))
    client.stream.send(bad)
    assert client.closed() == 1002
    socket_id = broker.socket_of(client)
    assert broker.ended(socket_id)["code"] == 1002
    broker.hook_done(socket_id, "close")


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
    client = connect(take("none", "quick"))
    client.send(bad)
    assert set(client.receive_json()) == {"error"}


def test_the_deepest_message_that_php_can_read_arrives(take, connect):
    stage = take("none")
    client = connect(stage)
    client.send("[" * 512 + "]" * 512)
    assert stage.call("receive").argv[4] == "[" * 512 + "]" * 512
