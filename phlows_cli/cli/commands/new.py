"""phlows new: a small app to begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from phlows_cli.cli.options import json_option
from phlows_cli.cli.output import emit
from phlows_cli.errors import PhlowsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HELP = """\
Example: phlows new chat --lang php

Write a small app into a folder that is new or empty: a chat in two short files,
its configuration, its page, its test, and a README that says how to run them.
`phlows serve` in that folder runs it. No file is ever overwritten.
"""

PAGE: Final = {"public/index.html": "new/index.html"}


def _of(language: str, *names: str) -> dict[str, str]:
    return {name: f"new/{language}/{name}" for name in (*names, "phlows.toml", "README.md")} | PAGE


FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "python": _of("python", "app.py", "test_app.py"),
    "php": _of("php", "app.php", "test.php") | {"phlows.php": "phlows.php"},
}
"""Language -> the app's files, and which asset each of them is."""


@click.command(short_help="Write a small app to begin with.", help=HELP)
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option(
    "--lang",
    "language",
    type=click.Choice(sorted(FILES)),
    default="python",
    show_default=True,
    help="The language of the app.",
)
@json_option("an object with folder, language and files")
def new(folder: str, language: str, as_json: bool) -> None:
    """Write the files of one language."""
    from pathlib import Path

    place = Path(folder)
    try:
        write_app(place, language)
    except OSError as error:
        raise PhlowsError(f"{error.filename or place}: {error.strerror}") from error
    files = sorted(FILES[language])
    answer = {"folder": str(place.absolute()), "language": language, "files": files}
    emit(answer, as_json, lambda: _told(folder, files))


def write_app(place: Path, language: str) -> None:
    """Write an app's files into a folder that is new or empty.

    Raises:
        UsageError: the folder has something in it, or is none.
    """
    from importlib.resources import files

    if place.exists() and not place.is_dir():
        raise UsageError(f"{place} is a file: name a folder that is new or empty")
    if place.is_dir() and any(place.iterdir()):
        raise UsageError(f"{place} is not empty: name a folder that is new or empty")
    for name, asset in FILES[language].items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # never over what is there
            file.write((files("phlows_cli") / "assets" / asset).read_text(encoding="utf-8"))


def _told(folder: str, files: list[str]) -> str:
    from shlex import quote

    enter = [] if folder == "." else [f"  cd {quote(folder)}"]
    return "\n".join(
        [f"wrote {', '.join(files)}", "", "next:", *enter, "  cat README.md", "  phlows serve"]
    )
