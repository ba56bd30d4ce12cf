"""A connection's life in each auth mode: which hooks, in what order, with what."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import websockets.sync.client

from tests.conformance.client import CLOSE, TEXT, WebSocket, frame, upgrade_bytes
from tests.conformance.stream import dial
from tests.conformance.web import read_answer

MESSAGE = '{ "text" : "h\u00e9llo \\u00e9 \\/ \U0001f600" ,\t"n":1.50, "list" : [ ] }'
"""What a careless encoder would change: spacing, escapes, a number's zeros."""


def test_without_a_cookie_the_first_message_authenticates(take, connect, token, kind):
    stage = take("message", kind)
    client = connect(stage)
    client.send({"type": "auth", "token": token})
    client.send(MESSAGE)
    client.send([1, 2])
    stage.call("receive", 2)
    client.close()
    argvs = stage.argvs(5)
    socket_id = argvs[0][3]
    assert re.fullmatch("[0-9a-f]{16}", socket_id)
    assert argvs == [
        ["ws::connect", stage.host, "", socket_id],
        ["ws::auth", stage.host, token, socket_id],
        ["ws::receive", stage.host, token, socket_id, MESSAGE],
        ["ws::receive", stage.host, token, socket_id, "[1, 2]"],
        ["ws::close", stage.host, token, socket_id],
    ]


def test_the_cookie_authenticates_without_a_message(take, connect, token, kind):
    stage = take("message", kind)
    client = connect(stage, cookie=token)
    client.send(MESSAGE)
    stage.call("receive")
    client.close()
    argvs = stage.argvs(4)
    assert argvs == [
        ["ws::connect", stage.host, token, argvs[0][3]],
        ["ws::auth", stage.host, token, argvs[0][3]],
        ["ws::receive", stage.host, token, argvs[0][3], MESSAGE],
        ["ws::close", stage.host, token, argvs[0][3]],
    ]


def test_in_upgrade_mode_auth_comes_before_connect(take, connect, token, kind):
    stage = take("upgrade", kind)
    client = connect(stage, cookie=token)
    client.send(MESSAGE)
    client.close()
    argvs = stage.argvs(4)
    assert argvs == [
        ["ws::auth", stage.host, token, argvs[0][3]],
        ["ws::connect", stage.host, token, argvs[0][3]],
        ["ws::receive", stage.host, token, argvs[0][3], MESSAGE],
        ["ws::close", stage.host, token, argvs[0][3]],
    ]


def test_without_auth_hooks_are_given_the_cookie_as_a_claim(broker, take, connect, token, kind):
    stage = take("none", kind)
    client = connect(stage, cookie=token)
    socket_id = broker.admitted(client)
    assert broker.cast(stage.host, {"to": "the claim"}, f"token:{token}")["matched"] == 0
    assert broker.cast(stage.host, {"to": "nobody's token"}, "token:")["sent"] == 1
    assert client.receive_json() == {"to": "nobody's token"}
    client.send({"type": "auth", "token": "just a message here"})
    client.close()
    assert stage.argvs(3) == [
        ["ws::connect", stage.host, token, socket_id],
        [
            "ws::receive",
            stage.host,
            token,
            socket_id,
            '{"type": "auth", "token": "just a message here"}',
        ],
        ["ws::close", stage.host, token, socket_id],
    ]


def test_the_hook_class_names_the_command(broker, connect, token):
    stage = broker.stages["class.example.com"]
    client = connect(stage, cookie=token)
    client.send({})
    stage.call("receive")
    client.close()
    commands = [argv[0] for argv in stage.argvs(4)]
    assert commands == [f"websocket::{hook}" for hook in ("connect", "auth", "receive", "close")]


@pytest.mark.parametrize("spelled", ["{}:443", "{}.", "{}.:8080"])
def test_hooks_get_the_host_without_case_port_and_dot(take, connect, token, spelled):
    stage = take()
    connect(stage, host=spelled.format(stage.host.upper()), cookie=token)
    assert stage.call("connect").argv[1] == stage.host


def test_the_host_that_a_trusted_proxy_names_counts(take, connect):
    stage = take()
    connect(stage, host="127.0.0.1", headers=[("X-Forwarded-Host", f"{stage.host}, inner")])
    assert stage.call("connect").argv[1] == stage.host


