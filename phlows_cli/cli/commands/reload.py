"""phlows reload: the configuration, read again by the running broker."""

from __future__ import annotations

from typing import Any

import click

from phlows_cli.cli.options import config_option, json_option, url_option
from phlows_cli.cli.output import emit

HELP = """\
Example: phlows reload

Let the running broker read its configuration again. The file is checked
first: a bad one changes nothing, and the exit code says so. No socket is
dropped, but those of hosts that are not in the file any more.

Settings that need a restart are named. A broker also reloads by itself when
its file changes, and on SIGHUP.
"""

_PARTS = (
    ("added", "added"),
    ("removed", "removed"),
    ("changed", "changed"),
    ("settings", "changed"),
    ("needs_restart", "needs a restart:"),
)


@click.command(short_help="Let the broker read its configuration again.", help=HELP)
@url_option
@config_option
@json_option("an object with added, removed, changed, settings and needs_restart, all arrays")
def reload(url: str | None, config_path: str | None, as_json: bool) -> None:
    """Ask for a reload and tell what it changed."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.config import find_config, load_config

    client = client_for(load_config(find_config(config_path)), url)
    changes = client.post("/reload", b"")
    emit(changes, as_json, lambda: render(changes))


def render(changes: dict[str, Any]) -> str:
    """Write what a reload changed, a line a kind."""
    lines = [f"{word} {', '.join(changes[part])}" for part, word in _PARTS if changes.get(part)]
    return "\n".join(lines) or "nothing has changed"
