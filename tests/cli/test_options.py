from __future__ import annotations

import json
import os
import re

import click
import pytest

from phlows_cli.cli.main import cli
from phlows_cli.cli.options import registered_hosts, sole_host
from phlows_cli.config import load_config
from phlows_cli.errors import UsageError
from tests.cli.test_variables import walk

NUMBERS = {
    f"{' '.join(path)} {option.opts[0]}": option
    for path, command in walk(cli)
    for option in command.params
    if isinstance(option.type, click.types.FloatParamType)
}


@pytest.fixture
def completed():
    """Completes a host's name, given what --config was."""

    def complete(incomplete, config_path=None):
        ctx = click.Context(cli)
        ctx.params["config_path"] = config_path
        param = click.Option(["--host"])
        return [item.value for item in registered_hosts(ctx, param, incomplete)]

    return complete


def test_hosts_are_completed_from_the_configuration(config, completed):
    config("b.example.com", "app.example.com", "beta.example.com")
    assert completed("b") == ["b.example.com", "beta.example.com"]
    assert completed("") == ["app.example.com", "b.example.com", "beta.example.com"]


def test_hosts_are_completed_from_the_file_that_was_named(config, completed, tmp_path):
    other = tmp_path / "other.toml"
    os.replace(config("app.example.com"), other)  # noqa: PTH105 - no need for a Path
    assert completed("") == []
    assert completed("", str(other)) == ["app.example.com"]


@pytest.mark.parametrize("text", ["not toml", "[hosts.a]\nnonsense = 1"])
def test_a_bad_file_completes_nothing(tmp_path, completed, text):
    (tmp_path / "phlows.toml").write_text(text)
    assert completed("") == []


def test_the_only_host_need_not_be_named(config):
    assert sole_host(load_config(config("app.example.com"))) == "app.example.com"


def test_no_host_at_all_is_told(config):
    path = config()
    with pytest.raises(UsageError) as error:
        sole_host(load_config(path))
    assert str(error.value) == f"no host is registered in {path}: name one with --host"


def test_several_hosts_are_named_but_not_all_of_many(config):
    with pytest.raises(UsageError) as error:
        sole_host(load_config(config("b", "a")))
    assert str(error.value) == "2 hosts are registered (a, b): name one with --host"
    with pytest.raises(UsageError) as error:
        sole_host(load_config(config(*(f"h{n}" for n in range(6)))))
    assert "6 hosts are registered (h0, h1, h2, h3, h4, ...)" in str(error.value)


@pytest.mark.parametrize(
    "line",
    [
        "completion bash",
        "config check",
        "config path",
        "config show",
        "config show server.port",
        "host list",
        "host remove a.test",
        "host show a.test",
        "new chat",
        "sdk php",
    ],
)
def test_the_help_of_json_names_what_the_answer_holds(phlows, config, line):
    config("a.test")
    answer = json.loads(phlows(*line.split(), "--json").stdout)
    words = line.split()[: 2 if line.startswith(("config", "host")) else 1]
    shown = " ".join(phlows(*words, "--help").stdout.partition("--json")[2].split())
    one = answer[0] if isinstance(answer, list) and answer else answer
    assert not isinstance(answer, list) or shown.startswith("Print JSON, not text: an array of")
    if "the settings of the host" not in shown and line != "host list":
        assert all(key in shown for key in one)


@pytest.mark.parametrize("line", ["cast", "status", "tail", "orphans list", "bench fanout"])
def test_the_help_of_a_command_that_uses_the_key_names_its_variable(phlows, line):
    assert "PHLOWS_KEY" in phlows(*line.split(), "--help").stdout


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_is_finite(name, number, phlows):
    """Where click would let it pass, the configuration's check is what refuses it."""
    *words, option = name.split()
    needed = {"host": ["x.test", "--hooks", "none"], "hook": ["receive", "--app", "none.php"]}
    done = phlows(*words, *needed.get(words[0], []), f"{option}={number}")
    assert done.exit_code == 2
    value = re.escape(str(float(number)))
    said = rf"'{option}': ({number}|{value}) is not|must be a number, not {value}"
    assert re.search(said, done.stderr), done.stderr
