from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from phlows_cli.cli import reference
from phlows_cli.cli.main import cli
from phlows_cli.cli.manual import manual_page
from phlows_cli.cli.markdown import commands_page
from phlows_cli.cli.pages import Block, OptionLine, Page, pages_of
from phlows_cli.cli.reference import ROOT, differences, generate, main, write

FILES = generate()
PAGES = pages_of(cli, "phlows")
MANUAL = sorted(name for name in FILES if name.startswith("man/"))


def test_the_files_that_are_checked_in_are_those_that_would_be_generated():
    assert differences(ROOT, FILES) == []


def test_the_check_is_a_command(program):
    command = [sys.executable, "-m", "phlows_cli.cli.reference", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_was_changed_is_missing_or_is_left_over_is_told_and_mended(tmp_path):
    write(tmp_path, FILES)
    assert differences(tmp_path, FILES) == []
    (tmp_path / "man" / "phlows-gone.1").write_text("")
    (tmp_path / "docs" / "commands.md").write_text("edited")
    (tmp_path / "docs" / "protocol.md").write_text("somebody else's")
    (tmp_path / "completions" / "_phlows").unlink()
    expected = ["completions/_phlows", "docs/commands.md", "man/phlows-gone.1"]
    assert differences(tmp_path, FILES) == expected
    write(tmp_path, FILES)
    assert differences(tmp_path, FILES) == []
    assert (tmp_path / "docs" / "protocol.md").exists()


def test_the_command_names_what_it_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert main(["--check"]) == 1
    told = capsys.readouterr()
    assert told.out.split() == sorted(FILES)
    assert told.err == "out of date: python -m phlows_cli.cli.reference\n"
    assert not (tmp_path / "man").exists()
    assert main([]) == 0
    assert capsys.readouterr().out.split() == sorted(FILES)
    assert main(["--check"]) == 0


def all_commands(command, path, ctx=None):
    """Every command below this one, found by asking click alone."""
    ctx = click.Context(command, info_name=path, parent=ctx)
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from all_commands(command.get_command(ctx, name), f"{path} {name}", ctx)


COMMANDS = dict(all_commands(cli, "phlows"))


def test_the_commands_are_those_that_there_should_be():
    assert {"phlows serve", "phlows cast", "phlows hook", "phlows status", "phlows tail"} < set(
        COMMANDS
    )
    assert {f"phlows host {name}" for name in ("add", "remove", "list", "show")} < set(COMMANDS)
    assert "phlows completion" in COMMANDS


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_a_page_and_a_section_with_each_of_its_options(path):
    manual = FILES[f"man/{path.replace(' ', '-')}.1"].replace("\\-", "-")
    section = FILES["docs/commands.md"].partition(f"\n## {path}\n")[2].partition("\n## ")[0]
    for option in COMMANDS[path].params:
        for name in option.opts if isinstance(option, click.Option) else ():
            assert f"\\fB{name}\\fR" in manual
            assert f"`{name}`" in section


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_begins_with_an_example_that_is_this_command(path):
    result = subprocess.run(
        [sys.executable, "-m", "phlows_cli", *path.split()[1:], "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paragraphs = result.stdout.split("\n\n")
    assert paragraphs[1].lstrip().startswith("Example: ")
    assert path in paragraphs[1]


@pytest.mark.parametrize("path", [path for path in COMMANDS if path != "phlows"])
def test_every_command_that_answers_has_json(path):
    command = COMMANDS[path]
    if not isinstance(command, click.Group):
        assert "--json" in [name for option in command.params for name in option.opts]


@pytest.mark.parametrize("name", MANUAL)
def test_the_manual_is_sound(name):
    check_roff(FILES[name])


@pytest.mark.man
@pytest.mark.parametrize(
    "program",
    [
        ("man", "--warnings", "--encoding=UTF-8", "--local-file"),
        ("groff", "-man", "-ww", "-Tutf8"),
    ],
    ids=lambda program: program[0],
)
def test_the_programs_that_show_a_page_of_the_manual_warn_of_nothing(program, tmp_path):
    variables = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PATH": "/usr/bin:/bin"}
    for name in MANUAL:
        path = tmp_path / name.replace("/", "-")
        path.write_text(FILES[name], "utf-8")
        done = subprocess.run(
            [*program, str(path)], env=variables, capture_output=True, text=True, check=True
        )
        assert (name, done.stderr) == (name, "")
        assert "EXIT STATUS" in re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout), name


def check_roff(text):
    """What can be said of a page without a program that reads it."""
    known = {".TH", ".SH", ".B", ".BR", ".PP", ".TP", ".RS", ".RE", ".nf", ".fi", '.\\"'}
    lines = text.splitlines()
    assert {line.split()[0] for line in lines if line.startswith(".")} <= known
    assert not [line for line in lines if line.startswith("'")]
    assert not re.findall(r"\\(?![-e&\"]|f[BIR]|\((?:aq|ha|ti|ga))", text)
    assert lines.count(".nf") == lines.count(".fi") > 0
    headings = [line for line in lines if line.startswith(".SH")]
    assert headings[:4] == [".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLE", ".SH DESCRIPTION"]


def page(**changes):
    fields = {
        "name": "phlows x",
        "summary": "Do it.",
        "example": "phlows x",
        "arguments": (),
        "blocks": (),
        "options": (),
        "children": (),
    }
    return Page(**{**fields, **changes})


def test_roff_is_escaped():
    blocks = (
        Block(".dot `--a` 'quote' \\back ^ ~ `odd", is_verbatim=False),
        Block("'line\n.line", is_verbatim=True),
    )
    text = manual_page(page(blocks=blocks), [])
    check_roff(text)
    assert "\\&.dot" in text
    assert "\\(aqline\n\\&.line" in text
    assert "\\eback" in text


def test_code_is_bold_in_the_manual():
    blocks = (Block("Run `phlows -x` now, or `y`.", is_verbatim=False),)
    assert "Run \\fBphlows \\-x\\fR now, or \\fBy\\fR." in manual_page(page(blocks=blocks), [])


def test_markdown_is_escaped_outside_code():
    option = OptionLine(("-a", "--all"), "X|Y", "Not *bold*, `a*b` and <c>.", "PHLOWS_ALL")
    text = commands_page([page(options=(option,))])
    assert (
        "- `-a`, `--all` `X|Y`: Not \\*bold\\*, `a*b` and \\<c\\>. Environment: `PHLOWS_ALL`."
        in text
    )


def test_a_help_without_an_example_is_an_error():
    command = click.Command("x", help="Do it.")
    with pytest.raises(ValueError, match="'phlows x' does not begin with"):
        pages_of(command, "phlows x")


def test_arguments_stand_in_the_usage():
    arguments = [
        click.Argument(["name"]),
        click.Argument(["shell"], type=click.Choice(["a", "b"])),
        click.Argument(["the_rest"], nargs=-1),
        click.Argument(["items"], nargs=-1, metavar="[K=V]..."),
        click.Argument(["last"], required=False),
    ]
    (made,) = pages_of(click.Command("x", params=arguments, help="Example: x"), "x")
    assert made.usage == "[OPTIONS] NAME a|b [THE-REST]... [K=V]... [LAST]"


def test_every_page_is_referred_to_by_the_one_above():
    for made in PAGES:
        parent = made.name.rpartition(" ")[0]
        if parent:
            assert (
                f".BR {made.slug} (1)".replace("-", "\\-")
                in FILES[f"man/{parent.replace(' ', '-')}.1"]
            )
