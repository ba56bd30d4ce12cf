from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

import phlows_cli
from phlows_cli.cli.lazy import help_width
from phlows_cli.cli.main import COMMANDS, Program, cli
from phlows_cli.errors import (
    BrokerUnreachableError,
    ConfigError,
    PhlowsError,
    RefusedError,
    TimedOutError,
    UsageError,
)

BOOLEANS = "known are 0, 1, f, false, n, no, off, on, t, true, y, yes"
ROWS = [row for section in COMMANDS for row in section.rows]

BARE_CLICK = """
import click
@click.group()
def cli(): "A group."
@cli.command()
def command(): "A command."
"""
PHLOWS = "from phlows_cli.cli.main import cli"
HEAVY = {
    "asyncio", "json", "requests", "rich", "uvloop", "msgspec", "tomllib", "httptools",
    "websockets", "shutil", "dataclasses", "subprocess", "socket", "importlib.metadata",
}  # fmt: skip


def modules_of_help(program, environ):
    """The modules that exist once the help is printed."""
    end = "try: cli.main(['--help'], 'x')\nexcept SystemExit: pass\n"
    script = f"import sys\n{program}\n{end}sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    assert "Usage: x" in done.stdout
    return set(done.stderr.split())


def test_help_imports_nothing_but_click_and_what_click_imports(environ):
    ours = modules_of_help(PHLOWS, environ) - modules_of_help(BARE_CLICK, environ)
    assert ours - {"__future__"} == {
        "phlows_cli",
        "phlows_cli.cli",
        "phlows_cli.cli.lazy",
        "phlows_cli.cli.main",
        "phlows_cli.errors",
    }


def test_help_imports_nothing_heavy(environ):
    modules = modules_of_help(PHLOWS, environ)
    assert "click" in modules
    assert not HEAVY & modules - modules_of_help(BARE_CLICK, environ)


LIGHT = {
    "cast": {"msgspec", "decimal", "difflib", "phlows_cli.registry"},
    "status": {"msgspec", "decimal", "difflib", "phlows_cli.registry"},
    "completion": {"requests", "tomllib", "msgspec"},
}
"""Command -> what it may not import, besides what none of them may."""

NEVER = {"rich", "uvloop", "asyncio", "websockets", "httptools", "phlows_cli.service"}
"""What a command that asks a broker, or prints, can do without."""


@pytest.mark.parametrize("name", LIGHT)
def test_a_command_that_is_typed_often_imports_little(environ, config, recorder, name):
    config("app.test")
    recorder.answers["/message"] = recorder.answers["/health"] = (200, {"status": "ok"})
    line = {"cast": ["--toast", "hi"], "status": [], "completion": ["bash"]}[name]
    line += [] if name == "completion" else ["--url", recorder.url]
    script = f"import sys\n{PHLOWS}\ntry: cli.main({[name, *line]!r}, 'x')\n"
    script += "except SystemExit as end: assert not end.code, end.code\n"
    script += "sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    modules = set(done.stderr.split())
    assert f"phlows_cli.cli.commands.{name}" in modules
    assert not (NEVER | LIGHT[name]) & modules
    others = {each for each in modules if each.startswith("phlows_cli.cli.commands.")}
    assert others == {f"phlows_cli.cli.commands.{name}"}


def test_an_answer_to_a_tab_imports_no_command_but_the_one_that_is_typed(environ, config):
    config("app.test")
    script = f"import sys\n{PHLOWS}\ntry: cli.main([], 'phlows')\nexcept SystemExit: pass\n"
    script += "sys.stderr.write(' '.join(sys.modules))"
    tab = {"_PHLOWS_COMPLETE": "fish_complete", "_PHLOWS_LINE": "phlows cast --host "}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**environ, **tab},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "word\tapp.test\t\n"
    assert not (NEVER | {"requests"}) & set(done.stderr.split())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table_says_of_a_command_what_the_command_says_of_itself(row):
    command = cli.get_command(click.Context(cli), row.name)
    assert (command.name, command.short_help) == (row.name, row.summary)


def test_the_help_groups_the_commands_by_purpose(phlows):
    text = phlows("--help").stdout
    titles = [f"{section.title}:" for section in COMMANDS]
    assert titles[:4] == ["Run:", "Apps:", "Look:", "Try & measure:"]
    assert [line for line in text.splitlines() if line in titles] == titles
    assert all(f"  {row.name} " in text for row in ROWS)


def test_the_module_can_be_run_and_tells_its_version(program):
    done = program("--version")
    assert (done.returncode, done.stdout) == (0, f"phlows {phlows_cli.__version__}\n")


def test_a_command_line_without_a_command_shows_the_help_and_is_a_usage_error(phlows):
    result = phlows()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Example: phlows serve" in result.stderr


def test_an_unknown_command_is_told_what_was_probably_meant(phlows):
    result = phlows("statsu")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: no command 'statsu': did you mean 'status'?\nsee `phlows --help`\n"
    )


