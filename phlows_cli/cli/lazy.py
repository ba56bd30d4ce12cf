"""A group whose commands are imported when they are run, not before."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem


class Row(NamedTuple):
    """One command: its name, its module's name too, and its line of help."""

    name: str
    summary: str


class Section(NamedTuple):
    """Commands with one purpose, under one title of the help."""

    title: str
    rows: tuple[Row, ...]


class Group(click.Group):
    """A group that says what was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or say what was probably meant."""
        name, known = args[0], self.list_commands(ctx)
        if name in known or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"no command {name!r}{did_you_mean(name, known)}", ctx)


class LazyGroup(Group):
    """A group that knows its commands from a table.

    `<package>.<name>` holds a command in a variable of the same name.
    """

    sections: ClassVar[tuple[Section, ...]]
    package: ClassVar[str]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands in the table's order."""
        return [row.name for section in self.sections for row in section.rows]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command of the table."""
        if cmd_name not in self.list_commands(ctx):
            return None
        from phlows_cli.cli.variables import name_variables

        command: click.Command = getattr(import_module(f"{self.package}.{cmd_name}"), cmd_name)
        name_variables(command, (*_path(ctx), cmd_name))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table into the help, section by section."""
        for section in self.sections:
            with formatter.section(section.title):
                formatter.write_dl(section.rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Offer the table's names, or this group's own options."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        rows = (row for section in self.sections for row in section.rows)
        return [
            CompletionItem(row.name, help=row.summary)
            for row in rows
            if row.name.startswith(incomplete)
        ]


def _path(ctx: click.Context) -> tuple[str, ...]:
    """Return the words that led to a group, without the program's own."""
    if ctx.parent is None:
        return ()
    return (*_path(ctx.parent), ctx.info_name or "")


def did_you_mean(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Name the nearest of what is known, as the end of an error; "" if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=likeness)
    return f": did you mean {near[0]!r}?" if near else ""


def help_width() -> int:
    """Columns for help: the terminal's, between 50 and 80.

    click asks shutil, whose import costs more than the whole table.
    """
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal():
        try:
            columns = str(os.get_terminal_size(sys.stdout.fileno()).columns)
        except (OSError, ValueError):
            columns = ""
    return max(50, min(int(columns or 80) or 80, 80) - 2)
