"""Every way to stop a broker, and what the exit code says of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.conformance.client import RefusedError
from tests.conformance.command import phlows

HOST = "drains.example.com"
CUT = 1
"""The exit code of a broker whose hooks were not done when it ended."""


@pytest.fixture
def program(start):
    return start({HOST: {"app": "python"}}, server={"drain_timeout": 20.0})


def by_sigterm(program):
    program.signal(signal.SIGTERM)


def by_sigint(program):
    program.signal(signal.SIGINT)


def by_command(program):
    code, said, _ = phlows(program, "drain")
    assert code == 0
    assert "stopping" in said


def by_bridge(program):
    assert program.ask_with_key("POST", "/drain", {}).status == 200


WAYS = [by_sigterm, by_sigint, by_command, by_bridge]


@pytest.fixture
def busy(program, join, token, gate):
    """A socket whose hook waits at the gate, and a visitor who can let it on."""
    client, client.id = join(program.stages[HOST], token, to=program)
    client.send({"do": [["gate", gate.port], ["print", '{"n":1}']]})
    client.visitor = gate.arrival()
    return client


@pytest.mark.parametrize("stop", WAYS)
def test_a_stop_lets_hooks_end_answers_meanwhile_and_exits_0(program, connect, busy, stop):
    stop(program)
    program.says("stopping")
    with pytest.raises(RefusedError) as refused:
        connect(program.stages[HOST], to=program)
    assert refused.value.status == 503
    assert int(refused.value.headers["retry-after"]) > 0
    for path in ("/health", "/presence", "/metrics"):
        assert program.ask_with_key("GET", path).status == 200
    assert program.ask("GET", "/ready").status == 503
    assert program.ask_with_key("POST", "/reload", {}).status == 503
    assert program.cast(HOST, {"cast": 1}, busy.id)["sent"] == 1
    busy.visitor.let_on()
    assert busy.closed_after() == ['{"cast": 1}', '{"n":1}', 1012]
    assert program.wait() == 0
    assert program.stages[HOST].hooks_of(busy.id)[-2:] == ["receive", "close"]


def test_drain_wait_returns_when_the_broker_has_ended(program, busy):
    config = str(program.folder / "phlows.toml")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "phlows_cli", "drain", "--wait", "--config", config],
        stdout=subprocess.PIPE,
        text=True,
        env=program.environ,
    )
    program.says("stopping")
    assert waiting.poll() is None
    busy.visitor.let_on()
    assert busy.closed_after()[-1] == 1012
    assert program.wait() == 0
    said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 0
    assert "has ended" in said


def test_drain_of_a_broker_that_is_not_there_says_so(program):
    program.signal()
    assert program.wait() == 0
    code, _, said = phlows(program, "drain", "--wait")
    assert code == 3
    assert "no broker answers" in said


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (by_sigterm, signal.SIGTERM),
        (by_sigint, signal.SIGINT),
        (by_bridge, signal.SIGTERM),
    ],
)
def test_a_second_signal_cuts_what_runs_and_exits_1(program, busy, first, second):
    pid = program.stages[HOST].call("receive").pid
    first(program)
    program.says("stopping")
    program.signal(second)
    program.says("stopping at once")
    assert busy.closed() == 1012
    assert program.wait() == CUT
    assert program.says("cut at the end")
    assert not is_running(pid)


def test_a_second_signal_still_lets_quick_close_hooks_run_and_exits_0(program, join, token, gate):
    stage = program.stages[HOST]
    clients = [join(stage, token, to=program) for _ in range(3)]
    stage.plan(close=[["gate", gate.port]])
    program.signal()
    assert {client.closed() for client, _ in clients} == {1012}
    visitors = [gate.arrival() for _ in clients]
    program.signal()
    program.says("stopping at once")
    for visitor in visitors:
        visitor.let_on()
    assert program.wait() == 0
    assert {visitor.socket for visitor in visitors} == {id_ for _, id_ in clients}


def test_hooks_that_are_cut_by_drain_timeout_exit_1(start, join, token, gate):
    program = start({HOST: {"app": "python"}}, server={"drain_timeout": 1.0})
    stage = program.stages[HOST]
    (busy, busy_id), (idle, idle_id) = (join(stage, token, to=program) for _ in range(2))
    busy.send({"do": [["gate", gate.port]]})
    gate.arrival()
    pid = stage.call("receive").pid
    program.signal()
    assert {busy.closed(), idle.closed()} == {1012}
    assert program.wait() == CUT
    assert "count=1" in program.says("cut at the end of drain_timeout")
    assert stage.hooks_of(idle_id)[-1] == "close"
    assert stage.hooks_of(busy_id)[-1] == "receive"
    assert not is_running(pid)


def test_a_reload_while_it_stops_is_refused_and_the_stop_goes_on(program, busy):
    program.signal()
    program.says("stopping")
    program.configure(lambda hosts: hosts.clear())
    program.signal(signal.SIGHUP)
    assert "the broker is stopping" in program.says("reload refused")
    assert program.ask_with_key("POST", "/reload", {}).status == 503
    assert phlows(program, "reload")[0] == 1
    assert program.health()["configured"] == [HOST]
    busy.visitor.let_on()
    assert busy.closed_after() == ['{"n":1}', 1012]
    assert program.wait() == 0
    assert program.stages[HOST].hooks_of(busy.id)[-1] == "close"


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
