"""More events than the queue takes: each kind of event has its own refusal."""

from __future__ import annotations

import pytest

from tests.conformance.client import RefusedError

LIVE, MESSAGE, UPGRADE = "live.example.com", "message.example.com", "upgrade.example.com"


@pytest.fixture
def busy(start, connect, gate):
    """A broker with one process, which hangs, and one event that waits, on each host."""
    program = start(
        {
            LIVE: {"app": "python", "auth": "none", "hooks": ["receive", "close"]},
            MESSAGE: {"app": "python"},
            UPGRADE: {"app": "python", "auth": "upgrade"},
        },
        limits={"concurrency": 1, "queue": 1},
    )
    clients = [connect(program.stages[LIVE], to=program) for _ in range(3)]
    clients[0].send({"do": [["gate", gate.port]]})
    program.visitor = gate.arrival()
    clients[1].send({"do": [["print", '{"waited":1}']]})
    program.events.until(lambda events: sum(e["type"] == "receive" for e in events) >= 2)
    program.clients = clients
    return program


def test_a_receive_over_the_queue_is_an_error_and_the_socket_lives(busy):
    waiting, third = busy.clients[1:]
    third.send({"do": []})
    assert set(third.receive_json()) == {"error"}
    busy.visitor.let_on()
    assert waiting.receive_json() == {"waited": 1}
    third.send({"do": [["print", '{"third":1}']]})
    assert third.receive_json() == {"third": 1}
    assert busy.health()["dropped"]["receive overloaded"] == 1


def test_an_upgrade_over_the_queue_is_503_and_the_broker_is_not_ready(busy, connect):
    with pytest.raises(RefusedError) as refused:
        connect(busy.stages[LIVE], to=busy)
    assert refused.value.status == 503
    assert "limits.queue" in refused.value.body["message"]
    answer = busy.ask("GET", "/ready")
    assert answer.status == 503
    assert LIVE in answer.json["message"]
    assert busy.cast(LIVE, {"casts": "go"})["sent"] == 3
    busy.visitor.let_on()


def test_a_close_hook_is_never_refused(busy):
    for client in busy.clients:
        client.send_close()
    for client in busy.clients:
        busy.ended(busy.socket_of(client))
    busy.visitor.let_on()
    stage = busy.stages[LIVE]
    closed = {stage.call("close", number).socket for number in (1, 2, 3)}
    assert closed == {busy.socket_of(client) for client in busy.clients}


def test_a_connect_that_finds_the_queue_full_closes_1013(busy, connect):
    stage = busy.stages[MESSAGE]
    first = connect(stage, to=busy)
    busy.socket_of(first)  # its connect waits
    with pytest.raises(RefusedError) as refused:
        connect(stage, to=busy)
    assert refused.value.status == 503
    busy.visitor.let_on()
    stage.call("connect")


def test_an_event_that_waits_longer_than_the_timeout_is_refused(start, connect, gate, token):
    program = start(
        {
            LIVE: {"app": "python", "auth": "none", "hooks": ["receive"]},
            MESSAGE: {"app": "python", "timeout": 0.5},
            UPGRADE: {"app": "python", "auth": "upgrade", "timeout": 0.5},
        },
        limits={"concurrency": 1},
    )
    client = connect(program.stages[LIVE], to=program)
    client.send({"do": [["gate", gate.port]]})
    visitor = gate.arrival()
    assert connect(program.stages[MESSAGE], to=program).closed() == 1013
    with pytest.raises(RefusedError) as refused:
        connect(program.stages[UPGRADE], to=program, cookie=token)
    assert refused.value.status == 503
    assert program.stages[MESSAGE].started() == []
    visitor.let_on()


def test_no_more_hooks_run_at_once_than_a_host_and_the_broker_allow(start, join, gate):
    narrow, wide = "narrow.example.com", "wide.example.com"
    open_host = {"app": "python", "auth": "none", "hooks": ["receive"]}
    program = start(
        {narrow: {**open_host, "concurrency": 1}, wide: open_host}, limits={"concurrency": 2}
    )
    for name in (narrow, narrow, wide, wide):
        client, _ = join(program.stages[name], to=program)
        client.send({"do": [["gate", gate.port]]})
    first, second = gate.arrival(), gate.arrival()
    assert len(program.stages[narrow].started()) == 1
    assert len(program.stages[wide].started()) == 1
    pool = next(iter(program.health()["pools"].values()))
    assert (pool["busy"], pool["queued"]) == (2, 2)
    first.let_on()
    third = gate.arrival()
    second.let_on()
    fourth = gate.arrival()
    assert len({visitor.socket for visitor in (first, second, third, fourth)}) == 4