def test_two_hosts_on_one_port_have_their_own_apps(take, join, token):
    first, second = take(), take("upgrade")
    clients = join(first, token), join(second, token)
    for client, _ in clients:
        client.close()
    assert {argv[1] for argv in first.argvs(3)} == {first.host}
    assert {argv[1] for argv in second.argvs(3)} == {second.host}


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("topsecret%2Fa%20b%3D", "topsecret/a b="),
        ("topsecret+a=b", "topsecret+a=b"),
        ("topsecret%ZZ%2", "topsecret%ZZ%2"),
        ("topsecret%C3%A9", "topsecret\u00e9"),
        ("topsecret1; other=x; token=topsecret2", "topsecret2"),
    ],
)
def test_a_cookie_is_percent_decoded_and_the_last_one_wins(take, connect, cookie, expected):
    stage = take("upgrade")
    connect(stage, cookie=cookie)
    assert stage.call("auth").argv[2] == expected


def test_the_cookie_has_the_name_that_the_host_says(broker, connect, token):
    stage = broker.stages["other-cookie.example.com"]
    connect(stage, headers=[("Cookie", f"token=topsecret-not; PHPSESSID={token}")])
    assert stage.call("connect").argv[2] == token


def test_a_host_can_turn_cookies_off(broker, connect, token):
    stage = broker.stages["no-cookie.example.com"]
    connect(stage, cookie=token)
    assert stage.call("connect").argv[2] == ""


def test_the_auth_message_may_leave_out_its_type_and_have_other_keys(take, connect, token):
    stage = take()
    client = connect(stage)
    client.send({"token": token, "agent": "x", "n": [1]})
    assert stage.call("auth").argv[2] == token


def test_an_empty_token_is_for_auth_to_judge(broker, take, connect):
    stage = take()
    client = connect(stage)
    client.authenticate("")
    socket_id = broker.admitted(client)
    assert stage.call("auth").argv == ["ws::auth", stage.host, "", socket_id]
    assert broker.cast(stage.host, {"n": 1}, "token:")["sent"] == 1


def test_the_cookies_own_auth_message_is_swallowed(take, connect, token):
    stage = take()
    client = connect(stage, cookie=token)
    client.authenticate(token)
    client.send({"do": [["print", '{"second":"message"}']]})
    assert client.receive_json() == {"second": "message"}
    client.close()
    assert [argv[0] for argv in stage.argvs(4)] == [
        "ws::connect", "ws::auth", "ws::receive", "ws::close",
    ]  # fmt: skip


def test_later_auth_messages_are_ordinary_messages(take, connect, token):
    stage = take()
    client = connect(stage)
    client.authenticate(token)
    client.send({"do": [], "n": 1})
    client.authenticate("topsecret-other")
    assert stage.call("receive", 2).argv[4] == '{"type": "auth", "token": "topsecret-other"}'


@pytest.mark.parametrize("auth", ["message", "upgrade", "none"])
def test_frames_sent_in_one_piece_with_the_upgrade_are_not_lost(broker, take, token, auth):
    stage = take(auth)
    frames = b"".join(
        frame(TEXT, b'{"do":[["print","{\\"n\\":%d}"]]}' % number) for number in range(5)
    )
    stream = dial(broker.address)
    stream.send(upgrade_bytes(stage.host, headers=[("Cookie", f"token={token}")]) + frames)
    client = WebSocket(stream, "")
    assert read_answer(stream).status == 101
    assert [client.receive_json()["n"] for _ in range(5)] == [0, 1, 2, 3, 4]
    client.drop()


def test_a_hook_that_the_app_does_not_have_starts_nothing(broker, connect):
    stage = broker.stages["only-receive.example.com"]
    client = connect(stage)
    client.send({"do": [["print", '{"first":1}']]})
    assert client.receive_json() == {"first": 1}
    client.close()
    broker.ended(broker.socket_of(client))
    assert [call.hook for call in stage.started()] == ["receive"]


def test_a_push_only_host_needs_no_app(broker, connect):
    stage = broker.stages["push.example.com"]
    client = connect(stage)
    broker.admitted(client)
    client.send({"ignored": True})
    assert broker.cast(stage.host, {"pushed": 1})["sent"] == 1
    assert client.receive_json() == {"pushed": 1}


