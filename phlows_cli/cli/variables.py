"""An environment variable for each option: PHLOWS_<COMMAND>_<OPTION>."""

from __future__ import annotations

import os
from typing import Final

import click

PREFIX: Final = "PHLOWS"

EXEMPT: Final = frozenset({"--all", "--force", "--replace", "--yes"})
"""Flags that say yes to a loss: typed each time, never left in an environment."""

TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
"""What click takes for a flag that is set."""


class _Lines(click.types.StringParamType):
    """Text of an option that may be repeated: one value a line."""

    envvar_list_splitter = "\n"


def name_variables(command: click.Command, path: tuple[str, ...]) -> None:
    """Give each option of a command, and of those below it, its variable.

    Args:
        command: an option of it that names a variable itself keeps that.
        path: the words that call it, without `phlows`.
    """
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_eager:
            _name_variable(option, path)
    command.epilog = command.epilog or _epilog(command, path)
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            name_variables(child, (*path, name))


def _name_variable(option: click.Option, path: tuple[str, ...]) -> None:
    if option.envvar is not None or EXEMPT.intersection(option.opts):
        return
    option.envvar = variable(path, _long_name(option))
    if option.multiple and type(option.type) is click.types.StringParamType:
        option.type = _Lines()


def _long_name(option: click.Option) -> str:
    return max(option.opts, key=len)


def variable(path: tuple[str, ...], option: str) -> str:
    """Name the variable of an option: ("host", "add"), "--hook-class" -> PHLOWS_HOST_ADD_..."""
    words = (PREFIX, *path, option.lstrip("-"))
    return "_".join(words).upper().replace("-", "_")


def _epilog(command: click.Command, path: tuple[str, ...]) -> str | None:
    """Say it once, not beside each option."""
    prefix = "_".join((PREFIX, *path)).upper().replace("-", "_") + "_"
    for option in command.params:
        if isinstance(option, click.Option) and str(option.envvar or "").startswith(prefix):
            return f"Each option has a variable, too: {_long_name(option)} is {option.envvar}."
    return None


def wants_json(typed: list[str]) -> bool:
    """Tell whether an error is to be JSON, before or without parsed options."""
    if "--json" in typed:
        return True
    path: list[str] = []
    for word in typed[:3]:
        if word.startswith("-"):
            break
        path.append(word)
        if os.environ.get(variable(tuple(path), "--json"), "").lower() in TRUE:
            return True
    return False
