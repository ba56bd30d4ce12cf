"""phlows tail: what happens on the broker, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phlows_cli.cli.options import config_option, json_option, registered_hosts, url_option

if TYPE_CHECKING:
    from collections.abc import Iterable

HELP = """\
Example: phlows tail --host app.example.com --type hook

Follow what happens on the broker, a line for each event, until Ctrl-C:

\b
open     a socket was accepted      auth  a socket was authenticated
receive  a client sent a message    hook  a hook ended
cast     a cast was delivered       close a socket left

Tokens are shown as the first 12 characters of their sha256, which --token
takes. A reader that is too slow loses events and is told how many.

\b
The hash of a token:
  printf %s TOKEN | sha256sum | cut -c1-12
"""

TYPES = ("open", "auth", "receive", "hook", "cast", "close")


@click.command(short_help="Follow what happens on the broker.", help=HELP)
@click.option("--host", metavar="NAME", shell_complete=registered_hosts, help="Only this host.")
@click.option(
    "--token", metavar="HASH", help="Only this token: its sha256, or 12 characters of it."
)
@click.option("--socket", metavar="ID", help="Only this socket.")
@click.option("--type", metavar="TYPE", type=click.Choice(TYPES), help="Only one kind of event.")
@url_option
@config_option
@json_option
def tail(url: str | None, config_path: str | None, as_json: bool, **filters: str | None) -> None:
    """Print /events until it ends; the broker ends it only by going away."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.config import find_config, load_config
    from phlows_cli.errors import BrokerUnreachableError

    client = client_for(load_config(find_config(config_path)), url)
    query = {name: value for name, value in filters.items() if value is not None}
    _print(client.lines("/events", query), as_json)
    raise BrokerUnreachableError(f"the broker at {client.url} has gone away")


def _print(lines: Iterable[bytes], as_json: bool) -> None:
    from phlows_cli.cli.events import EventLines

    event_lines = EventLines()
    for line in lines:
        if line:
            click.echo(line if as_json else event_lines.render(line))
