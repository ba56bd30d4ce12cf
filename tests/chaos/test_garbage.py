"""A socket's life, a hook and a cast leave nothing to the garbage collector.

It hardly ever looks at what has lived for long: a cycle a socket is memory that creeps.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.ledger import APP
from tests.chaos.test_crowds import settle
from tests.conformance.client import BINARY, TEXT, RefusedError, WebSocket, frame
from tests.conformance.program import Program

HOST, AUTH, SLOW = "garbage.example.com", "auth.example.com", "slow.example.com"
TIMES = 20


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    app = {"app": str(APP), "hooks": ["connect", "receive", "close"]}
    hosts = {HOST: app, AUTH: {"app": "quick", "auth": "message"}}
    hosts[SLOW] = {"app": str(APP.with_name("slow.sh")), "hooks": ["connect"], "timeout": 0.1}
    program = Program(
        tmp_path_factory.mktemp("garbage"),
        hosts,
        {"PYTHONPATH": str(Path(__file__).parents[2])},
        module="tests.chaos.garbage",
        watches=False,
    )
    program.stages[HOST].hush()
    yield program
    program.stop()


def close(program):
    client = WebSocket.open(program.address, HOST)
    client.send({"n": 1})
    assert client.receive_json() == {"n": 1}
    client.close()


def reset(program):
    client = WebSocket.open(program.address, HOST)
    client.send({"n": 1})
    client.stream.reset()


def break_the_protocol(program):
    client = WebSocket.open(program.address, HOST)
    client.send_frame(BINARY, b"x")
    assert client.closed() == 1003


def fragment(program):
    client = WebSocket.open(program.address, HOST)
    client.stream.send(frame(TEXT, b'{"n":', fin=False) + frame(0, b"1}"))
    assert client.receive_json() == {"n": 1}
    client.close()


def authenticate(program):
    client = WebSocket.open(program.address, AUTH)
    client.authenticate("topsecret")
    client.close()


def be_refused(program):
    with pytest.raises(RefusedError):
        WebSocket.open(program.address, "unknown.example.com")


def be_disconnected(program):
    client = WebSocket.open(program.address, HOST)
    client.send({"n": 1})
    assert client.receive_json() == {"n": 1}
    program.ask_with_key("POST", "/disconnect", {"host": HOST, "target": "all"})
    assert client.closed() == 1000


def time_out(program):
    assert WebSocket.open(program.address, SLOW).closed() == 1011


def cast(program):
    program.cast(HOST, {"n": 1})
    assert program.ask("POST", "/message", b"{").status == 400


def reload(program):
    def turn(hosts):
        hosts[HOST]["timeout"] = 41.0 - hosts[HOST].get("timeout", 20.0)

    program.configure(turn)
    assert program.ask_with_key("POST", "/reload", {}).json["changed"] == [HOST]


def look(program):
    for path in ("/health", "/presence", "/metrics", "/ready", "/unknown"):
        program.ask_with_key("GET", path)


@pytest.mark.parametrize(
    "live",
    [
        close,
        reset,
        break_the_protocol,
        fragment,
        authenticate,
        be_refused,
        be_disconnected,
        time_out,
        cast,
        reload,
        look,
    ],
)
def test_nothing_is_left_to_the_garbage_collector(program, live):
    live(program)  # the first time may fill what is kept
    settle(program)
    told = len([line for line in program.stderr.all() if line.startswith("LEFT")])
    program.signal(signal.SIGUSR2)
    program.says_again("LEFT", told + 1)
    for _ in range(TIMES):
        live(program)
    settle(program)
    program.signal(signal.SIGUSR2)
    left = program.says_again("LEFT", told + 2)[-1]
    assert int(left.split()[1]) < TIMES, left
