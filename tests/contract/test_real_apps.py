"""One real app, unchanged, through every runtime: its visitors see the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.client import RefusedError
from tests.conformance.conftest import connect, join  # noqa: F401 - fixtures
from tests.conformance.program import Program
from tests.ports import free_port
from tests.runtime.apps import APPS, PHP

ROOMS = 6
"""Hosts of a broker: one for each test."""

ROOT = Path(__file__).parents[2]
SDK = ROOT / "phlows_cli" / "assets" / "phlows.php"
ODD = {"text": '\u00e9 \u2713 </p> \\ "', "n": [1, {"a": None}]}

RUNTIMES = {
    "oneshot": {"runtime": "oneshot"},
    "resident": {"runtime": "resident"},
    "single_use": {"runtime": "resident", "max_jobs": 1, "spare": 1},
}
TASKS = {"room.php": "tasks::twice", "room.py": "twice"}


class Server:
    """PHP's own web server with room.php behind its router."""

    def __init__(self, folder):
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/"
        command = [PHP, "-S", f"127.0.0.1:{port}", str(folder / "room_router.php")]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **pipes)
        if "started" not in self._process.stderr.readline():
            self.stop()
            raise AssertionError("the web server did not start")

    def tell(self, address):
        """Let the app know where the broker is."""
        (self._folder / "broker").write_text(f"http://{address[0]}:{address[1]}")

    def stop(self):
        self._process.terminate()
        self._process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    for file in (APPS / "room.php", APPS / "room_router.php", APPS / "room.py", SDK):
        shutil.copy(file, folder)
    return folder


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param(("room.php", kind), marks=pytest.mark.php) for kind in (*RUNTIMES, "url")),
        *(("room.py", kind) for kind in RUNTIMES),
    ],
    ids="-".join,
)
def rooms(request, folder):
    """A broker with the app on many hosts, and the name of the app's task."""
    file, kind = request.param
    server = Server(folder) if kind == "url" else None
    env = {"PYTHONPATH": str(ROOT)}  # phlows_cli need not be installed
    app = {"app": server.url if server else str(folder / file), "auth": "upgrade", "env": env}
    hosts = {f"room{n}.example.com": {**app, **RUNTIMES.get(kind, {})} for n in range(ROOMS)}
    broker = Program(folder / f"broker-{file}-{kind}", hosts)
    if server:
        server.tell(broker.address)
    yield broker, TASKS[file], iter(hosts)
    broker.stop()
    if server:
        server.stop()


@pytest.fixture
def room(rooms):
    """A host for one test, with its broker and the name of its app's task."""
    broker, task, hosts = rooms
    return broker, next(hosts), task


@pytest.fixture
def visit(room, join):  # noqa: F811 - a fixture
    """Opens a visitor's socket."""
    broker, host, _ = room
    return lambda name: join(None, f"token of {name}", to=broker, host=host)[0]


def count(number):
    return {"inner": {"#online-count": str(number)}}


def test_the_count_of_who_is_there_follows_who_comes_and_goes(visit):
    ann = visit("Ann")
    assert ann.receive_json() == count(1)
    bob = visit("Bob")
    assert [ann.receive_json(), bob.receive_json()] == [count(2)] * 2
    bob.close()
    assert ann.receive_json() == count(1)


def test_a_chat_line_goes_to_the_others_by_a_cast_and_to_its_author_as_a_line(visit):
    ann = visit("Ann")
    assert ann.receive_json() == count(1)
    bob = visit("Bob")
    assert [ann.receive_json(), bob.receive_json()] == [count(2)] * 2
    ann.send({"type": "ping"})
    assert ann.receive_json() == {"pong": 1}
    ann.send({"type": "chat.send", "text": "<\u00e9 \u2713>"})
    line = {"#chat": "<p>Ann &lt;\u00e9 \u2713&gt;</p>"}
    assert ann.receive_json() == {"append": line, "value": {"#text": ""}}
    assert bob.receive_json() == {"append": line}


def test_lines_stay_in_order_and_a_message_comes_back_as_it_was(visit):
    ann = visit("Ann")
    assert ann.receive_json() == count(1)
    ann.send({"type": "lines"})
    ann.send(ODD)
    ann.send({"type": "lines"})
    lines = [{"line": number} for number in (1, 2, 3)]
    assert [ann.receive_json() for _ in range(7)] == [*lines, ODD, *lines]


def test_an_exit_keeps_what_was_printed_and_a_failure_is_told_without_its_text(visit):
    ann = visit("Ann")
    assert ann.receive_json() == count(1)
    for message in ("exit", "fail", "lines"):
        ann.send({"type": message})
    assert ann.receive_json() == {"leaving": True}
    told = ann.receive_json()
    assert list(told) == ["error"]
    assert "private" not in told["error"]
    assert ann.receive_json() == {"line": 1}


def test_a_stranger_is_refused_at_the_door(room, connect):  # noqa: F811 - a fixture
    broker, host, _ = room
    with pytest.raises(RefusedError) as refused:
        connect(None, to=broker, host=host, cookie="somebody")
    assert refused.value.status == 401


def test_a_task_brings_its_result_back(room):
    broker, host, target = room
    task = {"host": host, "target": target, "args": [21]}
    answer = broker.ask_with_key("POST", "/dispatch", task)
    assert (answer.status, answer.json) == (200, {"status": "ok", "result": 42})
