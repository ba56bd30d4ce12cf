"""Another configuration for a broker that runs: nobody is dropped who need not be."""

from __future__ import annotations

import signal

import pytest

from tests.conformance.client import RefusedError
from tests.conformance.command import phlows
from tests.conformance.program import APPS

KEPT, REMOVED, ADDED = "kept.example.com", "removed.example.com", "added.example.com"
ECHO = str(APPS / "echo.sh")
LIVE = {"app": "python", "auth": "none", "hooks": ["connect", "receive", "close"]}


@pytest.fixture
def program(start):
    return start({KEPT: LIVE, REMOVED: LIVE})


def by_signal(program):
    program.signal(signal.SIGHUP)


def by_command(program):
    code, said, errors = phlows(program, "reload")
    assert (code, errors) == (0, "")
    assert f"added {ADDED}" in said
    assert f"removed {REMOVED}" in said


def by_bridge(program):
    told = program.ask_with_key("POST", "/reload", {}).json
    assert (told["added"], told["removed"], told["changed"]) == ([ADDED], [REMOVED], [])


def by_itself(program):
    """The broker watches its file."""


def swap(hosts):
    del hosts[REMOVED]
    hosts[ADDED] = LIVE


def echo(client, number):
    client.send({"do": [["print", f'{{"n":{number}}}']]})
    assert client.receive_json() == {"n": number}


@pytest.mark.parametrize("ask", [by_signal, by_command, by_bridge, by_itself])
def test_a_reload_adds_and_removes_hosts_and_drops_nobody_else(program, connect, join, ask):
    kept, kept_id = join(program.stages[KEPT], to=program)
    leaver, leaver_id = join(program.stages[REMOVED], to=program)
    waiting = {"data": {"n": 0}, "target": leaver_id}
    assert program.ask("POST", "/message", {"host": REMOVED, **waiting}).status == 200
    assert leaver.receive_json() == {"n": 0}
    program.configure(swap)
    ask(program)
    assert leaver.closed() == 4004
    assert program.stages[REMOVED].call("close").socket == leaver_id
    program.says("reloaded")
    assert program.ask("POST", "/message", {"host": REMOVED}).status == 400
    with pytest.raises(RefusedError) as refused:
        connect(program.stages[REMOVED], to=program)
    assert refused.value.status == 421
    newcomer, newcomer_id = join(program.stages[ADDED], to=program)
    echo(newcomer, 1)
    assert program.cast(ADDED, {"n": 2})["sent"] == 1
    assert newcomer.receive_json() == {"n": 2}
    echo(kept, 3)
    assert program.cast(KEPT, {"n": 4}, kept_id)["sent"] == 1
    assert kept.receive_json() == {"n": 4}
    assert program.health()["configured"] == [ADDED, KEPT]
    assert program.stages[KEPT].hooks_of(kept_id) == ["connect", "receive"]
    assert program.stages[ADDED].hooks_of(newcomer_id) == ["connect", "receive"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[server]\nprot = 3001\n", "phlows.toml:2: unknown key server.prot"),
        ("[server\n", "phlows.toml:1: not valid TOML"),
        ("[hosts.'new.example.com']\n", "phlows.toml:1"),
        ("\x00", "phlows.toml:1"),
        (None, "no such config file"),
    ],
    ids=["an unknown key", "no TOML", "a host without app", "zeros", "no file"],
)
def test_a_bad_file_changes_nothing_and_is_told_whoever_asks(program, join, text, why):
    clients = [join(program.stages[host], to=program) for host in (KEPT, REMOVED)]
    if text is None:
        (program.folder / "phlows.toml").unlink()
    else:
        program.write_config(text)
    answer = program.ask_with_key("POST", "/reload", {})
    assert answer.status == 400
    assert "nothing was changed" in answer.json["message"]
    assert why in answer.json["message"]
    program.signal(signal.SIGHUP)
    assert why in program.says("reload refused")
    code, said, errors = phlows(program, "reload")
    assert code == 2
    assert why in said + errors
    assert program.health()["configured"] == [KEPT, REMOVED]
    for client, _ in clients:
        echo(client, 1)
    program.configure()
    assert program.ask_with_key("POST", "/reload", {}).status == 200
    for client, _ in clients:
        echo(client, 2)


def test_a_live_socket_gets_the_new_app_and_a_running_hook_keeps_its_old_one(program, join, gate):
    client, _ = join(program.stages[KEPT], to=program)
    client.send({"do": [["gate", gate.port], ["print", '{"app":"old"}']]})
    visitor = gate.arrival()
    client.send({"app": "new"})
    program.configure(lambda hosts: hosts.update({KEPT: {**LIVE, "app": ECHO, "env": {}}}))
    assert program.ask_with_key("POST", "/reload", {}).json["changed"] == [KEPT]
    visitor.let_on()
    assert client.receive_json() == {"app": "old"}
    assert client.receive_json() == {"app": "new"}


def test_another_auth_mode_and_other_limits_are_for_new_sockets(start, connect, join):
    program = start({KEPT: {"app": "quick", "auth": "none"}}, limits={"max_message": 4000})
    old, old_id = join(program.stages[KEPT], to=program)
    program.configure(
        lambda hosts: hosts.update({KEPT: {"app": "quick", "auth": "upgrade"}}),
        limits={"max_message": 2000},
    )
    assert program.ask_with_key("POST", "/reload", {}).status == 200
    with pytest.raises(RefusedError) as refused:
        connect(program.stages[KEPT], to=program)
    assert refused.value.status == 401
    new = connect(program.stages[KEPT], to=program, cookie="topsecret")
    new.send("x" * 2001)
    assert new.closed() == 1009
    old.send({"long": "x" * 3000})
    program.hook_done(old_id, "receive")
    assert program.cast(KEPT, {"n": 1}, old_id)["sent"] == 1
    assert old.receive_json() == {"n": 1}


def test_what_needs_a_restart_is_told_and_stays_as_it_is(program, join):
    client, _ = join(program.stages[KEPT], to=program)
    program.configure(server={"port": 1, "path": "/elsewhere"})
    told = program.ask_with_key("POST", "/reload", {}).json
    assert told["needs_restart"] == ["server.port", "server.path"]
    echo(client, 1)
    join(program.stages[KEPT], to=program)


def test_options_of_the_command_line_stay_above_a_file_that_is_read_again(start, tmp_path):
    program = start({KEPT: {"hooks": []}}, options=("--json", "--path", "/sockets"))
    told = program.ask_with_key("POST", "/reload", {}).json
    assert told["needs_restart"] == told["settings"] == []
    assert program.says("reloaded").startswith("{")


def test_reloads_under_load_lose_nothing(start, join):
    program = start({KEPT: {"app": ECHO, "hooks": ["receive"]}, REMOVED: {"hooks": []}})
    clients = [join(program.stages[KEPT], to=program)[0] for _ in range(5)]
    rounds = 10
    for number in range(rounds):
        for client in clients:
            client.send({"n": number})
        timeout = 20.0 + number
        program.configure(
            lambda hosts, timeout=timeout: hosts.update(
                {KEPT: {"app": ECHO, "hooks": ["receive"], "timeout": timeout}}
            )
        )
        program.signal(signal.SIGHUP)
        program.says_again("reloaded", number + 1)
    for client in clients:
        assert [client.receive_json()["n"] for _ in range(rounds)] == list(range(rounds))
    assert not program.health()["dropped"]
