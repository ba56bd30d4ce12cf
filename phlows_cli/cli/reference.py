"""Writes completions/, man/ and docs/commands.md from the commands themselves.

`python -m phlows_cli.cli.reference` writes them, `--check` only compares.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from phlows_cli.cli.main import cli
from phlows_cli.cli.manual import manual_page
from phlows_cli.cli.markdown import commands_page
from phlows_cli.cli.pages import pages_of
from phlows_cli.cli.shells import FILES, SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
OWNED: Final = ("completions", "man")
"""Folders in which every file is generated."""


def generate() -> dict[str, str]:
    """Make every generated file: path from the root -> text."""
    pages = pages_of(cli, "phlows")
    files = {f"completions/{FILES[shell]}": script for shell, script in SCRIPTS.items()}
    files |= {f"man/{page.slug}.1": manual_page(page, pages) for page in pages}
    files["docs/commands.md"] = commands_page(pages)
    return files


def differences(root: Path, files: Mapping[str, str]) -> list[str]:
    """Name the files of a checkout that are not as they would be written."""
    found = {str(path.relative_to(root)) for name in OWNED for path in (root / name).glob("*")}
    changed = {name for name, text in files.items() if _read(root / name) != text}
    return sorted(changed | (found - files.keys()))


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write every file, and remove those whose command is gone."""
    for name in differences(root, files):
        path = root / name
        if name not in files:
            path.unlink()
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(files[name], "utf-8")


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def main(arguments: list[str]) -> int:
    """Write the files, or with --check say which ones are out of date."""
    files = generate()
    changed = differences(ROOT, files)
    for name in changed:
        click.echo(name)
    if "--check" in arguments:
        if changed:
            click.echo("out of date: python -m phlows_cli.cli.reference", err=True)
        return 1 if changed else 0
    write(ROOT, files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
