"""Clients that vanish, dawdle or talk too much, on a broker with little patience."""

from __future__ import annotations

import pytest

from tests.conformance.client import PING, PONG, RefusedError
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

HOST, OPEN = "hasty.example.com", "open.example.com"


@pytest.fixture
def pinging(start):
    """A broker that pings every second."""
    hosts = {HOST: {"app": "python"}, OPEN: {"app": "python", "auth": "none"}}
    return start(hosts, server={"ping_interval": 1.0})


@pytest.fixture
def hasty(start):
    """A broker that waits for nobody long."""
    return start(
        {HOST: {"app": "python"}},
        server={"close_timeout": 0.5},
        limits={"auth_timeout": 1.0, "handshake_timeout": 1.0},
    )


def test_a_client_that_answers_no_ping_is_gone_and_its_close_hook_runs(pinging, join, token):
    stage = pinging.stages[HOST]
    silent, socket_id = join(stage, token, to=pinging)
    silent.answers_pings = False
    assert pinging.ended(socket_id)["code"] == 1006
    assert stage.call("close").socket == socket_id
    assert pinging.health()["dropped"] == {"socket that answered no ping": 1}
    opcode, _ = silent.read_frame()
    assert opcode == PING


def test_a_client_that_answers_stays_whatever_else_it_does_not_say(pinging, join, token):
    stage = pinging.stages[HOST]
    client, socket_id = join(stage, token, to=pinging)
    _, silent_id = join(stage, token, to=pinging)
    for _ in range(2):  # who does not answer the first is cut instead of the second
        opcode, payload = client.read_frame()
        assert opcode == PING
        client.send_frame(PONG, payload)
    pinging.ended(silent_id)
    assert pinging.cast(HOST, {"still": "here"}, socket_id)["sent"] == 1
    assert client.receive_json() == {"still": "here"}


def test_a_clients_own_messages_are_as_good_as_pongs(pinging, join):
    stage = pinging.stages[OPEN]
    client, socket_id = join(stage, to=pinging)
    for _ in range(2):
        assert client.read_frame()[0] == PING
        client.send({"not": "a pong"})
    assert pinging.cast(OPEN, {"n": 1}, socket_id)["sent"] == 1


def test_without_an_auth_message_in_time_the_socket_closes_4001(hasty, connect, token):
    stage = hasty.stages[HOST]
    client = connect(stage, to=hasty)
    socket_id = hasty.socket_of(client)
    assert client.closed() == 4001
    assert "limits.auth_timeout" in client.close_reason
    assert stage.call("close").socket == socket_id
    assert stage.hooks_of(socket_id) == ["connect", "close"]


def test_a_slow_auth_hook_does_not_count_against_the_client(hasty, connect, token, gate):
    stage = hasty.stages[HOST]
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    slow = connect(stage, to=hasty)
    slow.authenticate(token)
    visitor = gate.arrival()
    late = connect(stage, to=hasty)
    assert late.closed() == 4001  # so the time is over for whoever came before as well
    visitor.let_on()
    hasty.admitted(slow)


def test_a_head_that_comes_too_slowly_is_408(hasty):
    stream = dial(hasty.address)
    stream.send(b"GET /health HTTP/1.1\r\nHost: local")
    answer = read_answer(stream)
    assert answer.status == 408
    assert "limits.handshake_timeout" in answer.json["message"]
    assert stream.at_end()
    stream.close()


def test_a_connection_that_says_nothing_is_cut(hasty):
    stream = dial(hasty.address)
    assert stream.at_end()
    stream.close()


def test_a_body_that_comes_too_slowly_is_408(hasty):
    stream = dial(hasty.address)
    whole = request_bytes("POST", "/message", {"host": HOST})
    stream.send(whole[:-1])
    assert read_answer(stream).status == 408
    stream.close()


@pytest.mark.parametrize("answers", [False, True])
def test_the_other_sides_close_frame_is_not_waited_for_for_ever(hasty, join, token, answers):
    client, socket_id = join(hasty.stages[HOST], token, to=hasty)
    hasty.ask_with_key("POST", "/disconnect", {"host": HOST, "target": socket_id})
    if answers:
        assert client.closed() == 1000
    else:
        client.stream.read_to_end()
    assert hasty.ask("GET", "/health").json["connections"] == 0


def test_a_client_that_sends_too_fast_closes_4003(start, connect):
    program = start({HOST: {"hooks": []}}, limits={"message_rate": 5.0})
    client = connect(program.stages[HOST], to=program)
    for _ in range(60):
        client.send_frame(0x1, b"{}")
    assert client.closed() == 4003
    assert "limits.message_rate" in client.close_reason


def test_a_client_that_pings_too_fast_closes_4003(start, connect):
    program = start({HOST: {"hooks": []}}, limits={"message_rate": 5.0})
    client = connect(program.stages[HOST], to=program)
    client.stream.send(b"\x89\x80abcd" * 60)
    frames = [client.read_frame()]
    while frames[-1][0] == PONG:
        frames.append(client.read_frame())
    assert frames[-1][0] == 0x8
    assert frames[-1][1][:2] == (4003).to_bytes(2, "big")


def test_over_max_connections_an_upgrade_is_503_before_any_hook(start, connect, token):
    program = start({HOST: {"app": "python"}}, limits={"max_connections": 2})
    stage = program.stages[HOST]
    first, _ = connect(stage, to=program), connect(stage, to=program)
    with pytest.raises(RefusedError) as refused:
        connect(stage, to=program)
    assert refused.value.status == 503
    assert int(refused.value.headers["retry-after"]) > 0
    assert program.ask("GET", "/health").json["connections"] == 2
    first.close()
    program.ended(program.socket_of(first))
    last = connect(stage, to=program)
    stage.call("close")
    sockets = {call.socket for call in stage.calls(4)}
    assert len(sockets) == 3
    assert program.socket_of(last) in sockets
