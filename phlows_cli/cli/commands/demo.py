"""phlows demo: a broker, an app and a page to try them with."""

from __future__ import annotations

import sys
from typing import TextIO, cast

import click

HELP = """\
Example: phlows demo --open

Start a broker with an app and a page: who is here, a chat, a poll, a long job
and casts, in as many tabs as you open. It keeps what it keeps in a temporary
folder, listens on this machine only, and needs nothing but phlows. What it
says goes to stderr; Ctrl-C ends all of it.
"""


@click.command(short_help="Show what it can do, in a browser.", help=HELP)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    default=3001,
    show_default=True,
    help="The port of the page.",
)
@click.option(
    "--lang",
    "language",
    type=click.Choice(["python", "php"]),
    default="python",
    show_default=True,
    help="The language of the app; php needs PHP.",
)
@click.option("--open", "is_to_open", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Write the log as lines of JSON.")
@click.pass_context
def demo(ctx: click.Context, /, port: int, language: str, is_to_open: bool, as_json: bool) -> None:
    """Run it until it is interrupted."""
    from phlows_cli.cli.streams import Forgiving, settle
    from phlows_cli.demo import run
    from phlows_cli.errors import ListenError

    stderr, sys.stderr = sys.stderr, cast("TextIO", Forgiving(sys.stderr))
    try:
        code = run(port, language, is_to_open, "json" if as_json else "text")
    except ListenError as error:
        another = port + 1 if port < 65535 else port - 1
        raise ListenError(f"{error}, as in `phlows demo --port {another}`") from None
    finally:
        sys.stderr = stderr
        settle()
    ctx.exit(code)
