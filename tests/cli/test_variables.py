"""An environment variable for each option."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from phlows_cli import model
from phlows_cli.cli.lazy import Group, LazyGroup, Row, Section
from phlows_cli.cli.main import cli
from phlows_cli.cli.variables import EXEMPT, TRUE, variable, wants_json

ROOT = Path(__file__).parents[2]


def walk(command, path=(), parent=None):
    ctx = click.Context(command, info_name=path[-1] if path else "phlows", parent=parent)
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from walk(command.get_command(ctx, name), (*path, name), ctx)


COMMANDS = {" ".join(path): command for path, command in walk(cli)}
OPTIONS = [
    (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]
SHARED = {"PHLOWS_CONFIG", "PHLOWS_URL", "PHLOWS_HOST", "PHLOWS_LISTEN", "PHLOWS_PORT"}
"""What several commands read, and so has a name without a command."""

SHARED |= {"PHLOWS_SERVE_PATH"}  # `config show` reads it, too: it shows what serve would do


def test_every_option_has_a_variable_but_those_that_say_yes_to_a_loss():
    without = {
        name
        for _, option in OPTIONS
        if not (option.envvar or option.is_eager)
        for name in option.opts
    }
    assert without <= EXEMPT


def test_a_variable_is_named_after_its_command_and_its_option():
    for path, option in OPTIONS:
        if option.envvar and option.envvar not in SHARED:
            names = {variable(tuple(path.split()), name) for name in option.opts}
            assert option.envvar in names, (path, option.opts)


def test_no_two_options_of_a_command_share_a_variable_and_no_variable_is_anothers():
    seen = {}
    for path, option in OPTIONS:
        if option.envvar and option.envvar not in SHARED:
            assert seen.setdefault(option.envvar, (path, option.name)) == (path, option.name)


def test_what_an_app_is_given_sets_no_option_but_the_shared_ones():
    """PHLOWS_URL is for the commands that a hook runs; a close's variables are for none."""
    runtime = "".join(path.read_text() for path in (ROOT / "phlows_cli/runtime").glob("*.py"))
    given = set(re.findall(r"PHLOWS_[A-Z_]+", runtime + Path(model.__file__).read_text()))
    assert {"PHLOWS_URL", "PHLOWS_CLOSE_"} <= given  # the latter is how names of a close begin
    read = {option.envvar for _, option in OPTIONS if option.envvar}
    assert read & given <= SHARED
    assert not [name for name in read if name.startswith("PHLOWS_CLOSE_")]


def test_every_group_says_what_was_probably_meant():
    groups = [command for command in COMMANDS.values() if isinstance(command, click.Group)]
    assert groups
    assert not [group.name for group in groups if not isinstance(group, Group)]


def test_the_variable_is_told_once_in_the_help(phlows):
    text = phlows("cast", "--help").stdout
    assert "Each option has a variable, too: --target is PHLOWS_CAST_TARGET." in text
    assert text.count("PHLOWS_CAST_") == 1


def test_a_variable_stands_for_its_option_and_the_option_is_above_it(phlows, config, recorder):
    config("app.example.com")
    recorder.answers["/message"] = (200, {"status": "ok", "host": "app.example.com"})
    env = {"PHLOWS_CAST_TITLE": "Zoë", "PHLOWS_URL": recorder.url, "PHLOWS_CAST_JSON": "1"}
    assert json.loads(phlows("cast", env=env).stdout)["status"] == "ok"
    phlows("cast", "--title", "typed", env=env)
    assert [json.loads(r.body)["data"]["title"] for r in recorder.requests] == ["Zoë", "typed"]


def test_an_option_that_may_be_repeated_takes_a_line_for_each_value(phlows, config, recorder):
    config("app.example.com")
    recorder.answers["/message"] = (200, {"status": "ok", "host": "app.example.com"})
    env = {"PHLOWS_CAST_TOAST": "back in five\nminutes", "PHLOWS_URL": recorder.url}
    phlows("cast", env=env)
    (request,) = recorder.requests
    assert json.loads(request.body)["data"] == {"toast": ["back in five", "minutes"]}


def test_a_flag_that_says_yes_to_a_loss_is_no_variable(phlows, config):
    path = config("app.example.com")
    before = path.read_text()
    done = phlows(
        "host", "add", "app.example.com", "--hooks", "none",
        env={"PHLOWS_HOST_ADD_REPLACE": "1"},
    )  # fmt: skip
    assert done.exit_code != 0
    assert path.read_text() == before


@pytest.mark.parametrize("value", [*sorted(TRUE), "TRUE"])
def test_an_error_is_json_where_the_variable_asks_for_it(phlows, value):
    done = phlows("host", "show", "nobody", env={"PHLOWS_HOST_SHOW_JSON": value})
    assert json.loads(done.stderr)["status"] == "error"


def test_a_variable_of_another_command_or_one_that_says_no_is_not_asked(monkeypatch):
    monkeypatch.setenv("PHLOWS_HOST_SHOW_JSON", "1")
    monkeypatch.setenv("PHLOWS_STATUS_JSON", "0")
    assert wants_json(["host", "show", "x"])
    assert not wants_json(["host", "list"])
    assert not wants_json(["status"])
    assert not wants_json(["--version"])


def test_a_table_of_commands_below_another_names_its_variables_too(monkeypatch):
    class Inner(LazyGroup):
        sections = (Section("Only", (Row("leaf", "A leaf."),)),)
        package = "tests_inner"

    leaf = click.Command("leaf", params=[click.Option(["--hook-class"])])
    monkeypatch.setitem(sys.modules, "tests_inner.leaf", SimpleNamespace(leaf=leaf))
    outer = click.Context(Inner("inner"), info_name="inner", parent=click.Context(cli))
    outer.command.get_command(outer, "leaf")
    assert leaf.params[0].envvar == "PHLOWS_INNER_LEAF_HOOK_CLASS"
