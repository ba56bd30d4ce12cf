"""What is wrong before and around the broker: files, ports, apps, interpreters."""

from __future__ import annotations

import pytest

from tests.conformance.client import RefusedError
from tests.conformance.command import check, run, serve
from tests.conformance.program import environment
from tests.ports import free_port

HOST = "app.example.com"


@pytest.mark.parametrize("command", [check, serve])
@pytest.mark.parametrize(
    ("config", "line", "meant"),
    [
        ("[server]\nport = 3001\nlisten_on = '::1'\n", 3, "listen"),
        ("[limits]\n\n# bytes\nmax_mesage = 1\n", 4, "max_message"),
        ("[hosts.'app.example.com']\nhooks = []\nauht = 'none'\n", 3, "auth"),
        ("[server]\nport = 3001\n[limts]\nqueue = 1\n", 3, "limits"),
        ("[bridge]\nnonsense = 1\n", 2, "allow"),
        ("[server]\nport = 70000\n", 2, "65535"),
        ("[server]\nport = '3001'\n", 2, "port"),
        ("[limits]\nqueue = 0\n", 2, "queue"),
        ("[server]\nport = 3001\nport = 3002\n", 3, "TOML"),
        ("[server\n", 1, ""),
        ("[hosts.'app.example.com']\n", 1, "app"),
        ("[hosts.'app.example.com']\napp = 'x.php'\nruntime = 'fast'\n", 3, "oneshot"),
    ],
)
def test_a_wrong_setting_exits_2_with_its_line_and_what_was_meant(
    tmp_path, command, config, line, meant
):
    code, said = command(tmp_path, config)
    assert code == 2
    assert f"phlows.toml:{line}: " in said
    assert meant in said


def test_every_problem_is_printed_from_the_top_down(tmp_path):
    config = "[server]\nprot = 1\n[limits]\nqueue = -1\n[hosts.'a']\nhook = []\nhooks = []\n"
    code, said = check(tmp_path, config)
    assert code == 2
    lines = [int(line.split("phlows.toml:")[1].split(":")[0]) for line in said.splitlines()[:-1]]
    assert lines == [2, 4, 6]
    assert "3 problems" in said


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"\x00" * 100, b"[server]\nport = 3001 \x01\n", b"[" * 100_000],
    ids=["not UTF-8", "zeros", "a control character", "deep"],
)
def test_a_file_that_is_no_toml_is_said_to_be_none(tmp_path, content):
    (tmp_path / "phlows.toml").write_bytes(content)
    for command in (["serve"], ["config", "check"]):
        code, said, errors = run(
            *command, "--config", str(tmp_path / "phlows.toml"), environ=environment(tmp_path)
        )
        assert code == 2
        assert "phlows.toml" in said + errors


def test_a_config_that_is_not_there_is_said_so(tmp_path):
    for name in ("absent.toml", "."):
        code, _, errors = run(
            "serve", "--config", str(tmp_path / name), environ=environment(tmp_path)
        )
        assert code == 2
        assert errors.strip()


def test_no_php_at_all_is_said_before_anything_is_served(tmp_path):
    (tmp_path / "phlows.toml").write_text(
        f"[server]\nport = {free_port()}\nstate_dir = '{tmp_path}'\n"
        "[hosts.'app.example.com']\napp = 'app.php'\n"
    )
    environ = {**environment(tmp_path), "PATH": str(tmp_path)}
    code, _, errors = run("serve", "--config", str(tmp_path / "phlows.toml"), environ=environ)
    assert code == 2
    assert "no php found" in errors
    assert "interpreters.php" in errors


def test_an_app_that_is_missing_fails_its_hooks_until_it_is_there(start, connect, tmp_path):
    app = tmp_path / "app.sh"
    hosts = {HOST: {"app": str(app), "auth": "none", "hooks": ["connect"]}}
    hosts["push.example.com"] = {"hooks": []}
    program = start(hosts)
    assert HOST in program.says("is missing")
    assert connect(program.stages[HOST], to=program).closed() == 1011
    assert str(app) in program.says("hook failed")
    draft = tmp_path / "draft.sh"
    draft.write_text("#!/bin/sh\necho true\n")
    draft.chmod(0o755)
    draft.rename(app)
    program.admitted(connect(program.stages[HOST], to=program))
    program.admitted(connect(program.stages["push.example.com"], to=program))


INTERPRETER = """#!/bin/sh
# What php is to phlows: `-n -r` asks for its version, else it runs a file.
case $1 in -n) echo 8.4.0 ;; *) exec /bin/sh "$@" ;; esac
"""
APP = """case $1 in *::receive) echo "$5" ;; *) echo true ;; esac
"""


def install(path):
    draft = path.with_name("draft")
    draft.write_text(INTERPRETER)
    draft.chmod(0o755)
    draft.rename(path)


@pytest.fixture
def program(start, tmp_path):
    """A broker whose PHP can be taken away."""
    install(tmp_path / "php")
    (tmp_path / "app.php").write_text(APP)
    app = {"app": str(tmp_path / "app.php")}
    hosts = {
        HOST: {**app, "auth": "none", "hooks": ["connect", "receive"]},
        "upgrade.example.com": {**app, "auth": "upgrade"},
        "push.example.com": {"hooks": []},
    }
    return start(hosts, interpreters={"php": str(tmp_path / "php")})


def test_php_that_is_removed_while_running_fails_hooks_until_it_is_back(
    program, connect, join, tmp_path
):
    stage = program.stages[HOST]
    client, _ = join(stage, to=program)
    neighbour, neighbour_id = join(program.stages["push.example.com"], to=program)
    client.send({"n": 1})
    assert client.receive_json() == {"n": 1}
    (tmp_path / "php").unlink()
    client.send({"n": 2})
    assert set(client.receive_json()) == {"error"}
    assert connect(stage, to=program).closed() == 1011
    with pytest.raises(RefusedError) as refused:
        connect(program.stages["upgrade.example.com"], to=program, cookie="topsecret")
    assert refused.value.status == 401
    assert f"{tmp_path}/php does not exist" in program.says("hook failed")
    assert program.ask("GET", "/ready").status == 200
    assert program.cast("push.example.com", {"n": 1}, neighbour_id)["sent"] == 1
    assert neighbour.receive_json() == {"n": 1}
    install(tmp_path / "php")
    client.send({"n": 3})
    assert client.receive_json() == {"n": 3}
    program.admitted(connect(stage, to=program))
    program.admitted(connect(program.stages["upgrade.example.com"], to=program, cookie="topsecret"))


def test_php_that_cannot_be_run_any_more_fails_hooks_alike(program, join, tmp_path):
    client, _ = join(program.stages[HOST], to=program)
    draft = tmp_path / "draft"
    draft.write_bytes(b"\x00 not a program")
    draft.chmod(0o755)
    draft.rename(tmp_path / "php")
    client.send({"n": 1})
    assert set(client.receive_json()) == {"error"}
    assert "#!" in program.says("hook failed")
    install(tmp_path / "php")
    client.send({"n": 2})
    assert client.receive_json() == {"n": 2}
