"""The commands as pages: what the manual and the documentation are made of.

Nothing here depends on the version of click: its own layout differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXIT_CODES: Final = (
    (0, "done"),
    (1, "failed"),
    (2, "the command line or the configuration is wrong"),
    (3, "no broker answers"),
    (4, "the broker, or a hook, refused"),
    (5, "a hook failed"),
    (6, "something took too long"),
    (130, "interrupted"),
)

ALWAYS: Final = (0, 1, 2, 130)
"""Exit codes that any command can have: 1 where stdout takes nothing, too."""

ASKING: Final = (3, 4)
"""Those of a command that asks a broker, which may not be there, or refuse."""

MORE: Final[Mapping[str, tuple[int, ...]]] = {
    "phlows bench ": (6,),
    "phlows call": (4, 5, 6),
    "phlows connect": (3, 4, 6),
    "phlows hook": (4, 5, 6),
    "phlows replay": (5,),
    "phlows host add": (6,),
    "phlows host remove": (6,),
}
"""Those of commands by how their names begin: an app may fail, or take too long."""

EXAMPLE: Final = "Example: "
"""How every help text begins."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, or lines that stay as they are."""

    text: str
    is_verbatim: bool


@dataclass(frozen=True, slots=True)
class OptionLine:
    """One option: its names, what it takes, its help and its variable."""

    names: tuple[str, ...]
    metavar: str
    help: str
    envvar: str


@dataclass(frozen=True, slots=True)
class Page:
    """One command."""

    name: str
    summary: str
    example: str
    arguments: tuple[str, ...]
    blocks: tuple[Block, ...]
    options: tuple[OptionLine, ...]
    children: tuple[str, ...]
    codes: tuple[int, ...] = ALWAYS

    @property
    def slug(self) -> str:
        """Name the page's file."""
        return self.name.replace(" ", "-")

    @property
    def usage(self) -> str:
        """Write what follows the name on a command line."""
        command = ("COMMAND",) if self.children else ()
        return " ".join(("[OPTIONS]", *self.arguments, *command))


def pages_of(command: click.Command, name: str) -> list[Page]:
    """Make the page of a command, followed by those below it."""
    return list(_walk(command, name, click.Context(command, info_name=name)))


def _walk(command: click.Command, name: str, ctx: click.Context) -> Iterator[Page]:
    children = _children(command, ctx)
    example, *blocks = _blocks(command.help or "")
    if not example.text.startswith(EXAMPLE):
        raise ValueError(f"the help of {name!r} does not begin with {EXAMPLE!r}")
    yield Page(
        name,
        command.short_help or "",
        example.text.removeprefix(EXAMPLE),
        tuple(_argument(p) for p in command.params if isinstance(p, click.Argument)),
        tuple(blocks),
        tuple(_option(p) for p in command.params if isinstance(p, click.Option)),
        tuple(f"{name} {child}" for child in children),
        _codes(command, name),
    )
    for child_name, child in children.items():
        path = f"{name} {child_name}"
        yield from _walk(child, path, click.Context(child, info_name=child_name, parent=ctx))


def _children(command: click.Command, ctx: click.Context) -> dict[str, click.Command]:
    if not isinstance(command, click.Group):
        return {}
    found = {name: command.get_command(ctx, name) for name in command.list_commands(ctx)}
    return {name: child for name, child in found.items() if child is not None}


def _codes(command: click.Command, name: str) -> tuple[int, ...]:
    asks = any("--url" in param.opts for param in command.params)
    more = next((codes for begin, codes in MORE.items() if name.startswith(begin)), ())
    return tuple(sorted({*ALWAYS, *(ASKING if asks else ()), *more}))


def _blocks(text: str) -> list[Block]:
    blocks = []
    for part in cleandoc(text).split("\n\n"):
        if part.startswith("\b\n"):
            blocks.append(Block(part.removeprefix("\b\n"), is_verbatim=True))
        else:
            blocks.append(Block(" ".join(part.split()), is_verbatim=False))
    return blocks


def _argument(argument: click.Argument) -> str:
    text = _metavar(argument)
    if argument.metavar is None and not argument.required:
        text = f"[{text}]"
    return text if argument.nargs == 1 or text.endswith("...") else f"{text}..."


def _option(option: click.Option) -> OptionLine:
    names = (*option.opts, *option.secondary_opts)
    return OptionLine(
        # Short names first, as people read them.
        tuple(sorted(names, key=lambda name: name.startswith("--"))),
        "" if option.is_flag else _metavar(option),
        option.help or "",
        option.envvar if isinstance(option.envvar, str) else "",
    )


def _metavar(parameter: click.Parameter) -> str:
    """Name what a parameter takes."""
    if parameter.metavar:
        return parameter.metavar
    if isinstance(parameter.type, click.Choice):
        return "|".join(map(str, parameter.type.choices))
    return (parameter.name or "").upper().replace("_", "-")
