"""Casts to a socket between accept and authentication."""

from __future__ import annotations

import pytest


def test_a_connect_hooks_own_casts_reach_its_socket_in_order(take, connect, token, kind):
    stage = take("message", kind)
    stage.plan(
        connect=[
            ["cast", {"data": {"all": 1}}],
            ["cast", {"data": {"own": 1}, "target": "$socket"}],
            ["cast", {"data": {"all": 2}}],
            ["cast", {"data": {"own": 2}, "target": "socket:$socket"}],
            ["print", "true"],
        ]
    )
    client = connect(stage)
    # What goes to its id goes out from accept on.
    assert [client.receive_json() for _ in range(2)] == [{"own": 1}, {"own": 2}]
    client.authenticate(token)
    assert [client.receive_json() for _ in range(2)] == [{"all": 1}, {"all": 2}]
    receipts = [(answer["sent"], answer["held"]) for answer in stage.answers(4)]
    assert receipts == [(0, 1), (1, 0), (0, 1), (1, 0)]


def test_held_casts_go_before_what_comes_after_auth(broker, take, connect, token):
    stage = take("message", "quick")
    client = connect(stage)
    for number in range(3):
        assert broker.cast(stage.host, {"n": number})["held"] == 1
    client.authenticate(token)
    broker.admitted(client)
    assert broker.cast(stage.host, {"n": 3}) == {
        "status": "ok", "host": stage.host, "sent": 1, "matched": 1, "dropped": 0, "held": 0,
    }  # fmt: skip
    assert [client.receive_json()["n"] for _ in range(4)] == [0, 1, 2, 3]


def test_held_casts_are_delivered_while_connect_runs_only_after_it_accepts(
    broker, take, connect, gate
):
    stage = take("none")
    stage.plan(connect=[["gate", gate.port], ["print", "true"]])
    client = connect(stage)
    visitor = gate.arrival()
    assert broker.cast(stage.host, {"n": 1})["held"] == 1
    visitor.let_on()
    assert client.receive_json() == {"n": 1}


@pytest.mark.parametrize(
    ("target", "is_for_it"),
    [
        ("token:{token}", True),
        ("token:topsecret-other", False),
        ("token:not:{token}", False),
        ("token:not:topsecret-other", True),
        (["token:topsecret-other", "token:{token}"], True),
        (["token:topsecret-other", "0123456789abcdef"], False),
        ("all", True),
    ],
)
def test_a_held_cast_is_judged_by_the_token_that_auth_accepts(
    broker, take, connect, token, target, is_for_it
):
    stage = take("message", "quick")
    client = connect(stage)
    if isinstance(target, list):
        target = [part.format(token=token) for part in target]
    else:
        target = target.format(token=token)
    receipt = broker.cast(stage.host, {"held": 1}, target)
    assert (receipt["sent"], receipt["held"]) == (0, 1)
    client.authenticate(token)
    broker.admitted(client)
    broker.cast(stage.host, {"end": 1})
    expected = [{"held": 1}, {"end": 1}] if is_for_it else [{"end": 1}]
    assert [client.receive_json() for _ in expected] == expected


def test_a_held_cast_that_excepts_the_socket_is_not_for_it(broker, take, connect, token):
    stage = take("message", "quick")
    client = connect(stage)
    socket_id = broker.socket_of(client)
    assert broker.cast(stage.host, {"n": 1}, **{"except": socket_id})["held"] == 0
    client.authenticate(token)
    broker.admitted(client)
    broker.cast(stage.host, {"end": 1})
    assert client.receive_json() == {"end": 1}


def test_a_cast_to_its_id_and_to_its_token_comes_once(broker, take, connect, token):
    stage = take("message", "quick")
    client = connect(stage)
    targets = [broker.socket_of(client), f"token:{token}"]
    receipt = broker.cast(stage.host, {"n": 1}, targets)
    assert (receipt["sent"], receipt["held"]) == (1, 0)
    client.authenticate(token)
    broker.admitted(client)
    broker.cast(stage.host, {"end": 1})
    assert [client.receive_json(), client.receive_json()] == [{"n": 1}, {"end": 1}]


def test_a_cast_to_other_sockets_is_not_held(broker, take, connect):
    stage = take("message", "quick")
    connect(stage)
    assert broker.cast(stage.host, {"n": 1}, "0123456789abcdef")["held"] == 0
    assert broker.cast(stage.host, {"n": 1}, [])["held"] == 0


@pytest.mark.parametrize("steps", [[["print", "false"]], [["exit", 1]]], ids=["refused", "failed"])
def test_held_casts_are_forgotten_when_auth_does_not_accept(broker, take, connect, token, steps):
    stage = take()
    stage.plan(auth=steps)
    client = connect(stage)
    assert broker.cast(stage.host, {"n": 1})["held"] == 1
    client.authenticate(token)
    assert client.closed() in (4501, 1011)  # and nothing before it


def test_of_more_than_64_held_casts_the_oldest_go_first(broker, take, connect, token):
    stage = take("message", "quick")
    client = connect(stage)
    before = broker.health()["dropped"].get("held cast over 64", 0)
    for number in range(70):
        broker.cast(stage.host, {"n": number})
    client.authenticate(token)
    assert [client.receive_json()["n"] for _ in range(64)] == list(range(6, 70))
    assert broker.health()["dropped"]["held cast over 64"] == before + 6


def test_in_upgrade_mode_nothing_is_held(broker, take, connect, token, gate):
    stage = take("upgrade")
    stage.plan(connect=[["gate", gate.port], ["print", "true"]])
    client = connect(stage, cookie=token)
    visitor = gate.arrival()
    receipt = broker.cast(stage.host, {"n": 1})
    assert (receipt["sent"], receipt["held"]) == (1, 0)
    assert client.receive_json() == {"n": 1}  # while connect still runs
    visitor.let_on()
