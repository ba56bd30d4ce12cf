from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # tests/ is not installed

from tests.conformance.client import WebSocket
from tests.conformance.program import APPS, Program
from tests.conformance.stage import SECRET, Gate

KINDS = ["python", pytest.param("php", marks=pytest.mark.php)]
POOL = {
    (kind, auth) for kind in ("python", "php", "quick") for auth in ("message", "upgrade", "none")
}
POOL_SIZE = 200
"""Hosts of each kind and auth mode: more than there are tests that take one."""

SPECIAL = {
    "class.example.com": {"app": "python", "hook_class": "websocket"},
    "origins.example.com": {
        "app": "python",
        "origins": ["https://partner.example.com", "https://ported.example.com:8443"],
    },
    "any-origin.example.com": {"app": "python", "origins": ["*"]},
    "missing-message.example.com": {"app": "/nonexistent/app.php"},
    "missing-upgrade.example.com": {"app": "/nonexistent/app.php", "auth": "upgrade"},
    "hangs-message.example.com": {"app": "python", "hooks": ["auth", "close"], "timeout": 1.0},
    "hangs-upgrade.example.com": {
        "app": "python",
        "hooks": ["auth"],
        "auth": "upgrade",
        "timeout": 1.0,
    },
    "hangs-connect.example.com": {"app": "python", "hooks": ["connect", "close"], "timeout": 1.0},
    "hangs-receive.example.com": {"app": "python", "hooks": ["receive"], "timeout": 1.0},
    "push.example.com": {"hooks": []},
    "only-receive.example.com": {"app": "python", "hooks": ["receive"]},
    "other-cookie.example.com": {"app": "python", "token_cookie": "PHPSESSID"},
    "no-cookie.example.com": {"app": "python", "token_cookie": ""},
    "counter.example.com": {
        "app": str(APPS / "counter.sh"),
        "hooks": ["connect", "receive", "close"],
    },
    "neighbour.example.com": {"app": str(APPS / "echo.sh"), "hooks": ["receive"]},
}


@pytest.fixture(autouse=True)
def _php(request):
    """Tests of real PHP need one; where all tests must run, its absence fails."""
    if request.node.get_closest_marker("php") and not shutil.which("php"):
        assert not os.environ.get("PHLOWS_REQUIRE_ALL"), "there is no php"
        pytest.skip("there is no php")


def pool_name(kind, auth, number):
    return f"{kind}{number}.{auth}.example.com"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """The broker that most tests share; each test has hosts of its own on it."""
    hosts = {
        pool_name(kind, auth, number): {"app": kind, "auth": auth}
        for kind, auth in POOL
        for number in range(POOL_SIZE)
    }
    program = Program(
        tmp_path_factory.mktemp("shared"),
        {**hosts, **SPECIAL},
        server={"close_timeout": 10.0},
        limits={"max_message": 200_000},
    )
    yield program
    program.stop()


@pytest.fixture(scope="session")
def _numbers():
    """The next free host of each kind."""
    return {key: itertools.count() for key in POOL}


@pytest.fixture
def broker(shared):
    """The shared broker; after each test it is looked at for bad words."""
    yield shared
    shared.check_words()


@pytest.fixture
def take(broker, _numbers):
    """Gives the test a fresh host of the shared broker."""

    def fresh(auth="message", kind="python"):
        number = next(_numbers[kind, auth])
        assert number < POOL_SIZE, "POOL_SIZE is too small"
        return broker.stages[pool_name(kind, auth, number)]

    return fresh


@pytest.fixture(params=KINDS)
def kind(request):
    """The language of the app: what holds for one must hold for both."""
    return request.param


@pytest.fixture
def start(tmp_path):
    """Starts brokers of the test's own."""
    programs = []

    def begin(hosts, **config):
        program = Program(tmp_path / f"broker{len(programs)}", hosts, **config)
        programs.append(program)
        return program

    yield begin
    for program in programs:
        program.stop()


@pytest.fixture
def connect(request):
    """Opens sockets, and drops those that are left when the test is over."""
    clients = []

    def opened(stage, *, to=None, address=None, host=None, **how):
        program = to or request.getfixturevalue("shared")
        client = WebSocket.open(address or program.address, host or stage.host, **how)
        clients.append(client)
        return client

    yield opened
    for client in clients:
        client.drop()


@pytest.fixture
def join(connect, request):
    """Opens a socket and waits until casts find it: (client, socket id)."""

    def joined(stage, token="", *, to=None, **how):
        program = to or request.getfixturevalue("shared")
        client = connect(stage, to=program, cookie=token or None, **how)
        return client, program.admitted(client)

    return joined


@pytest.fixture(scope="module")
def neighbour(shared):
    """A socket that is open through all the tests of a module."""
    client = WebSocket.open(shared.address, "neighbour.example.com")
    yield client
    client.drop()


@pytest.fixture
def unharmed(broker, neighbour):
    """After a test the broker serves those who had nothing to do with it."""
    yield
    neighbour.send({"still": "there"})
    assert neighbour.receive_json() == {"still": "there"}


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.close()


@pytest.fixture
def token(request):
    """A token that no log line may hold."""
    return f"{SECRET}-{abs(hash(request.node.name)) % 10**6}"
