"""phlows orphans: close hooks that a running broker has given up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option, url_option
from phlows_cli.cli.output import emit, note, plural, table, visible

if TYPE_CHECKING:
    from phlows_cli.cli.client import BrokerClient

HELP = """\
Example: phlows orphans list

Close hooks that failed again and again: the broker has given them up, and
tries each once more when it starts the next time. With journal = "memory"
they are forgotten when it ends.
"""

LIST_HELP = """\
Example: phlows orphans list

List the sockets whose close hook was given up: host, socket, the hash of the
token, how often the hook was run, and why the socket was closed.
"""

DROP_HELP = """\
Example: phlows orphans drop 3e41eca363bb3073

Forget close hooks that were given up: those of the sockets that are named, or
with --all every one.
"""


@click.group(cls=Group, short_help="See and drop close hooks that were given up.", help=HELP)
def orphans() -> None:
    """Hold the subcommands."""


@orphans.command("list", short_help="List them.", help=LIST_HELP)
@url_option
@config_option
@json_option(
    "an object with count and orphans, an array of host, socket, token, attempts and reason"
)
def list_(url: str | None, config_path: str | None, as_json: bool) -> None:
    """List what was given up."""
    told = _client(url, config_path).get("/orphans")
    emit(told, as_json, lambda: _listed(told))
    if as_json:
        return
    hidden = told["count"] - len(told["orphans"])
    if not told["count"]:
        note("no close hook was given up")
    elif hidden:
        note(f"and {hidden} more")


@orphans.command(short_help="Forget them.", help=DROP_HELP)
@click.argument("sockets", nargs=-1, shell_complete=completing.orphans)
@click.option("--all", "everything", is_flag=True, help="Every one.")
@url_option
@config_option
@json_option("an object with dropped, a count")
def drop(
    sockets: tuple[str, ...],
    everything: bool,
    url: str | None,
    config_path: str | None,
    as_json: bool,
) -> None:
    """Forget what was given up."""
    from phlows_cli.errors import UsageError

    if bool(sockets) == everything:
        raise UsageError("name the sockets, or give --all")
    body = json.dumps({"sockets": sockets}).encode()
    told = _client(url, config_path).post("/orphans/drop", body)
    emit(told, as_json, lambda: f"{plural(told['dropped'], 'close hook')} dropped")


def _client(url: str | None, config_path: str | None) -> BrokerClient:
    from phlows_cli.cli.client import client_for
    from phlows_cli.config import find_config, load_config

    return client_for(load_config(find_config(config_path)), url)


def _listed(told: dict[str, Any]) -> str:
    columns = ("HOST", "SOCKET", "TOKEN", "ATTEMPTS", "CLOSED BY")
    rows = [
        (visible(it["host"]), it["socket"], it["token"][:12], it["attempts"], it["reason"])
        for it in told["orphans"]
    ]
    return table(columns, rows) if rows else ""
