"""phlows sdk: the file that an app in another language needs."""

from __future__ import annotations

import click

from phlows_cli.cli.options import json_option
from phlows_cli.cli.output import emit

HELP = """\
Example: phlows sdk php

Print the file that an app needs to answer hooks and to cast. It stands alone:
write it to phlows.php, beside the app. With --composer print its composer.json instead, for
a folder that composer takes it from.

Apps in Python import phlows_cli.app.
"""


@click.command(short_help="Print the file that a PHP app needs.", help=HELP)
@click.argument("language", type=click.Choice(["php"]))
@click.option("--composer", is_flag=True, help="Print composer.json, not phlows.php.")
@json_option("an object with language, file and text")
def sdk(language: str, composer: bool, as_json: bool) -> None:
    """Print one of the two files."""
    name = "composer.json" if composer else "phlows.php"
    text = _asset(name)
    answer = {"language": language, "file": name, "text": text}
    emit(answer, as_json, lambda: text.removesuffix("\n"))


def _asset(name: str) -> str:
    from importlib.resources import files

    return (files("phlows_cli") / "assets" / name).read_text(encoding="utf-8")
