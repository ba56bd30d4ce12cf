"""phlows config path and init: which file it is, and how it begins."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from phlows_cli import settings
from phlows_cli.cli.config_template import starting_file
from phlows_cli.config import load_config


def test_the_file_that_would_be_used_is_printed(phlows, config):
    path = config()
    done = phlows("config", "path")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{path}\n", "")


def test_verbose_tells_where_it_was_looked_for_in_order(phlows, config, tmp_path):
    path = config()
    done = phlows("config", "path", "--verbose")
    places = [line.split() for line in done.stderr.splitlines()]
    assert places[0] == ["used", "the", "working", "folder", str(path)]
    assert places[1][-1].startswith(str(tmp_path / "home"))
    assert places[2] == ["-", "the", "system's", "folder", "/etc/phlows/phlows.toml"]


def test_a_file_that_is_named_is_the_only_place(phlows, config, monkeypatch, tmp_path):
    path = config().rename(tmp_path / "other.toml")
    assert phlows("config", "path", "-c", "other.toml").stdout == f"{path}\n"
    monkeypatch.setenv("PHLOWS_CONFIG", str(path))
    done = phlows("config", "path", "--json")
    assert json.loads(done.stdout) == {
        "path": str(path),
        "searched": [{"place": "$PHLOWS_CONFIG", "path": str(path), "is_used": True}],
    }


def test_without_a_file_the_places_are_told_and_the_exit_code_is_2(phlows, tmp_path):
    done = phlows("config", "path")
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(tmp_path / "phlows.toml") in done.stderr
    assert "`phlows config init` writes one" in done.stderr
    done = phlows("config", "path", "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["path"]) == (2, None)
    assert str(tmp_path / "phlows.toml") in [place["path"] for place in told["searched"]]
    assert not any(place["is_used"] for place in told["searched"])
    assert json.loads(done.stderr)["status"] == "error"
    done = phlows("config", "path", "-c", "missing.toml")
    assert done.exit_code == 2
    assert "missing.toml: there is no such config file" in done.stderr


def test_the_file_that_init_writes_has_no_problem_and_changes_nothing(phlows, tmp_path):
    done = phlows("config", "init")
    path = tmp_path / "phlows.toml"
    assert (done.exit_code, done.stdout) == (0, f"wrote {path}\n")
    assert phlows("config", "check").stdout == f"{path} is fine\n"
    written, nothing = load_config(path), load_config(None)
    assert (written.server, written.limits) == (nothing.server, nothing.limits)
    assert (written.bridge, dict(written.hosts)) == (nothing.bridge, {})
    assert phlows("config", "show", "--changed").stdout == ""


def test_each_setting_stands_in_its_table_with_its_default_and_reason():
    text = starting_file()
    switched_on = tomllib.loads(re.sub("^# (?=[a-z_]+ = |\\[)", "", text, flags=re.MULTILINE))
    host = switched_on.pop("hosts")["app.example.com"]
    host["app"] = ""
    assert host == {setting.name: setting.default for setting in settings.HOST}
    assert switched_on == {
        name: {setting.name: setting.default for setting in table}
        for name, table in settings.SECTIONS.items()
    }
    comments = " ".join(line[3:] for line in text.splitlines() if line.startswith("## "))
    for table in (*settings.SECTIONS.values(), settings.HOST):
        for setting in table:
            assert setting.reason in comments, setting.name
            assert setting.bounds in comments or not setting.high, setting.name


def test_switched_on_it_is_a_configuration_without_a_problem(phlows, tmp_path):
    (tmp_path / "phlows.toml").write_text(
        re.sub("^# (?=[a-z_]+ = |\\[)", "", starting_file(), flags=re.MULTILINE)
    )
    assert phlows("config", "check").exit_code == 0


def test_the_lines_are_short_enough_to_read():
    assert max(map(len, starting_file().splitlines())) <= 100


def test_init_leaves_a_file_that_exists_alone_unless_forced(phlows, config):
    path = config("a.test")
    before = path.read_text()
    done = phlows("config", "init", "--json")
    assert (done.exit_code, path.read_text()) == (2, before)
    assert "phlows.toml exists: give --force" in json.loads(done.stderr)["message"]
    done = phlows("config", "init", str(path), "--force", "--json")
    assert json.loads(done.stdout) == {"path": str(path)}
    assert path.read_text() == starting_file()


def test_what_cannot_be_written_is_told(phlows, tmp_path):
    done = phlows("config", "init", "no/such/folder.toml")
    assert done.exit_code == 1
    assert "folder no/such does not exist" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "path"])
def test_a_folder_is_no_configuration(phlows, tmp_path, command):
    assert phlows("config", command, "-c", str(tmp_path)).exit_code == 2
