from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_network
from pathlib import Path

import pytest

import phlows_cli
from phlows_cli import banner as module
from phlows_cli.banner import HOSTS_SHOWN, banner, php_version, problems
from phlows_cli.config import Config, Interpreters
from tests.builders import make_bridge, make_config, make_host, make_server


def shown(config, addresses=("http://127.0.0.1:3001",), descriptors=1024, sockets=768):
    return banner(config, list(addresses), descriptors, sockets)


def row(text, name):
    """The rows under a name, joined."""
    rows, is_mine = [], False
    for line in text.splitlines()[1:]:
        label, value = line[2:12].strip(), line[13:]
        is_mine = label == name or (is_mine and not label)
        if is_mine:
            rows.append(value)
    return rows


def with_interpreters(config, php, path=None):
    return Config(
        path, config.server, config.bridge, config.limits, Interpreters(php, "python"), config.hosts
    )


def test_it_says_where_it_listens_and_what_it_serves():
    config = make_config(
        make_host("a.test", app="/srv/a.php"),
        make_host("b.test", app="", hooks=frozenset(), auth="none"),
        server=make_server(paths=("/websocket", "/ws")),
    )
    text = shown(config, ["http://127.0.0.1:3001", "unix:/run/x.sock"])
    assert text.splitlines()[0] == f"phlows {phlows_cli.__version__}"
    assert row(text, "listening") == [
        "http://127.0.0.1:3001, unix:/run/x.sock  (sockets at /websocket, /ws)"
    ]
    assert row(text, "hosts") == [
        "a.test -> /srv/a.php  (auth: message)",
        "b.test -> push only  (auth: none)",
    ]
    assert row(text, "sockets") == ["768 at most, of 1,024 descriptors"]
    assert row(text, "config") == ["none: every setting is its default"]


def test_without_hosts_it_says_how_to_register_one():
    (line,) = row(shown(make_config()), "hosts")
    assert "phlows host add" in line


@pytest.mark.parametrize("more", [0, 1, 50])
def test_many_hosts_are_cut(more):
    hosts = [make_host(f"h{number}.test") for number in range(HOSTS_SHOWN + more)]
    lines = row(shown(make_config(*hosts)), "hosts")
    assert len(lines) == HOSTS_SHOWN + (more > 0)
    assert more == 0 or lines[-1] == f"and {more} more"


def test_it_names_its_config_file():
    config = with_interpreters(make_config(), "", Path("/etc/phlows/phlows.toml"))
    assert row(shown(config), "config") == ["/etc/phlows/phlows.toml"]


@pytest.mark.parametrize(
    ("bridge", "expected"),
    [
        ({}, "127.0.0.0/8, ::1/128 without a key; anyone with the key in state/key"),
        (
            {"allow": (ip_network("10.0.0.0/8"),), "allow_unix": True},
            "10.0.0.0/8, unix peers without a key; anyone with the key in state/key",
        ),
        ({"allow": ()}, "anyone with the key in state/key"),
    ],
)
def test_it_says_who_may_cast(bridge, expected):
    assert row(shown(make_config(bridge=make_bridge(**bridge))), "may cast") == [expected]


def test_a_key_from_the_environment_is_told_so(monkeypatch):
    monkeypatch.setenv("PHLOWS_KEY", "from-outside")
    (line,) = row(shown(make_config(bridge=make_bridge(allow=()))), "may cast")
    assert line == "anyone with the key in PHLOWS_KEY"


def program(tmp_path, script):
    path = tmp_path / "php"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_it_says_which_php_and_its_version(tmp_path):
    php = program(tmp_path, 'test "$1 $2" = "-n -r" && echo "8.4.1-dev $(basename $0)"')
    assert php_version(php) == f"{php} (8.4.1-dev php)"
    text = shown(with_interpreters(make_config(), php))
    assert row(text, "php") == [f"{php} (8.4.1-dev php)"]


def test_without_php_it_says_what_to_do():
    assert "install php-cli, or set interpreters.php" in php_version("")


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$"])
def test_a_php_that_does_not_run_is_said_so(tmp_path, script):
    assert "does not run (CalledProcessError): mend interpreters.php" in php_version(
        program(tmp_path, script)
    )


def test_a_php_that_is_no_program_is_said_so(tmp_path):
    assert "does not run (FileNotFoundError)" in php_version(str(tmp_path / "missing"))


def test_a_php_that_hangs_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION_TIMEOUT", 0.01)
    assert "does not run (TimeoutExpired)" in php_version(program(tmp_path, "exec sleep 5"))


def test_a_missing_app_is_a_problem_and_a_push_only_host_is_none(tmp_path):
    app = tmp_path / "app.php"
    app.touch()
    config = make_config(
        make_host("ok.test", app=str(app)),
        make_host("push.test", app=""),
        make_host("gone.test", app="/nowhere/app.php"),
        make_host("folder.test", app=str(tmp_path)),
    )
    assert problems(config) == [
        "host gone.test: app /nowhere/app.php is missing, its hooks will fail",
        f"host folder.test: app {tmp_path} is missing, its hooks will fail",
    ]


@pytest.mark.php
def test_a_real_php_tells_its_version():
    php = shutil.which("php-zts") or shutil.which("php")
    version = subprocess.check_output([php, "-r", "echo PHP_VERSION;"], text=True)
    assert php_version(php) == f"{php} ({version})"
