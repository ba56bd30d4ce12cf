"""What is left of connects, and of a broker that was stopped: nothing."""

from __future__ import annotations

import signal
import socket

import pytest

from phlows_cli.runtime import launcher
from tests.chaos.ledger import APP, Ledger
from tests.chaos.process import children, is_running, sample
from tests.chaos.test_crowds import settle, settled_sample
from tests.conformance.client import WebSocket
from tests.conformance.program import Program

HOST = "leaks.example.com"
CONNECTS = 50


@pytest.fixture
def program(tmp_path):
    host = {"app": str(APP), "hooks": ["connect", "receive", "close"]}
    listen = ["127.0.0.1", f"unix:{tmp_path}/b.sock"]
    program = Program(tmp_path / "broker", {HOST: host}, watches=False, server={"listen": listen})
    yield program
    program.stop()


def visit(program):
    """A client's whole life; the other end stays with us."""
    client = WebSocket.open(program.address, HOST)
    client.send({"n": 1})
    assert client.receive_json() == {"n": 1}
    return client


def test_connects_leave_no_descriptor_no_thread_and_no_process(program):
    ledger = Ledger(program.stages[HOST])
    visit(program).close()
    settle(program)
    before = sample(program.pid)
    for number in range(CONNECTS):
        client = visit(program)
        client.close() if number % 2 else client.stream.reset()
    ledger.wait(lambda ledger: ledger.ended["close"] == CONNECTS + 1)
    settle(program)
    after = settled_sample(program, before.descriptors)
    assert after.threads <= before.threads + launcher.THREADS
    assert after.memory - before.memory < 2 << 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_with_open_sockets_leaves_no_process_no_port_and_no_file(program, tmp_path, number):
    ledger = Ledger(program.stages[HOST])
    clients = [visit(program) for _ in range(CONNECTS)]
    program.signal(number)
    assert {client.closed() for client in clients} == {1012}
    assert program.wait() == 0
    ledger.read()
    ledger.check()
    assert ledger.ended["close"] == CONNECTS
    assert not children(program.pid)
    assert not [pid for pid in ledger.pids if is_running(pid)]
    assert not (tmp_path / "b.sock").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(program.address)
    port = program.address[1]
    assert sorted(path.name for path in (program.folder / "state").iterdir()) == [
        f"groups-{port}",
        f"journal-{port}.db",
        "key",
    ]


def test_after_a_broker_that_was_killed_hooks_end_and_a_new_one_starts(program):
    ledger = Ledger(program.stages[HOST])
    clients = [visit(program) for _ in range(CONNECTS)]
    program.signal(signal.SIGKILL)
    program.wait()
    for client in clients:
        client.stream.read_to_end()
        client.drop()
    ledger.wait(lambda ledger: ledger.begun == ledger.ended)
    again = Program(program.folder, {HOST: {"hooks": []}}, watches=False)
    assert again.health()["connections"] == 0
    again.stop()
