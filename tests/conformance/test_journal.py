"""A broker that is killed, and the next one, from outside."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import contextmanager

import pytest

from tests.conformance.client import RefusedError, WebSocket
from tests.conformance.command import phlows
from tests.conformance.program import Program
from tests.conformance.stage import Gate
from tests.runtime.apps import is_running

OPEN = "open.example.com"
SLOW = "slow.example.com"
FAILS = "fails.example.com"
HOSTS = {
    OPEN: {"app": "python", "auth": "none", "hooks": ["connect", "receive", "close"]},
    SLOW: {"app": "python", "auth": "none", "hooks": ["connect", "close"]},
    FAILS: {"app": "python", "auth": "none", "hooks": ["connect", "close"]},
}


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path / "broker", HOSTS, watches=False)
    yield made
    made.stop()


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.close()


@contextmanager
def connected(program, host):
    """A client, whose connection is let go at the end whatever became of it."""
    client = WebSocket.open(program.address, host)
    try:
        yield client
    finally:
        client.stream.close()


def kill(program):
    os.kill(program.pid, signal.SIGKILL)
    program.process.wait()


def stop(program):
    program.signal()
    assert program.wait() == 0


def rows(program):
    """What the journal holds; its broker has ended."""
    (path,) = (program.folder / "state").glob("journal-*.db")
    database = sqlite3.connect(path)
    try:
        return set(database.execute("SELECT socket, attempts FROM sockets"))
    finally:
        database.close()


def told(call):
    return call.env["PHLOWS_CLOSE_REASON"], call.env["PHLOWS_CLOSE_ATTEMPT"]


def test_the_close_hooks_of_a_killed_broker_are_run_by_the_next_and_only_once(program):
    stage = program.stages[OPEN]
    with connected(program, OPEN) as left:
        first = stage.call("connect").socket
        left.close()
        assert told(stage.call("close")) == ("client", "1")
        with connected(program, OPEN):
            second = stage.call("connect", 2).socket
            kill(program)
    assert rows(program) == {(second, 0)}
    program.start_again()
    last = stage.call("close", 2)
    assert (last.socket, told(last)) == (second, ("crash", "1"))
    stop(program)
    assert rows(program) == set()
    assert [call.socket for call in stage.started() if call.hook == "close"] == [first, second]


def test_a_close_hook_that_was_running_is_ended_and_run_again_as_the_second_attempt(program, gate):
    stage = program.stages[SLOW]
    stage.plan(close=[["gate", gate.port]])
    with connected(program, SLOW) as client:
        socket_id = stage.call("connect").socket
        client.close()
        running = stage.call("close")
        gate.arrival()
        kill(program)
    assert is_running(running.pid)
    assert rows(program) == {(socket_id, 1)}
    stage.plan()
    program.start_again()
    again = stage.call("close", 2)
    assert (again.socket, told(again)) == (socket_id, ("client", "2"))
    assert not is_running(running.pid)


def test_a_host_lets_nobody_in_before_what_it_owes_is_done_and_others_do(program, gate):
    stage = program.stages[SLOW]
    with connected(program, SLOW):
        stage.call("connect")
        stage.plan(close=[["gate", gate.port]])
        kill(program)
    program.start_again()
    visitor = gate.arrival()
    with pytest.raises(RefusedError) as refused:
        WebSocket.open(program.address, SLOW)
    assert refused.value.status == 503
    assert int(refused.value.headers["retry-after"]) >= 1
    with connected(program, OPEN):
        program.stages[OPEN].call("connect")
    visitor.let_on()
    stop(program)
    assert rows(program) == set()


def test_a_close_hook_that_is_given_up_is_shown_tried_by_the_next_broker_and_dropped(program):
    stage = program.stages[FAILS]
    stage.plan(close=[["exit", 3]])
    with connected(program, FAILS) as client:
        socket_id = stage.call("connect").socket
        client.close()
        stage.call("close")
    stop(program)
    attempts = len([call for call in stage.started() if call.hook == "close"])
    assert rows(program) == {(socket_id, attempts)}
    program.start_again()
    assert told(stage.call("close", attempts + 1)) == ("client", str(attempts + 1))
    stop(program)
    stage.plan()
    program.start_again()
    last = len([call for call in stage.started() if call.hook == "close"])
    stage.call("close", last)
    stop(program)
    assert rows(program) == set()


def test_orphans_are_listed_and_dropped_by_the_command(program):
    assert json.loads(phlows(program, "orphans", "list", "--json")[1]) == {
        "status": "ok",
        "count": 0,
        "orphans": [],
    }
    code, out, err = phlows(program, "orphans", "drop", "--all")
    assert (code, out, err) == (0, "0 close hooks dropped\n", "")
    assert phlows(program, "orphans", "drop")[0] == 2


def test_what_is_owed_by_a_host_that_was_removed_waits_until_it_is_back(program):
    stage = program.stages[OPEN]
    with connected(program, OPEN):
        socket_id = stage.call("connect").socket
        kill(program)
    program.configure(lambda hosts: hosts.pop(OPEN))
    program.start_again()
    listed = json.loads(phlows(program, "orphans", "list", "--json")[1])
    assert [orphan["socket"] for orphan in listed["orphans"]] == [socket_id]
    stop(program)
    assert rows(program) == {(socket_id, 0)}
    program.configure(lambda hosts: hosts.update({OPEN: HOSTS[OPEN]}))
    program.start_again()
    assert stage.call("close").socket == socket_id


def test_what_is_owed_by_a_removed_host_and_was_dropped_is_not_run_when_it_is_back(program):
    stage = program.stages[OPEN]
    with connected(program, OPEN):
        socket_id = stage.call("connect").socket
        kill(program)
    program.configure(lambda hosts: hosts.pop(OPEN))
    program.start_again()
    assert phlows(program, "orphans", "drop", socket_id)[1] == "1 close hook dropped\n"
    program.configure(lambda hosts: hosts.update({OPEN: HOSTS[OPEN]}))
    assert phlows(program, "reload")[1] == f"added {OPEN}\n"
    with connected(program, OPEN):
        second = stage.call("connect", 2).socket
    assert stage.call("close").socket == second
    stop(program)
    assert rows(program) == set()


def test_a_stop_while_the_close_hooks_of_before_run_runs_them_all(program, gate):
    stage = program.stages[SLOW]
    with connected(program, SLOW), connected(program, SLOW):
        stage.calls(2)
        kill(program)
    stage.plan(close=[["gate", gate.port]])
    program.start_again()
    visitors = [gate.arrival(), gate.arrival()]
    program.signal()
    program.says("stopping")
    for visitor in visitors:
        visitor.let_on()
    assert program.wait() == 0
    assert rows(program) == set()


def test_a_start_with_another_port_says_what_the_old_journal_holds(program):
    with connected(program, OPEN):
        program.stages[OPEN].call("connect")
        kill(program)
    program.configure(server={"port": 0})
    program.start_again()
    assert "count=1" in program.says("the journal of another port holds close hooks")


def test_a_second_broker_with_the_same_port_and_state_says_so(program):
    code, _, err = phlows(program, "serve", "--listen", "unix:/nonexistent/socket")
    assert code == 1  # a supervisor tries again: the other one may be about to end
    assert "another broker uses it" in err


def test_a_second_broker_at_the_same_address_is_told_of_the_first(program):
    code, _, err = phlows(program, "serve")
    assert (code, "is in use" in err, "journal" in err) == (1, True, True)
    assert "`phlows status` shows it, `phlows drain` ends it" in err