def test_an_app_gets_its_environment_and_nothing_of_the_brokers(broker, take, connect, kind):
    stage = take("none", kind)
    connect(stage)
    call = stage.call("connect")
    allowed = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"}
    allowed |= {"PHLOWS_URL", "PHLOWS_HOST"}
    # The interpreter's and the shell's own doing, on any start.
    allowed |= {"STAGE", "KEY_FILE", "LC_CTYPE", "PWD", "SHLVL", "_"}
    assert set(call.env) <= allowed
    assert call.env["PHLOWS_URL"] == f"http://127.0.0.1:{broker.address[1]}"
    assert call.cwd.endswith("/tests/conformance/apps")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_an_app_has_no_descriptor_but_its_three(take, connect):
    stage = take("none")
    stage.plan(connect=[["descriptors"]])
    connect(stage)
    assert stage.answers() == [[0, 1, 2]]


@pytest.mark.parametrize("ending", ["close", "end of stream", "reset"])
def test_close_runs_whatever_ends_the_socket(broker, take, connect, join, token, ending):
    stage = take()
    client, socket_id = join(stage, token)
    if ending == "close":
        client.close()
    elif ending == "reset":
        client.stream.reset()
    else:
        client.stream.finish_sending()
    assert stage.call("close").argv == ["ws::close", stage.host, token, socket_id]
    broker.hook_done(socket_id, "close")
    assert stage.hooks_of(socket_id) == ["connect", "auth", "close"]


@pytest.mark.parametrize("payload", [b"\x03\xe8", b"\x03\xe9going", b"\x11\x94\xc3\xa9", b""])
def test_a_close_frame_is_answered_with_its_code(connect, take, payload):
    client = connect(take("none"))
    client.send_frame(CLOSE, payload)
    assert client.read_frame() == (CLOSE, payload)
    assert client.stream.at_end()


def test_close_runs_after_a_failed_auth_but_not_after_a_refused_connect(
    broker, take, connect, token
):
    stage = take()
    stage.plan(auth=[["exit", 1]])
    failed = connect(stage, cookie=token)
    assert failed.closed() == 1011
    assert stage.call("close").socket == broker.socket_of(failed)
    stage.plan(connect=[["print", "false"]])
    refused = connect(stage, cookie=token)
    assert refused.closed() == 4500
    # A third socket shows that nothing of the second is still to come.
    stage.plan()
    third = connect(stage, cookie=token)
    third.close()
    stage.until(lambda: "close" in stage.hooks_of(broker.socket_of(third)))
    assert stage.hooks_of(broker.socket_of(refused)) == ["connect"]


def test_messages_complete_before_the_client_left_still_run_and_close_is_last(
    broker, take, join, token, gate
):
    stage = take()
    client, socket_id = join(stage, token)
    client.send({"do": [["gate", gate.port]]})
    visitor = gate.arrival()
    for number in range(3):
        client.send({"n": number})
    client.send_close()
    broker.ended(socket_id)
    visitor.let_on()
    broker.hook_done(socket_id, "close")
    assert stage.hooks_of(socket_id) == ["connect", "auth", *["receive"] * 4, "close"]


def test_auth_is_not_started_for_a_socket_that_left_during_connect(
    broker, take, connect, token, gate
):
    stage = take()
    stage.plan(connect=[["gate", gate.port], ["print", "true"]])
    client = connect(stage, cookie=token)
    visitor = gate.arrival()
    client.close()
    broker.ended(visitor.socket)
    visitor.let_on()
    broker.hook_done(visitor.socket, "close")
    assert stage.hooks_of(visitor.socket) == ["connect", "close"]


def test_a_true_that_comes_after_the_client_left_registers_nothing(
    broker, take, connect, token, gate
):
    stage = take()
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    client = connect(stage, cookie=token)
    visitor = gate.arrival()
    client.close()
    broker.ended(visitor.socket)
    visitor.let_on()
    broker.hook_done(visitor.socket, "close")
    assert stage.hooks_of(visitor.socket) == ["connect", "auth", "close"]
    assert broker.health()["hosts"][stage.host]["sockets"] == 0
    assert not [e for e in broker.events.all() if e["type"] == "auth" and e["host"] == stage.host]


def test_another_librarys_client_is_served_with_all_it_offers_by_default(broker, take, token):
    stage = take()
    headers = {"X-Forwarded-Host": stage.host, "Cookie": f"token={token}"}
    url = "ws://{}:{}/websocket".format(*broker.address)
    with websockets.sync.client.connect(url, additional_headers=headers) as client:
        assert client.protocol.extensions == []
        assert client.subprotocol is None
        client.send(json.dumps({"do": [["print", MESSAGE]]}))
        assert client.recv(timeout=20) == MESSAGE
        assert client.ping("sounding").wait(20)
        client.close(1000, "done")
    assert client.close_code == 1000
    assert stage.call("close").argv[2] == token
