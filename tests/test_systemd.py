"""What systemd hands to a service, and what it is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phlows_cli.systemd import Supervisor, take_sockets

ROOT = Path(__file__).parents[1]

TAKING = """
import json, os, sys
given, pid = json.loads(sys.argv[1]), os.getpid()
for number, descriptor in enumerate(given, 200):
    os.dup2(descriptor, number)
for number in range(len(given)):
    os.dup2(200 + number, 3 + number)
os.environ.setdefault("LISTEN_PID", str(pid))
from phlows_cli.errors import ListenError
from phlows_cli.systemd import take_sockets
try:
    kept = take_sockets()
    taken = [[s.fileno(), s.getsockname(), s.get_inheritable()] for s in kept]
except ListenError as error:
    taken = str(error)
print(json.dumps({"taken": taken, "left": [n for n in os.environ if n.startswith("LISTEN")]}))
"""


def hand(*descriptors, count=None, **environ):
    """What a process makes of descriptors that are 3 and following there."""
    environ.setdefault("LISTEN_FDS", str(len(descriptors) if count is None else count))
    done = subprocess.run(
        [sys.executable, "-c", TAKING, json.dumps(descriptors)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        pass_fds=descriptors,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["left"] == []
    return told["taken"]


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_listening_sockets_are_taken_and_kept_from_other_processes(listening, tmp_path):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        taken = hand(listening.fileno(), unix.fileno(), LISTEN_FDNAMES="web:local")
    assert taken == [[3, list(listening.getsockname()), False], [4, unix_name(tmp_path), False]]


def unix_name(folder):
    return str(folder / "socket")


def test_what_was_handed_to_another_process_is_left_alone(listening):
    assert hand(listening.fileno(), LISTEN_PID="1") == []
    assert hand(listening.fileno(), LISTEN_FDS="-1") == []
    assert hand(listening.fileno(), LISTEN_FDS="many") == []


def test_a_service_without_sockets_of_its_own_has_none():
    assert take_sockets({}) == []


def datagram(tmp_path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "datagram"))
    return sock


def unheard(tmp_path):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (datagram, "is not a TCP or unix socket that listens"),
        (unheard, "is not a TCP or unix socket that listens"),
        (lambda folder: (folder / "file").open("w"), "is not a socket: use ListenStream="),
    ],
    ids=["datagrams", "not listening", "a file"],
)
def test_what_no_connection_can_arrive_at_is_refused_by_its_name(make, reason, listening, tmp_path):
    with make(tmp_path) as wrong:
        refusal = hand(listening.fileno(), wrong.fileno(), LISTEN_FDNAMES="web:odd")
    assert refusal.startswith("descriptor 4 (odd) that was inherited (LISTEN_FDS) ")
    assert reason in refusal


def test_a_descriptor_that_is_not_open_is_refused(listening):
    refusal = hand(listening.fileno(), count=90)
    assert "that was inherited (LISTEN_FDS) is not" in refusal


class Listener:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.settimeout(20)

    def heard(self):
        return self.sock.recv(4096).decode().split("\n")

    def is_silent(self):
        self.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.sock.recv(4096)
        return True


@pytest.fixture(params=["path", "abstract"])
def place(request, tmp_path):
    """Where a service manager listens: (the variable's text, the address)."""
    if request.param == "path":
        return str(tmp_path / "notify"), str(tmp_path / "notify")
    if sys.platform != "linux":
        pytest.skip("names that are not files are Linux's own")
    return f"@phlows-test-{os.getpid()}", f"\0phlows-test-{os.getpid()}"


def test_it_is_told_what_the_service_does_and_no_app_can_tell_it(place):
    text, address = place
    listener = Listener(address)
    environ = {"NOTIFY_SOCKET": text, "KEPT": "1"}
    supervisor = Supervisor(environ)
    assert environ == {"KEPT": "1"}
    supervisor.ready("serving\n2 hosts")
    assert listener.heard() == ["READY=1", "STATUS=serving 2 hosts"]
    before = time.monotonic_ns() // 1000
    supervisor.reloading()
    first, second = listener.heard()
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    supervisor.stopping(30.0)
    told = listener.heard()
    assert told[0] == "STOPPING=1"
    assert int(told[1].removeprefix("EXTEND_TIMEOUT_USEC=")) > 30_000_000
    supervisor.close()
    supervisor.ready("nobody hears it")
    assert listener.is_silent()
    listener.sock.close()


def test_the_watchdog_is_fed_at_half_its_time_and_no_more_often(tmp_path, monkeypatch):
    listener = Listener(str(tmp_path / "notify"))
    now = [100.0]
    monkeypatch.setattr("phlows_cli.systemd.time.monotonic", lambda: now[0])
    watched = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    supervisor = Supervisor({**watched, "WATCHDOG_PID": str(os.getpid())})
    assert supervisor.beat_interval == 1.5
    for now[0] in (100.1, 101.4, 101.5, 102.9):
        supervisor.beat()
    assert listener.heard() == ["WATCHDOG=1"]
    assert listener.is_silent()
    supervisor.close()
    listener.sock.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "vsock:2:1"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
    ],
    ids=str,
)
def test_where_nobody_watches_nothing_is_fed(environ):
    supervisor = Supervisor(environ)
    assert supervisor.beat_interval == 0
    supervisor.beat()
    supervisor.close()


def test_a_service_manager_that_is_gone_is_a_line_in_the_log(tmp_path, caplog):
    supervisor = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    supervisor.ready("up")
    assert caplog.messages == ["systemd was not told"]
    supervisor.close()
