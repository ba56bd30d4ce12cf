"""The whole command: in this process, and as one of its own."""

from __future__ import annotations

import json
import os
import re
import select
import sys
from pathlib import Path

import pytest

from phlows_cli.cli.commands.doctor import doctor
from phlows_cli.cli.doctor.catalogue import CHECKS
from phlows_cli.cli.doctor.check import GROUPS
from tests.cli.doctor.serving import serving
from tests.cli.terminal import Terminal

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"
ROOT = str(Path(__file__).parents[3])
START = f"import sys\nsys.path.insert(0, {ROOT!r})\nfrom phlows_cli.app import run\n"
APP = (
    START
    + "".join(
        f"def ws_{hook}(*args, **data):\n    open('hook-ran', 'w').close()\n    return True\n"
        for hook in ("connect", "auth", "receive", "close")
    )
    + "run()\n"
)


def found(stdout):
    """The findings of --json by their names; a name may be there once a subject."""
    return {check["name"]: check for check in json.loads(stdout)["checks"]}


def test_every_check_is_documented_with_what_it_means_and_no_other():
    text = PAGE.read_text("utf-8")
    tables = {group: text.split(f"\n## {group}\n", 1)[1].split("\n## ", 1)[0] for group in GROUPS}
    documented = {
        (group, row[0], len(row[1]) > 20, len(row[2]) > 10)
        for group, table in tables.items()
        for row in re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    }
    assert documented == {(check.group, check.name, True, True) for check in CHECKS}


def test_names_of_checks_are_their_own():
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_the_groups_of_only_are_all_groups():
    (only,) = [param for param in doctor.params if param.name == "groups"]
    assert tuple(only.type.choices) == GROUPS


def test_a_working_broker_passes_and_none_of_its_hooks_is_run(program, environ, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    host = '[hosts."127.0.0.1"]\napp = "app.py"\nruntime = "resident"\n'
    with serving(tmp_path, host, environ) as (port, path):
        url = f"http://127.0.0.1:{port}"
        done = program("doctor", "--config", str(path), "--url", url, "--public", url, "--json")
    checks = found(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("app-parses", "app-boots", "app-hooks", "upgrade", "broker", "ready", "config"):
        assert checks[name]["status"] == "ok", checks[name]
    assert set(checks["config"]) == {"group", "name", "subject", "status", "message", "hint"}
    assert not (tmp_path / "hook-ran").exists()


def test_without_anything_it_says_where_to_begin(phlows, tmp_path):
    result = phlows("doctor", "--only", "broker", "--url", f"unix:{tmp_path}/none")
    assert result.exit_code == 1
    assert "phlows new chat" in result.stdout
    assert result.stdout.endswith("0 ok, 1 warning, 1 failed, 4 skipped\n")


def test_a_warning_is_a_failure_only_when_strict(phlows, config):
    config("app.test", text="trusted_proxies = []\n[bridge]\nallow = ['10.0.0.0/8']")
    assert phlows("doctor", "--only", "security").exit_code == 0
    assert phlows("doctor", "--only", "security", "--strict").exit_code == 1


def test_a_failure_says_what_to_do_below_it(phlows, config):
    config("app.test", text="[bridge]\nallow = ['0.0.0.0/0']")
    result = phlows("doctor", "--only", "security")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    (at,) = [number for number, line in enumerate(lines) if "bridge-allow" in line]
    assert lines[at].startswith("  ✗ fail  bridge-allow")
    assert lines[at + 1].strip().startswith("-> narrow bridge.allow")


def test_a_configuration_that_cannot_be_used_is_2_and_the_rest_is_looked_at(phlows, tmp_path):
    (tmp_path / "phlows.toml").write_text("[server]\nprot = 3001\n")
    result = phlows("doctor", "--json", "--only", "system", "--only", "broker")
    checks = found(result.stdout)
    assert result.exit_code == 2
    assert checks["config"]["status"] == "fail"
    assert "did you mean port?" in checks["config"]["message"]
    assert checks["descriptors"]["status"] in ("ok", "warn")
    assert json.loads(result.stdout)["status"] == "fail"


def test_only_the_named_hosts_are_looked_at(phlows, config):
    config("a.test", "b.test")
    result = phlows("doctor", "--json", "--only", "apps", "--host", "B.test")
    subjects = {check["subject"] for check in json.loads(result.stdout)["checks"]}
    assert subjects == {"b.test"}


def test_what_is_said_of_one_host_stands_together(phlows, config):
    config("a.test", "b.test")
    stdout = phlows("doctor", "--only", "apps").stdout
    assert stdout.count("a.test: only pushed to") == 1
    assert "(app-parses, app-boots, app-url, app-hooks too)" in stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "none.test"), "'none.test' is not registered; there are: a.test"),
        (("--public", "ftp://a.test"), "--public takes an address"),
        (("--timeout", "0"), "not in the range"),
        (("--only", "everything"), "is not one of"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(phlows, config, words, says):
    config("a.test")
    result = phlows("doctor", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_more_hosts_than_can_be_looked_at_are_told(phlows, config):
    config(*(f"h{number:03}.test" for number in range(105)))
    result = phlows("doctor", "--json", "--only", "apps")
    assert len({check["subject"] for check in json.loads(result.stdout)["checks"]}) == 100
    assert "the first 100 are looked at" in result.stderr


def test_what_hangs_is_cut_and_the_rest_is_told(program, tmp_path):
    php = tmp_path / "php"
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    php.write_text(f"#!/bin/sh\nexec sleep 600 > {alive}\n")
    php.chmod(0o755)
    (tmp_path / "app.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "phlows.toml").write_text(
        f'[server]\nstate_dir = "{tmp_path}"\n[interpreters]\nphp = "{php}"\n'
        '[hosts."a.test"]\napp = "app.py"\nruntime = "resident"\n'
        '[hosts."b.test"]\napp = "app.php"\n'
    )
    (tmp_path / "app.php").write_text("<?php\n")
    words = ("--timeout", "1", "--only", "php", "--only", "apps", "--json")
    done = program("doctor", *words, cwd=tmp_path)
    failed = {
        (check["name"], check["subject"])
        for check in json.loads(done.stdout)["checks"]
        if check["status"] == "fail"
    }
    assert done.returncode == 1
    assert failed >= {("php", ""), ("app-boots", "a.test"), ("app-parses", "b.test")}
    # Nothing that was started is left: all who held the pipe are gone.
    assert select.select([reader], [], [], 20)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_in_a_pipe_there_is_neither_colour_nor_progress(program):
    done = program("doctor", "--only", "security")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout


@pytest.mark.parametrize(("more", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colour_unless_it_wants_none(environ, more, has_colour):
    command = [sys.executable, "-m", "phlows_cli", "doctor", "--only", "security"]
    with Terminal(command, {**environ, **more, "TERM": "xterm"}) as terminal:
        said = terminal.wait_for(r"(?s)(.*\d+ skipped)")
    assert ("\x1b[32m" in said) == has_colour
    assert "looking: 1 of" in said
    assert "✓ ok" in said
