"""The end: SIGTERM with open sockets, running hooks and waiting messages."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conformance.client import RefusedError, upgrade_bytes
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

HOST, UPGRADE = "drains.example.com", "upgrade.example.com"


@pytest.fixture
def program(start):
    hosts = {HOST: {"app": "python"}, UPGRADE: {"app": "python", "auth": "upgrade"}}
    return start(hosts, server={"drain_timeout": 20.0})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_closes_every_socket_1012_runs_the_close_hooks_and_exits_0(
    program, connect, join, token, number
):
    stage = program.stages[HOST]
    live = [join(stage, token, to=program) for _ in range(5)]
    waiting = connect(stage, to=program)
    ids = {socket_id for _, socket_id in live} | {program.socket_of(waiting)}
    program.hook_done(program.socket_of(waiting), "connect")
    program.signal(number)
    for client in (*(client for client, _ in live), waiting):
        assert client.closed() == 1012
    assert program.wait() == 0
    assert {call.socket for call in stage.started() if call.hook == "close"} == ids
    assert len([call for call in stage.started() if call.hook == "close"]) == len(ids)


def test_while_it_drains_messages_run_the_bridge_answers_and_nobody_new_comes_in(
    program, connect, join, token, gate
):
    stage = program.stages[HOST]
    (busy, busy_id), (idle, idle_id) = (join(stage, token, to=program) for _ in range(2))
    busy.send({"do": [["gate", gate.port], ["print", '{"n":1}']]})
    visitor = gate.arrival()
    for number in (2, 3):
        busy.send({"do": [["cast", {"data": {"from": "a hook"}}], ["print", f'{{"n":{number}}}']]})
    program.events.until(
        lambda _: [e["type"] for e in program.events.of_socket(busy_id)].count("receive") == 3
    )
    program.signal()
    program.says("stopping")
    with pytest.raises(RefusedError) as refused:
        connect(stage, to=program)
    assert refused.value.status == 503
    assert int(refused.value.headers["retry-after"]) > 0
    assert program.ask("GET", "/ready").status == 503
    assert program.ask("GET", "/health").status == 200
    assert program.cast(HOST, {"cast": 1}, idle_id)["sent"] == 1
    idle.send({"do": [["print", '{"too":"late"}']]})
    visitor.let_on()
    got = busy.closed_after()
    assert [text for text in got[:-1] if "n" in text] == ['{"n":1}', '{"n":2}', '{"n":3}']
    assert got[-1] == 1012
    assert idle.closed_after() == ['{"cast": 1}', '{"from": "a hook"}', '{"from": "a hook"}', 1012]
    assert program.wait() == 0
    hooks = [call.hook for call in stage.started()]
    assert hooks.count("receive") == 3
    assert hooks[-2:] == ["close", "close"]


def test_the_close_hooks_of_a_stop_can_still_cast_and_ask(program, join, token):
    stage = program.stages[HOST]
    stage.plan(close=[["health"], ["cast", {"data": {"n": 1}}]])
    (first, _), (second, _) = (join(stage, token, to=program) for _ in range(2))
    program.signal()
    assert {first.closed_after()[-1], second.closed_after()[-1]} == {1012}
    assert program.wait() == 0
    assert len(stage.answers(4)) == 4


def test_what_has_not_run_by_drain_timeout_is_cut_and_counted(start, join, gate, token):
    program = start({HOST: {"app": "python"}}, server={"drain_timeout": 1.0})
    stage = program.stages[HOST]
    client, socket_id = join(stage, token, to=program)
    for _ in range(3):
        client.send({"do": [["gate", gate.port]]})
    gate.arrival()
    program.events.until(
        lambda _: [e["type"] for e in program.events.of_socket(socket_id)].count("receive") == 3
    )
    pid = stage.call("receive").pid
    program.signal()
    assert client.closed() == 1012
    program.wait()
    assert "count=1" in program.says("cut at the end of drain_timeout")
    assert "count=2" in program.says("message of a socket that was closed")
    assert stage.hooks_of(socket_id).count("receive") == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_second_signal_hurries_and_leaves_no_process(program, join, gate, token):
    stage = program.stages[HOST]
    client, _ = join(stage, token, to=program)
    client.send({"do": [["gate", gate.port]]})
    gate.arrival()
    pid = stage.call("receive").pid
    program.signal()
    program.says("stopping")
    program.signal()
    program.wait()
    assert program.says("stopping at once")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_auth_that_accepts_during_the_drain_keeps_nobody_waiting(start, connect, gate, token):
    program = start({UPGRADE: {"app": "python", "auth": "upgrade"}}, server={"drain_timeout": 4.0})
    stage = program.stages[UPGRADE]
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    stream = dial(program.address)
    stream.send(upgrade_bytes(UPGRADE, headers=[("Cookie", f"token={token}")]))
    visitor = gate.arrival()
    program.signal()
    program.says("stopping")
    visitor.let_on()
    assert read_answer(stream).status == 503
    assert program.wait() == 0
    stream.close()
    assert [call.hook for call in stage.started()] == ["auth"]


def test_connections_of_the_bridge_do_not_keep_it_from_ending(program):
    idle = dial(program.address)
    idle.send(request_bytes("GET", "/ready"))
    assert read_answer(idle).status == 200
    half = dial(program.address)
    half.send(b"GET /hea")
    program.signal()
    assert program.wait() == 0
    assert idle.at_end()
    idle.close()
    half.close()
