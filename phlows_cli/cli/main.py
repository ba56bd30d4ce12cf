"""The table of commands. Nothing heavy is imported to show it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from phlows_cli import __version__
from phlows_cli.cli.lazy import LazyGroup, Row, Section, help_width
from phlows_cli.errors import PhlowsError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETE_VAR: Final = "_PHLOWS_COMPLETE"
INTERRUPTED: Final = 130

COMMANDS: Final = (
    Section(
        "Run",
        (
            Row("serve", "Run the broker."),
            Row("demo", "Show what it can do, in a browser."),
            Row("reload", "Let the broker read its configuration again."),
            Row("drain", "Stop the broker in order."),
        ),
    ),
    Section(
        "Apps",
        (
            Row("new", "Write a small app to begin with."),
            Row("host", "Register, change and list the hosts and their apps."),
            Row("config", "Check, show, find or begin the configuration."),
            Row("workers", "List the resident workers, or replace them."),
            Row("sdk", "Print the file that a PHP app needs."),
        ),
    ),
    Section(
        "Look",
        (
            Row("status", "Show how the broker is doing."),
            Row("doctor", "Say what is wrong, and what to do about it."),
            Row("tail", "Follow what happens on the broker."),
            Row("orphans", "See and drop close hooks that were given up."),
        ),
    ),
    Section(
        "Try & measure",
        (
            Row("connect", "Talk to a WebSocket, by hand or in a pipe."),
            Row("cast", "Push a message to connected clients."),
            Row("hook", "Run one hook of an app, without a broker."),
            Row("call", "Let an app run one of its functions."),
            Row("bench", "Measure a broker, counting every message."),
            Row("record", "Record hook calls, to run them again."),
            Row("replay", "Run recorded hook calls again, and compare."),
        ),
    ),
    Section(
        "Deploy",
        (
            Row("service", "Print files for systemd, supervisor or pm2."),
            Row("proxy", "Print a web server's file: Caddy, nginx, FrankenPHP."),
        ),
    ),
    Section("Shell", (Row("completion", "Print or install a shell's completion script."),)),
)


HELP: Final = """\
Example: phlows serve

A realtime broker for PHP and Python apps: browsers connect over WebSocket,
your app answers four hooks, and `phlows cast` or your app pushes back.
"""


class Program(LazyGroup):
    """The root group: the one place where an error becomes an exit code."""

    sections = COMMANDS
    package = "phlows_cli.cli.commands"

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> Any:  # noqa: ANN401 - click's signature
        """Run a command line and exit with its code."""
        if None in (sys.stdin, sys.stdout, sys.stderr):
            from phlows_cli.cli.streams import fill_closed

            fill_closed()
        typed = sys.argv[1:] if args is None else list(args)
        if COMPLETE_VAR in os.environ:
            # Imported for its effect: it registers how phlows answers a shell.
            import phlows_cli.cli.shells  # noqa: F401
        extra.setdefault("terminal_width", help_width())
        if "NO_COLOR" in os.environ:
            extra.setdefault("color", False)
        try:
            code = super().main(
                typed,
                prog_name or "phlows",
                complete_var or COMPLETE_VAR,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except (PhlowsError, click.ClickException, click.Abort) as error:
            if not standalone_mode:
                raise
            code = _explain(error, typed)
        except OSError as error:
            code = _output_failed(error, typed)
        sys.exit(code if isinstance(code, int) else 0)


def _output_failed(error: OSError, typed: list[str]) -> int:
    """Say that stdout takes nothing; an error of anything else goes on."""
    from phlows_cli.cli.output import report
    from phlows_cli.cli.streams import is_of_output, settle, why
    from phlows_cli.cli.variables import wants_json

    if not is_of_output(error):
        raise error
    report(f"cannot write to stdout: {why(error)}", wants_json(typed))
    settle()
    return PhlowsError.exit_code


def _explain(error: Exception, typed: list[str]) -> int:
    """Say on stderr what went wrong; returns the exit code it stands for."""
    from phlows_cli.cli.output import note, report
    from phlows_cli.cli.variables import wants_json

    # Read off the command line: the error may come before options are parsed.
    as_json = wants_json(typed)
    if isinstance(error, PhlowsError):
        report(str(error), as_json)
        return error.exit_code
    if not isinstance(error, click.ClickException):
        return INTERRUPTED
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()
        return error.exit_code
    said = _said(error)
    report(said + _choice_meant(error, typed) + _variable_meant(error), as_json)
    if isinstance(error, click.UsageError) and error.ctx and not as_json:
        note(f"see `{error.ctx.command_path} --help`")
    return error.exit_code


def _said(error: click.ClickException) -> str:
    """Write what click says in our own way of saying it."""
    if isinstance(error, click.NoSuchOption):
        return f"no such option {error.option_name!r}{_option_meant(error)}"
    said = _sentence(error.format_message())
    # click lists "" with what is a yes or no, and has a second way to name a variable.
    said = said.replace(". Recognized values: , ", ": known are ")
    start, mark, rest = said.partition(" (env var: '")
    return start + rest.partition("')")[2] if mark else said


def _option_meant(error: click.NoSuchOption) -> str:
    """Name the option, or the argument, that was probably meant."""
    from phlows_cli.cli.lazy import did_you_mean

    typed = error.option_name.lstrip("-")
    params = error.ctx.command.params if error.ctx else []
    for param in params:
        if isinstance(param, click.Argument) and typed.upper() in _names(param):
            return f": {typed.upper()} is an argument, and stands alone"
    known = [name for param in params for name in (*param.opts, *param.secondary_opts)]
    options = {name.lstrip("-"): name for name in known if name.startswith("--")}
    meant = did_you_mean(typed, options, 0.7)
    return meant.replace("mean '", "mean '--")


def _names(argument: click.Argument) -> list[str]:
    """Words that an argument goes by in its command's usage."""
    shown = argument.metavar or (argument.name or "").upper()
    return "".join(each if each.isalpha() else " " for each in shown).split()


def _choice_meant(error: click.ClickException, typed: list[str]) -> str:
    """Name the choice that was probably meant; click says only which there are."""
    param = getattr(error, "param", None)
    if not isinstance(error, click.BadParameter) or param is None:
        return ""
    if not isinstance(param.type, click.Choice):
        return ""
    from phlows_cli.cli.lazy import did_you_mean

    given = [word.rpartition("=")[2] for word in typed]
    given += [os.environ.get(param.envvar, "")] if isinstance(param.envvar, str) else []
    wrong = next((word for word in given if word and repr(word) in error.message), "")
    return did_you_mean(wrong, map(str, param.type.choices)) if wrong else ""


def _variable_meant(error: click.ClickException) -> str:
    """Name the variable that a wrong value came from, where click does not."""
    param = getattr(error, "param", None)
    if not isinstance(error, click.BadParameter) or error.ctx is None or param is None:
        return ""
    source = error.ctx.get_parameter_source(param.name or "")
    if source != click.core.ParameterSource.ENVIRONMENT:
        return ""
    return f" (from {param.envvar})"


def _sentence(message: str) -> str:
    """Write click's message as our own are: one line, lower case, no period."""
    line = " ".join(message.split())
    return line[:1].lower() + line[1:].removesuffix(".")


@click.group(
    "phlows",
    cls=Program,
    help=HELP,
    short_help="A realtime broker for PHP and Python apps.",
    invoke_without_command=True,
)
@click.version_option(__version__, message="phlows %(version)s", help="Show the version.")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Show the help where no command was typed."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(click.UsageError.exit_code)
