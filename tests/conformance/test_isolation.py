"""What a process of an app sees of the broker, of other hosts and of their users."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.conformance.client import WebSocket
from tests.conformance.program import APPS, Program
from tests.conformance.stage import SECRET

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")

TOKEN = f"{SECRET}-of-a-visitor"
MARK = "words-of-a-message"
KINDS = {
    "oneshot": {"runtime": "oneshot"},
    "resident": {"runtime": "resident"},
    "single-use": {"runtime": "resident", "max_jobs": 1, "spare": 1},
}
HOSTS = {f"{kind}.example.com": {**how, "key_file": f"{kind}.key"} for kind, how in KINDS.items()}
ENV = {"STAGE": "", "KEY_FILE": "", "PYTHONPATH": str(Path(__file__).parents[2])}
GIVEN = {"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"}
GIVEN |= {"PHLOWS_URL", "PHLOWS_HOST", "PHLOWS_KEY", "LC_CTYPE"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    app = {"hooks": ["auth", "receive"], "env": ENV}
    hosts = {name: {**app, **host, "app": str(APPS / "snoop.py")} for name, host in HOSTS.items()}
    hosts["own.example.com"] = {
        **hosts["oneshot.example.com"],
        "key_file": "own.key",
        "env": {**ENV, "PHLOWS_KEY": "chosen"},
    }
    hosts["open.example.com"] = {"hooks": []}
    started = Program(tmp_path_factory.mktemp("isolation"), hosts)
    yield started
    started.stop()


@pytest.fixture
def ask(program):
    """Let the app of a host do something; what it says."""
    clients = []

    def asked(host, **message):
        client = WebSocket.open(program.address, host, cookie=TOKEN)
        clients.append(client)
        program.admitted(client)
        client.send({"mark": MARK, **message})
        while not (told := client.receive_json()):
            continue  # a cast of its own, which is empty
        return told

    yield asked
    for client in clients:
        client.drop()


def key_of(program, kind):
    return (program.folder / f"{kind}.key").read_text().strip()


@pytest.mark.parametrize("kind", KINDS)
def test_an_app_has_no_descriptor_of_the_brokers(ask, kind):
    seen = set(ask(f"{kind}.example.com")["descriptors"])
    pipes = {name for name in seen if name.startswith("pipe:")}
    assert 2 <= len(pipes) <= 3, "stdout, stderr and a worker's stdin"
    # What is left the Python worker has opened itself: its empty stdin and its folder.
    assert seen - pipes <= {"/dev/null", str(APPS)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_app_has_its_own_key_and_nothing_of_the_brokers_environment(program, ask, kind):
    seen = ask(f"{kind}.example.com")
    names = {entry.partition("=")[0] for entry in seen["at_start"] if entry}
    for environ in (names, seen["environ"].keys()):
        assert set(environ) - ENV.keys() <= GIVEN
    assert seen["environ"]["PHLOWS_KEY"] == key_of(program, kind)
    values = list(seen["environ"].values())
    assert program.key not in values
    assert SECRET not in values, "the broker's environment has it"
    others = {key_of(program, other) for other in KINDS if other != kind}
    assert others.isdisjoint(values)


@pytest.mark.parametrize("kind", ["resident", "single-use"])
def test_no_command_line_holds_a_token_or_a_message_while_a_worker_runs_a_hook(ask, kind):
    seen = ask(f"{kind}.example.com")
    assert seen["own"][-2:] == ["phlo_serve", ""]
    assert any("serve" in words for words in seen["all"]), "the broker is among them"
    assert not [words for words in seen["all"] if TOKEN in " ".join(words)]
    assert not [words for words in seen["all"] if MARK in " ".join(words)]


def test_the_arguments_of_a_one_shot_hook_are_visible_as_the_documents_say(ask):
    own = " ".join(ask("oneshot.example.com")["own"])
    assert TOKEN in own
    assert MARK in own


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_never_an_argument(program, ask, kind):
    keys = [program.key, *(key_of(program, other) for other in KINDS)]
    lines = [" ".join(words) for words in ask(f"{kind}.example.com")["all"]]
    assert not [line for line in lines if any(key in line for key in keys)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_app_casts_to_its_own_host_with_the_key_that_it_was_handed(ask, kind):
    host = f"{kind}.example.com"
    told = ask(host, ask="POST /message", body={"host": host, "data": {}})
    assert told["status"] == 200
    assert told["answer"]["sent"] >= 1
    assert ask(host, ask=f"GET /presence?host={host}")["status"] == 200


@pytest.mark.parametrize("request_line", ["POST /message", "POST /disconnect", "POST /dispatch"])
def test_a_compromised_app_cannot_reach_into_another_host(program, ask, request_line):
    body = {"host": "resident.example.com", "target": "all"}
    refused = ask("oneshot.example.com", ask=request_line, body=body)
    assert refused["status"] == 403
    assert "this key is for oneshot.example.com alone" in refused["answer"]["message"]
    keyless = ask("oneshot.example.com", ask=request_line, body=body, key="")
    assert keyless["status"] == 401
    assert ask("oneshot.example.com", ask="GET /presence")["status"] == 403
    assert ask("oneshot.example.com", ask="POST /drain")["status"] == 403
    assert program.ask("GET", "/ready").status == 200


def test_a_host_without_a_key_is_cast_to_as_before(program):
    assert program.cast("open.example.com", {"n": 1})["sent"] == 0


def test_what_the_env_of_a_host_says_stands_above_its_key(ask):
    assert ask("own.example.com")["environ"]["PHLOWS_KEY"] == "chosen"


def test_the_key_files_are_their_owners_alone(program):
    files = [program.folder / "state" / "key", *program.folder.glob("*.key")]
    assert len(files) == 5
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_reload_hands_out_another_key(start):
    host = {"hooks": ["auth", "receive"], "key_file": "host.key", "app": str(APPS / "snoop.py")}
    host |= {"runtime": "resident", "env": ENV}
    program = start({"app.example.com": host})
    client = WebSocket.open(program.address, "app.example.com", cookie=TOKEN)
    program.admitted(client)
    client.send({})
    before = client.receive_json()["environ"]["PHLOWS_KEY"]
    (program.folder / "host.key").write_text("another-key")
    assert program.ask_with_key("POST", "/reload").json["changed"] == ["app.example.com"]
    client.send({})
    assert client.receive_json()["environ"]["PHLOWS_KEY"] == "another-key"
    cast = {"host": "app.example.com", "data": {}}
    for key, status in ((before, 403), ("another-key", 200)):
        head = [("Authorization", f"Bearer {key}")]
        assert program.ask("POST", "/message", cast, head).status == status
    assert json.dumps(client.receive_json()) == "{}"
    client.drop()
