"""Where the broker listens: IPv4, IPv6, unix sockets; and what it says of it."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys

import pytest

from tests.conformance.web import call

HOST = "listens.example.com"


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture
def path(tmp_path_factory):
    """A short one: the system takes about a hundred bytes."""
    return tmp_path_factory.mktemp("s") / "b.sock"


@pytest.fixture
def everywhere(start, path):
    listen = ["127.0.0.1", f"unix:{path}"] + (["::1"] if has_ipv6() else [])
    hosts = {HOST: {"app": "python"}, "::1": {"app": "python", "auth": "none"}}
    return start(hosts, server={"listen": listen}, bridge={"allow": ["127.0.0.0/8", "unix"]})


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_sockets_open_over_ipv6(everywhere, connect, token):
    stage = everywhere.stages[HOST]
    address = ("::1", everywhere.address[1])
    client = connect(stage, address=address, cookie=token)
    socket_id = everywhere.admitted(client)
    assert everywhere.events.first(type="open", socket=socket_id)["address"] == "::1"
    assert everywhere.cast(HOST, {"n": 1})["sent"] == 1
    assert client.receive_json() == {"n": 1}


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_address_can_be_a_host(everywhere, connect):
    port = everywhere.address[1]
    stage = everywhere.stages["::1"]
    connect(stage, address=("::1", port), host=f"[::1]:{port}")
    assert stage.call("connect").argv[1] == "::1"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_peer_outside_bridge_allow_needs_the_key(everywhere):
    address = ("::1", everywhere.address[1])
    assert call(address, "GET", "/health").status == 401
    header = ("Authorization", f"Bearer {everywhere.key}")
    assert call(address, "GET", "/health", None, [header]).status == 200


def test_sockets_open_and_casts_go_over_a_unix_socket(everywhere, connect, path, token):
    stage = everywhere.stages[HOST]
    client = connect(stage, address=str(path), cookie=token)
    socket_id = everywhere.admitted(client)
    assert everywhere.events.first(type="open", socket=socket_id)["address"] == "unix"
    body = {"host": HOST, "data": {"n": 1}}
    assert call(str(path), "POST", "/message", body, host="localhost").json["sent"] == 1
    assert client.receive_json() == {"n": 1}


def test_a_peer_on_a_unix_socket_may_say_for_whom_it_forwards(everywhere, connect, path):
    stage = everywhere.stages[HOST]
    forwarded = [("X-Forwarded-Host", HOST), ("X-Forwarded-For", "203.0.113.9")]
    client = connect(stage, address=str(path), host="inner", headers=forwarded)
    socket_id = everywhere.socket_of(client)
    assert everywhere.events.first(type="open", socket=socket_id)["address"] == "203.0.113.9"


def test_peers_on_a_unix_socket_need_the_key_unless_they_are_allowed(start, path):
    program = start({HOST: {"hooks": []}}, server={"listen": ["127.0.0.1", f"unix:{path}"]})
    assert call(str(path), "GET", "/health").status == 401
    header = ("Authorization", f"Bearer {program.key}")
    assert call(str(path), "GET", "/health", None, [header]).status == 200


def test_the_unix_socket_is_for_its_owner_and_group_and_gone_at_the_end(everywhere, path):
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    everywhere.signal()
    assert everywhere.wait() == 0
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(start, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(str(path))
    program = start(
        {HOST: {"hooks": []}},
        server={"listen": ["127.0.0.1", f"unix:{path}"]},
        bridge={"allow": ["unix", "127.0.0.1"]},
    )
    assert call(str(path), "GET", "/ready").status == 200
    assert program.ask("GET", "/ready").status == 200


def serve(config, tmp_path):
    """Start a broker that is expected to end at once: its exit code and stderr."""
    file = tmp_path / "phlows.toml"
    file.write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "phlows_cli", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_unix_socket_in_use_is_left_alone(everywhere, path, tmp_path):
    config = f'[server]\nlisten = "unix:{path}"\nstate_dir = "{tmp_path}"\n'
    code, said = serve(config, tmp_path)
    assert code == 1
    assert str(path) in said
    assert "Traceback" not in said
    assert call(str(path), "GET", "/ready").status == 200


def test_a_file_that_is_no_socket_is_left_alone(path, tmp_path):
    path.write_text("precious")
    config = f'[server]\nlisten = "unix:{path}"\nstate_dir = "{tmp_path}"\n'
    code, said = serve(config, tmp_path)
    assert code == 1
    assert "not a socket" in said
    assert path.read_text() == "precious"


def test_a_port_in_use_is_said_with_what_to_do(everywhere, tmp_path):
    config = f'[server]\nport = {everywhere.address[1]}\nstate_dir = "{tmp_path}"\n'
    code, said = serve(config, tmp_path)
    assert code == 1
    assert f"port {everywhere.address[1]} is in use" in said
    assert "Traceback" not in said


def test_a_config_that_is_wrong_exits_2_with_the_line(tmp_path):
    code, said = serve("[server]\nprot = 3001\n", tmp_path)
    assert code == 2
    assert "phlows.toml:2" in said
    assert "port" in said


@pytest.mark.php
def test_the_banner_says_what_a_person_looks_for_first(everywhere, path):
    said = "\n".join(everywhere.stderr.all())
    assert f"http://127.0.0.1:{everywhere.address[1]}" in said
    assert f"unix:{path}" in said
    assert HOST in said
    assert "descriptors" in said
    assert "127.0.0.0/8" in said
    php = subprocess.run(
        ["php", "-r", "echo PHP_VERSION;"], capture_output=True, text=True, check=True
    )
    assert php.stdout in said


def test_the_log_can_be_lines_of_json(start, connect):
    program = start({HOST: {"app": "python"}}, server={"log_format": "json"})
    stage = program.stages[HOST]
    stage.plan(connect=[["complain", 'a "note"\twith\x1b signs'], ["exit", 3]])
    assert connect(stage, to=program).closed() == 1011
    program.signal()
    assert program.wait() == 0
    *lines, _ = program.stderr.all()
    entries = [json.loads(line) for line in lines]
    assert all({"time", "level", "part", "message"} <= set(entry) for entry in entries)
    by_message = {entry["message"]: entry for entry in entries}
    assert by_message["stderr"]["text"] == 'a "note"\twith\x1b signs'
    assert by_message["hook failed"]["hook"] == "connect"
    assert by_message["hook failed"]["host"] == HOST


def test_every_upgrade_path_of_the_config_works_and_star_takes_any(start, connect):
    program = start({HOST: {"hooks": []}}, server={"path": ["/a", "/b/c"]})
    for given in ("/a", "/b/c", "/b/c?token=x"):
        program.admitted(connect(program.stages[HOST], to=program, path=given))
    any_path = start({HOST: {"hooks": []}}, server={"path": "*"})
    for given in ("/", "/x/y?z", "/health"):
        any_path.admitted(connect(any_path.stages[HOST], to=any_path, path=given))
    assert any_path.ask("GET", "/health").status == 200


def test_apps_are_told_where_the_bridge_is_when_the_port_is_chosen_by_the_system(start, connect):
    program = start({HOST: {"app": "python", "auth": "none"}}, server={"port": 0})
    stage = program.stages[HOST]
    stage.plan(connect=[["cast", {"data": {"n": 1}}], ["print", "true"]])
    client = connect(stage, to=program)
    assert client.receive_json() == {"n": 1}
