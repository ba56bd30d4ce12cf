"""phlows serve: run the broker."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click

from phlows_cli.cli.options import config_option
from phlows_cli.errors import UnknownAddressError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.config import Config

HELP = """\
Example: phlows serve --config /etc/phlows/phlows.toml

Run the broker until SIGTERM or Ctrl-C, then let everything end in order. What
it says goes to stderr. The options stand above the configuration file.

A second signal stops it at once.
"""


@click.command(short_help="Run the broker.", help=HELP)
@config_option
@click.option(
    "--listen",
    metavar="ADDRESS",
    multiple=True,
    envvar="PHLOWS_LISTEN",
    show_envvar=True,
    help="Where to listen: an address, or unix:/path. May be repeated.",
)
@click.option(
    "--port", metavar="PORT", type=int, envvar="PHLOWS_PORT", show_envvar=True, help="The TCP port."
)
@click.option(
    "--path",
    metavar="PATH",
    multiple=True,
    help="The URL path of upgrades; * is any. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the log as lines of JSON.")
@click.pass_context
def serve(
    ctx: click.Context,
    /,
    config_path: str | None,
    listen: tuple[str, ...],
    port: int | None,
    path: tuple[str, ...],
    as_json: bool,
) -> None:
    """Load the configuration, put the options over it and serve."""
    from phlows_cli.cli.streams import Forgiving, settle
    from phlows_cli.config import find_config, load_config
    from phlows_cli.service import run

    options = {
        "listen": list(listen) or None,
        "port": port,
        "path": list(path) or None,
        "log_format": "json" if as_json else None,
    }
    path_found = find_config(config_path)

    def load() -> Config:
        return override(load_config(path_found), options)

    config = load()
    stderr, sys.stderr = sys.stderr, cast("TextIO", Forgiving(sys.stderr))
    try:
        code = run(config, reread=load)
    except UnknownAddressError as error:
        if error.where not in listen:
            raise
        raise UsageError(f"--listen {error.where!r}: {error.why}: name an address") from None
    finally:
        sys.stderr = stderr
        settle()
    ctx.exit(code)


def override(config: Config, options: Mapping[str, object]) -> Config:
    """Put options over the settings of [server], checked as those are.

    Raises:
        UsageError: a value that the file may not have either.
    """
    from phlows_cli.settings import SERVER

    changes: dict[str, object] = {}
    for setting in SERVER:
        given = options.get(setting.name)
        if given is None:
            continue
        # The one setting that has another name once it is read: it is several.
        field = "paths" if setting.name == "path" else setting.name
        try:
            changes[field] = setting.value(given, Path.cwd())
        except ValueError as error:
            raise UsageError(f"--{setting.name} {error.args[0]}") from None
    return replace(config, server=replace(config.server, **changes))  # type: ignore[arg-type] # by name
