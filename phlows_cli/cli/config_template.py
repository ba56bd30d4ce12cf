"""The first phlows.toml of a broker: every setting, at its default, with why."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final

from phlows_cli import settings
from phlows_cli.cli.config_output import toml_value
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTH: Final = 96

HEAD: Final = """\
# phlows.toml: what the broker listens at, its limits, and the apps it calls.
#
# Every setting is here, switched off, with its default: take the `#` away to change one.
# A broker that runs takes a change by itself. `phlows config check` finds mistakes,
# `phlows config show` tells every value and where it comes from.
"""

TITLES: Final = {
    "server": "Where the broker listens, and its times.",
    "bridge": "Who may cast, and how much at once.",
    "limits": "What the broker holds and runs at most.",
    "interpreters": "The programs that run .php and .py apps.",
}

HOST_TITLE: Final = (
    "A host: the name in the visitor's address bar, and the app that answers its sockets. "
    "`phlows host add` writes one, too."
)

EXAMPLE_HOST: Final = "app.example.com"
EXAMPLE_APP: Final = "/srv/app/www/app.php"


def starting_file() -> str:
    """Write the commented file, from the table of settings."""
    blocks = [HEAD]
    for name, table in settings.SECTIONS.items():
        lines = [*_comment(TITLES[name]), f"[{name}]", *_switched_off(table)]
        blocks.append("\n".join(lines) + "\n")
    blocks.append(
        "\n".join([*_comment(HOST_TITLE), f'# [hosts."{EXAMPLE_HOST}"]', *_host()]) + "\n"
    )
    return "\n".join(blocks)


def _host() -> Iterator[str]:
    app, *rest = settings.HOST
    yield from _comment(app.reason)
    yield f"# {app.name} = {toml_value(EXAMPLE_APP)}"
    yield from _switched_off(rest)


def _switched_off(table: tuple[settings.Setting, ...] | list[settings.Setting]) -> Iterator[str]:
    for setting in table:
        bounds = f" ({setting.bounds})" if setting.high else ""
        yield from _comment(f"{setting.reason}{bounds}")
        yield f"# {setting.name} = {toml_value(setting.default)}"


def _comment(text: str) -> list[str]:
    return [f"## {line}" for line in wrap(text, WIDTH - 3, break_on_hyphens=False)]


def write_starting_file(path: Path, *, is_forced: bool) -> None:
    """Put the file in its place, whole, and never over another unless forced.

    Raises:
        UsageError: there is a file already.
    """
    from phlows_cli.whole_file import rewrite

    def change(before: bytes | None) -> bytes:
        if before is not None and not is_forced:
            raise UsageError(f"{path} exists: give --force to write over it")
        return starting_file().encode()

    rewrite(path, change)
