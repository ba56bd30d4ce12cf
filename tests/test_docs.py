"""What the documents say is so: settings, commands, examples, references."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from phlows_cli import settings
from phlows_cli.cli.main import cli
from phlows_cli.config import load_config
from phlows_cli.model import CloseCode
from phlows_cli.server.bridge import ROUTES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
TABLES = {f"[{name}]": table for name, table in settings.SECTIONS.items()}
TABLES['[hosts."app.example.com"]'] = settings.HOST


def blocks(text, language):
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def headings(text):
    """The headings of a page; numbers before them are not part of their names."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(r"^\d+\. ", "", h) for h in re.findall(r"^#+ (.*)$", outside, re.MULTILINE)]


def section(text, heading):
    """What stands under one heading, up to the next of its kind."""
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text):
    """The cells of every table row, without the rows that head a table."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# Settings


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_is_documented_and_every_documented_one_exists(table):
    documented = [row[0].strip("`") for row in rows(section(TEXTS["configuration.md"], table))]
    assert documented == [setting.name for setting in TABLES[table]]


@pytest.mark.parametrize("table", TABLES)
def test_defaults_and_bounds_are_those_of_the_table_of_settings(table):
    documented = {r[0].strip("`"): r for r in rows(section(TEXTS["configuration.md"], table))}
    for setting in TABLES[table]:
        _, default, bounds, what = documented[setting.name]
        assert tomllib.loads(f"x = {default.strip('`')}")["x"] == setting.default, setting.name
        assert bounds == (setting.bounds if setting.high else ""), setting.name
        assert len(what) > 20, setting.name


@pytest.mark.parametrize(
    ("page", "number"),
    [(name, n) for name, text in TEXTS.items() for n in range(len(blocks(text, "toml")))],
)
def test_every_toml_example_is_a_config_without_a_problem(page, number, tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text(blocks(TEXTS[page], "toml")[number], encoding="utf-8")
    assert load_config(path).hosts


def test_every_variable_that_an_option_reads_is_documented():
    """Those that are named after their command by their rule, the others by name."""
    names = {param.envvar for command in all_commands(cli) for param in command.params}
    own = set(re.findall(r"`(PHLOWS_\w+)`", TEXTS["commands.md"]))
    assert {name for name in names if name} <= own
    described = section(TEXTS["configuration.md"], "The environment")
    assert "`PHLOWS_<COMMAND>_<OPTION>`" in described
    for name in ("CONFIG", "KEY", "URL", "HOST", "LISTEN", "PORT"):
        assert f"`PHLOWS_{name}`" in described


# Commands


def all_commands(command):
    yield command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                yield from all_commands(command.get_command(context, name))


def typed(text):
    """The phlows commands in the shell blocks of a page."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("phlows ")]


def leaf(words):
    """The command that the words name, and the words that are left for it."""
    command, words = cli, list(words)
    while isinstance(command, click.Group) and words:
        with click.Context(command) as context:
            name = words.pop(0)
            command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
    return command, words


def test_the_readme_shows_commands_to_type():
    assert len(typed(TEXTS["README.md"])) >= 8


@pytest.mark.parametrize("line", [line for text in TEXTS.values() for line in typed(text)])
def test_every_command_that_is_shown_can_be_typed(line):
    command, words = leaf(shlex.split(re.split(" [|>] ", line)[0])[1:])
    with command.make_context(command.name, words):  # parses, and complains as a terminal would
        pass


def test_every_command_that_is_mentioned_exists():
    mentioned = set()
    for text in TEXTS.values():
        for words in re.findall(r"`phlows((?: [a-z]+)+)", text):
            command, _ = leaf(words.split())
            mentioned.add(command.name)
    assert {"serve", "add", "list", "show", "remove", "hook", "cast", "status", "tail"} <= mentioned


# The protocol


def test_every_route_of_the_bridge_is_described_and_no_other():
    described = set(
        re.findall(r"`(GET|POST) (/[\w/]+)", section(TEXTS["protocol.md"], "The bridge"))
    )
    assert described == {(route.method, path) for path, route in ROUTES.items()}


def test_every_close_code_of_the_table_is_one_of_ours():
    table = TEXTS["protocol.md"].split("### Close codes", 1)[1].split("\n## ", 1)[0]
    rows_of_codes = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    codes = {int(code) for row in rows_of_codes for code in row.split(",")}
    assert codes >= {1000, 1011, 1012, 1013, 4000, 4001, 4500, 4501, 4502}
    assert codes <= {int(code) for code in CloseCode}


def test_every_heading_that_the_code_refers_to_exists():
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "phlows_cli").rglob("*.py"))
    named = set(re.findall(r'docs/protocol\.md, "([^"]*)"', sources))
    assert named
    assert named - set(headings(TEXTS["protocol.md"])) == set()


# Links, files and code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_checkout_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page.name]):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        anchors = {anchor_of(h) for h in headings(file.read_text("utf-8"))} if anchor else {""}
        assert anchor in anchors, target


def anchor_of(heading):
    """How GitHub names a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


LAYERS = ("broker", "journal", "runtime", "server", "wire")


def test_the_architecture_names_every_file_of_the_layers_and_none_that_is_not_there():
    layout = blocks(TEXTS["ARCHITECTURE.md"], "")[1]
    named = set(re.findall(r"\b\w+\.py\b", layout))
    package = ROOT / "phlows_cli"
    inner = {path.name for layer in LAYERS for path in (package / layer).glob("[a-z]*.py")}
    assert len(inner) > 30
    assert inner - named == set()
    assert named - {path.name for path in package.rglob("*.py")} == set()


@pytest.mark.parametrize(("token", "answer"), [("Ann", "true\n"), ("Mallory", "false\n")])
def test_the_python_app_of_the_readme_does_what_it_says(token, answer, tmp_path):
    (code,) = blocks(TEXTS["README.md"], "python")
    (tmp_path / "chat.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "chat.py", "ws::auth", "example.com", token, "s1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == answer


@pytest.mark.php
@pytest.mark.parametrize(("token", "answer"), [("Ann", "true\n"), ("Mallory", "false\n")])
def test_the_php_app_of_the_readme_does_what_it_says(token, answer, tmp_path):
    (code,) = blocks(TEXTS["README.md"], "php")
    (tmp_path / "app.php").write_text(code)
    shutil.copy(ROOT / "phlows_cli" / "assets" / "phlows.php", tmp_path)
    php = shutil.which("php-zts") or shutil.which("php")
    done = subprocess.run(
        [php, tmp_path / "app.php", "ws::auth", "localhost", token, "s1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == answer


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile():
    shown = [line for block in blocks(TEXTS["README.md"], "sh") for line in block.splitlines()]
    targets = {line.split()[1] for line in shown if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
