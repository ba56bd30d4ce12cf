"""phlows config show: every setting, and where its value comes from."""

from __future__ import annotations

import json
import os
import re

import pytest

from phlows_cli import settings
from phlows_cli.cli.config_template import starting_file

CONFIG = """\
[server]
port = 4000

[limits]
concurrency = 0
queue = 1000

[hosts."B.Example.com:80"]
app = "app.py"
hooks = ["connect"]
env = { API_KEY = "topsecret", MODE = "topsecret too" }

[hosts.url]
app = "https://user:hunter2@hooks.test/x?key=hunter2"
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def shown(phlows):
    def run(*args, **how):
        done = phlows("config", "show", "--json", *args, **how)
        assert done.exit_code == 0, done.stderr
        answer = json.loads(done.stdout)
        return {item["name"]: item for item in answer} if isinstance(answer, list) else answer

    return run


def test_every_setting_of_every_table_and_host_is_shown(file, shown):
    names = [f"{table}.{s.name}" for table, group in settings.SECTIONS.items() for s in group]
    hosts = [f'hosts."{n}".{s.name}' for n in ("b.example.com", "url") for s in settings.HOST]
    assert list(shown()) == names + hosts


def test_each_value_tells_where_it_comes_from(file, shown):
    found = shown()
    assert found["server.port"]["where"] == f"{file}:2"
    assert found["server.path"] == {
        "name": "server.path",
        "value": ["/websocket"],
        "source": "default",
        "where": "default",
        "default": "/websocket",
    }
    cores = len(os.sched_getaffinity(0))
    assert found["limits.concurrency"]["value"] == 4 * cores
    assert found["limits.concurrency"]["where"].startswith(f"derived: 4 x {cores} core")
    assert found["limits.queue"]["where"] == f"{file}:6"  # said, though it is the default
    assert found['hosts."b.example.com".hooks']["where"] == f"{file}:10"
    assert found['hosts."b.example.com".auth']["where"] == "derived: hooks has no auth"


def test_variables_and_options_stand_above_the_file(file, shown, monkeypatch):
    monkeypatch.setenv("PHLOWS_PORT", "4001")
    monkeypatch.setenv("PHLOWS_SERVE_PATH", "/a")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/x")
    found = shown("--listen", "::1")
    told = {name: (item["value"], item["where"]) for name, item in found.items()}
    assert told["server.port"] == (4001, "$PHLOWS_PORT")
    assert told["server.path"] == (["/a"], "$PHLOWS_SERVE_PATH")
    assert told["server.listen"] == (["::1"], "--listen")
    assert told["server.state_dir"] == ("/var/lib/x", "$STATE_DIRECTORY")
    assert {found[f"server.{n}"]["source"] for n in ("port", "path")} == {"environment"}
    assert found["server.listen"]["source"] == "command line"


def test_an_option_is_checked_as_the_file_is(file, phlows):
    done = phlows("config", "show", "--port", "70000")
    assert done.exit_code == 2
    assert "--port is 70000: it must be 0 to 65535" in done.stderr


def test_changed_leaves_out_defaults_and_what_is_derived_from_them(file, shown, phlows):
    assert set(shown("--changed")) == {
        "server.port",
        *(f'hosts."b.example.com".{name}' for name in ("app", "hooks", "env")),
        'hosts."url".app',
    }


@pytest.mark.parametrize("table", ["server", "limits", "bridge"])
def test_a_default_that_is_written_out_is_still_the_default(tmp_path, shown, table):
    text = starting_file().split(f"\n[{table}]\n")[1].split("\n\n")[0]
    text = re.sub("^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    (tmp_path / "phlows.toml").write_text(f"[{table}]\n{text}\n")
    assert shown("--changed") == {}


def test_no_setting_at_all_is_said(file, phlows):
    file.write_text("")
    done = phlows("config", "show", "--changed")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "every setting has its default" in done.stderr


@pytest.mark.parametrize("args", [(), ("--json",), ("b.example.com.env",), ("url",)])
def test_no_secret_of_the_file_or_the_environment_is_shown(file, phlows, monkeypatch, args):
    monkeypatch.setenv("PHLOWS_KEY", "thekeyitself")
    done = phlows("config", "show", *args)
    assert done.exit_code == 0
    said = done.stdout + done.stderr
    assert not re.search("topsecret|hunter2|thekeyitself", said)
    if "url" not in args:
        assert "API_KEY" in done.stdout


def test_that_env_is_masked_is_said(file, phlows):
    assert "of env the names alone are shown" in phlows("config", "show").stderr
    assert "of env" not in phlows("config", "show", "server").stderr


def test_a_key_of_the_environment_is_named_as_the_source(file, shown, monkeypatch):
    monkeypatch.setenv("PHLOWS_KEY", "x" * 40)
    assert shown("bridge.key_file")["source"] == "environment"


@pytest.mark.parametrize(
    ("name", "count"),
    [("server", len(settings.SERVER)), ("hosts.url", len(settings.HOST)), ("url", None)],
)
def test_a_table_or_a_host_can_be_asked_for(file, shown, name, count):
    assert len(shown(name)) == (count or len(settings.HOST))


def test_one_setting_comes_with_its_bounds_and_its_meaning(file, phlows):
    done = phlows("config", "show", "server.ping_interval")
    assert done.exit_code == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert lines[:4] == [
        ["server.ping_interval"],
        ["value", "25.0 seconds"],
        ["from", "default"],
        ["default", "25.0"],
    ]
    assert "0.1 to 3600 seconds" in done.stdout


@pytest.mark.parametrize(
    ("name", "meant"),
    [("server.prot", "server.port"), ("port", "server.port"), ("sevrer", "server")],
)
def test_a_name_that_is_not_one_brings_the_one_that_was_meant(file, phlows, name, meant):
    done = phlows("config", "show", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"did you mean {meant}?" in done.stderr


def test_without_a_file_the_defaults_are_shown_and_it_says_so(phlows):
    done = phlows("config", "show")
    assert done.exit_code == 0
    assert "port               3001" in done.stdout
    assert "`phlows config init` writes one" in done.stderr


def test_a_wrong_file_is_an_error_with_its_line(file, phlows):
    file.write_text("[server]\nprot = 1\n")
    done = phlows("config", "show")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{file}:2: unknown key server.prot" in done.stderr


def test_text_of_the_file_cannot_steer_a_terminal(file, phlows):
    file.write_text('[hosts.a]\napp = "x\\u001b[31m.py"\nhooks = ["connect"]\n')
    assert "\x1b" not in phlows("config", "show").stdout