def test_an_unknown_command_like_no_other_is_told_so(phlows):
    result = phlows("zzzzzz")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "error: no command 'zzzzzz'")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("host lst", "no command 'lst': did you mean 'list'?"),
        ("config chekc", "no command 'chekc': did you mean 'check'?"),
        ("orphans dorp", "no command 'dorp': did you mean 'drop'?"),
        ("tail --type clsoe", "'close': did you mean 'close'?"),
        ("tail --type=clsoe", "'close': did you mean 'close'?"),
        ("completion zhs", "'fish': did you mean 'zsh'?"),
        ("tail --type qqqq", "'cast', 'close'"),
    ],
)
def test_a_word_that_is_nearly_right_is_told_what_was_probably_meant(phlows, line, message):
    result = phlows(*line.split())
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0].endswith(message)


def test_a_choice_of_a_variable_is_told_what_was_probably_meant(phlows):
    result = phlows("tail", env={"PHLOWS_TAIL_TYPE": "clsoe"})
    assert result.exit_code == 2
    told = result.stderr.splitlines()[0]
    assert told.endswith("did you mean 'close'? (from PHLOWS_TAIL_TYPE)")
    typed = phlows("tail", "--type", "clsoe", env={"PHLOWS_TAIL_TYPE": "close"})
    assert "PHLOWS" not in typed.stderr


def test_an_unknown_option_is_one_line_and_where_to_look(phlows):
    result = phlows("status", "--jso")
    first, second = result.stderr.splitlines()
    assert result.exit_code == 2
    assert first.startswith("error: no such option")
    assert "--json" in first
    assert second == "see `phlows status --help`"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cast --targt x", "no such option '--targt': did you mean '--target'?"),
        ("cast --token x", "no such option '--token'"),
        ("cast --no-stat", "no such option '--no-stat': did you mean '--no-state'?"),
        ("bench connect --sockets 1", "no such option '--sockets'"),
        ("call --host h f", "no such option '--host': HOST is an argument, and stands alone"),
        ("connect --host h", "no such option '--host': HOST is an argument, and stands alone"),
    ],
)
def test_an_unknown_option_brings_one_that_is_really_like_it(phlows, line, message):
    result = phlows(*line.split())
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, f"error: {message}")


@pytest.mark.parametrize(
    ("line", "variable", "value", "message"),
    [
        ("serve", "PHLOWS_PORT", "x", "'--port': 'x' is not a valid integer (from PHLOWS_PORT)"),
        (
            "status",
            "PHLOWS_STATUS_JSON",
            "maybe",
            f"'--json': 'maybe' is not a valid boolean: {BOOLEANS} (from PHLOWS_STATUS_JSON)",
        ),
    ],
)
def test_a_wrong_value_of_a_variable_names_it_in_one_way(phlows, line, variable, value, message):
    result = phlows(line, env={variable: value})
    said = result.stderr.splitlines()[0]
    assert (result.exit_code, said) == (2, f"error: invalid value for {message}")
    assert "env var" not in phlows("serve", "--port", "x").stderr


@pytest.fixture
def failing():
    """A program whose one command raises what it is given."""

    def make(error):
        @click.group(cls=type("One", (Program,), {"get_command": click.Group.get_command}))
        def program():
            pass

        @program.command("status")
        @click.option("--json", "as_json", is_flag=True)
        def _status(as_json):
            raise error

        return program

    return make


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PhlowsError("it did not"), 1),
        (UsageError("not so"), 2),
        (ConfigError("bad", "phlows.toml", 3), 2),
        (BrokerUnreachableError("nobody"), 3),
        (RefusedError("no"), 4),
        (TimedOutError("late"), 6),
    ],
)
def test_an_error_is_one_line_on_stderr_and_its_exit_code(runner, failing, error, code):
    result = runner.invoke(failing(error), ["status"])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"error: {error}\n")


def test_an_error_with_json_is_an_object_on_stderr(runner, failing):
    result = runner.invoke(failing(RefusedError("no")), ["status", "--json"])
    assert (result.exit_code, result.stdout) == (4, "")
    assert json.loads(result.stderr) == {"status": "error", "message": "no"}


def test_a_usage_error_with_json_is_an_object_too(phlows):
    result = phlows("status", "--json", "--nonsense")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["message"].startswith("no such option")


def test_an_interrupt_is_130_without_a_traceback(runner, failing):
    result = runner.invoke(failing(KeyboardInterrupt()), ["status"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_errors_pass_through_to_a_caller_who_wants_them(failing):
    with pytest.raises(RefusedError):
        failing(RefusedError("no")).main(["status"], standalone_mode=False)


def test_an_unexpected_exception_is_not_swallowed(runner, failing):
    with pytest.raises(ZeroDivisionError):
        runner.invoke(failing(ZeroDivisionError()), ["status"], catch_exceptions=False)


def test_a_reader_who_leaves_is_no_news(environ):
    command = [sys.executable, "-m", "phlows_cli", "completion", "bash"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("columns", "width"), [("200", 78), ("70", 68), ("20", 50), ("nonsense", 78), ("0", 78)]
)
def test_the_help_is_as_wide_as_the_terminal_within_reason(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "stdout", open("out", "w"))  # noqa: SIM115, PTH123 - not a terminal
    assert help_width() == width
    sys.stdout.close()


def test_colour_is_off_where_the_environment_says_so(phlows, monkeypatch):
    @click.command()
    @click.pass_context
    def status(ctx):
        click.echo(repr(ctx.color))

    monkeypatch.setattr("phlows_cli.cli.commands.status.status", status)
    assert phlows("status").stdout == "None\n"
    assert phlows("status", env={"NO_COLOR": "1"}).stdout == "False\n"
