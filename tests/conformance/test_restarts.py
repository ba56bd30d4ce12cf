"""Under a service manager: sockets that it holds, what it is told, the watchdog."""

from __future__ import annotations

import json
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.conformance.activation import Manager
from tests.conformance.client import upgrade_bytes
from tests.conformance.program import APPS
from tests.conformance.stream import DEADLINE, dial
from tests.conformance.web import call, read_answer, request_bytes

HOST = "app.example.com"
CONFIG = {
    "server": {"close_timeout": 0.5},
    "hosts": {HOST: {"app": str(APPS / "echo.sh"), "hooks": ["receive"]}},
}


@pytest.fixture
def manage(tmp_path):
    managers = []

    def make(listening=None, **environ):
        listening = listening or socket.create_server(("127.0.0.1", 0), backlog=4096)
        managers.append(Manager(tmp_path, CONFIG, listening, **environ))
        return managers[-1]

    yield make
    for manager in managers:
        manager.close()


def test_it_serves_at_the_socket_that_it_was_given_and_says_so(manage):
    manager = manage()
    address = manager.listening.getsockname()
    said = manager.start()
    assert said == ["READY=1", f"STATUS=serving 1 host at http://127.0.0.1:{address[1]}"]
    assert call(address, "GET", "/ready").status == 200
    lines = [json.loads(line) for line in manager.stderr().splitlines()]
    sentence = "listening at inherited sockets, not at server.listen and server.port"
    assert [line["addresses"] for line in lines if line["message"] == sentence] == [
        f"http://127.0.0.1:{address[1]}"
    ]


def test_a_unix_socket_that_it_was_given_stays_where_it_is(manage, tmp_path):
    path = tmp_path / "socket"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    manager = manage(listening)
    assert f"STATUS=serving 1 host at unix:{path}" in manager.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.settimeout(DEADLINE)
        client.sendall(request_bytes("GET", "/nowhere"))
        assert client.recv(64).startswith(b"HTTP/1.1 404")
    manager.stop()
    assert path.exists()


def test_a_reload_and_a_stop_are_told_as_they_begin(manage):
    manager = manage()
    manager.start()
    manager.signal(signal.SIGHUP)
    assert manager.told("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
    assert manager.told("READY=1")
    (manager.folder / "phlows.toml").write_text("nonsense = 1\n")
    manager.signal(signal.SIGHUP)
    assert manager.told("RELOADING=1")
    assert manager.told("READY=1"), "a reload that is refused is over, too"
    manager.stop()
    assert manager.told("STOPPING=1")[1].startswith("EXTEND_TIMEOUT_USEC=")


def test_the_watchdog_is_fed_while_it_serves_and_while_it_drains(manage):
    manager = manage(WATCHDOG_USEC="400000")
    manager.start()
    for _ in range(3):
        assert manager.told("WATCHDOG=1") == ["WATCHDOG=1"]
    stream = dial(manager.listening.getsockname())
    stream.send(upgrade_bytes(HOST))
    assert read_answer(stream).status == 101
    manager.signal(signal.SIGTERM)
    manager.told("STOPPING=1")
    manager.told("WATCHDOG=1")  # while it waits for the close frame of a client
    assert manager.process.wait(DEADLINE) == 0
    stream.close()


def test_no_process_of_an_app_sees_the_socket_or_the_service_manager(manage, tmp_path):
    seen = tmp_path / "seen"
    app = tmp_path / "app.sh"
    app.write_text(
        f"#!/bin/sh\nenv > {seen}.new\nls -l /proc/self/fd >> {seen}.new\nmv {seen}.new {seen}\n"
    )
    app.chmod(0o755)
    manager = manage(WATCHDOG_USEC="60000000", LISTEN_FDNAMES="web")
    text = (tmp_path / "phlows.toml").read_text().replace(str(APPS / "echo.sh"), str(app))
    (tmp_path / "phlows.toml").write_text(text)
    manager.start()
    address = manager.listening.getsockname()
    stream = dial(address)
    stream.send(upgrade_bytes(HOST))
    assert read_answer(stream).status == 101
    stream.send(b"\x81\x82\0\0\0\0{}")
    stream.send(b"\x88\x80\0\0\0\0")
    stream.read_to_end()
    stream.close()
    manager.stop()
    text = Path(seen).read_text()
    assert "PHLOWS_HOST=" in text
    assert f"PHLOWS_URL=http://127.0.0.1:{address[1]}" in text
    assert "socket:[" not in text
    assert not [name for name in ("LISTEN_", "NOTIFY_", "WATCHDOG_") if name in text]


class Crowd:
    """Clients that connect and ask, one after the other, for as long as it takes."""

    def __init__(self, address, ask):
        self.answers, self.failures = [], []
        self._address, self._ask = address, ask
        self._done = threading.Event()
        self._enough = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._done.is_set():
            try:
                self.answers.append(self._ask(self._address))
            except OSError as error:
                self.failures.append(error)
            self._enough.release()

    def wait_for(self, count):
        """Wait for so many further answers."""
        for _ in range(count):
            assert self._enough.acquire(timeout=DEADLINE)

    def end(self):
        self._done.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def cast(address):
    body = {"host": HOST, "data": {"n": 1}}
    return call(address, "POST", "/message", body, [("Connection", "close")]).status


def open_socket(address):
    stream = dial(address)
    try:
        stream.send(upgrade_bytes(HOST))
        return read_answer(stream).status
    finally:
        stream.close()


def test_a_restart_refuses_nobody(manage):
    manager = manage()
    manager.start()
    address = manager.listening.getsockname()
    casters, visitors = Crowd(address, cast), Crowd(address, open_socket)
    for _ in range(3):
        casters.wait_for(20)
        visitors.wait_for(20)
        manager.stop()
        # Nobody serves now, and yet they connect: they wait in the socket of the manager.
        manager.start()
    casters.wait_for(20)
    visitors.wait_for(20)
    casters.end()
    visitors.end()
    assert casters.failures == visitors.failures == []
    assert set(casters.answers) == {200}
    assert set(visitors.answers) <= {101, 503}, "503 while it drains: come back"
    assert visitors.answers.count(101) > 50
