"""phlows tail: what happens on the broker, as it happens."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.options import config_option, json_option, registered_hosts, url_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.event_filter import EventFilter

HELP = """\
Example: phlows tail --host app.example.com --slow 100ms

Follow what happens on the broker: its hosts, the live connections and each
event on a terminal (press ? for the keys), a line for each event elsewhere.

\b
open     a socket was accepted      auth  a socket was authenticated
receive  a client sent a message    hook  a hook ended
cast     a cast was delivered       close a socket left

Filters add up. On the terminal they choose what the pane of events shows;
--host narrows all of it. Tokens are shown as the first 12 characters of their
sha256, which --token takes. A reader that is too slow loses events and is
told how many.

When the broker goes away, it is waited for.

\b
The hash of a token:
  printf %s TOKEN | sha256sum | cut -c1-12
"""

TYPES = ("open", "auth", "receive", "hook", "cast", "close")


def _milliseconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    from phlows_cli.cli.event_filter import parse_milliseconds

    try:
        return None if value is None else parse_milliseconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(short_help="Follow what happens on the broker.", help=HELP)
@click.option("--host", metavar="NAME", shell_complete=registered_hosts, help="Only this host.")
@click.option(
    "--token",
    metavar="HASH",
    shell_complete=completing.tokens,
    help="Only this token: its sha256, or 12 characters of it.",
)
@click.option("--socket", metavar="ID", shell_complete=completing.sockets, help="Only this socket.")
@click.option("--type", metavar="TYPE", type=click.Choice(TYPES), help="Only one kind of event.")
@click.option(
    "--slow",
    metavar="DURATION",
    callback=_milliseconds,
    help="Only hooks that took so long: 100ms, 1.5s.",
)
@click.option("--failed", is_flag=True, help="Only hooks that failed, timed out or found no room.")
@click.option("--lines", is_flag=True, help="Print a line for each event on a terminal, too.")
@click.option("--no-reconnect", is_flag=True, help="Print lines; end when the broker does, code 3.")
@url_option
@config_option
@json_option("an object a line for each event")
def tail(
    *,
    url: str | None,
    config_path: str | None,
    as_json: bool,
    lines: bool,
    no_reconnect: bool,
    **typed: Any,  # noqa: ANN401 - as click names them
) -> None:
    """Show what happens until it is left or interrupted."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.event_filter import EventFilter
    from phlows_cli.cli.follow import follow
    from phlows_cli.cli.output import note
    from phlows_cli.cli.streams import for_a_reader
    from phlows_cli.config import find_config, load_config

    wanted = EventFilter(**{name: value for name, value in typed.items() if value is not None})
    config = load_config(find_config(config_path))
    if not (as_json or lines or no_reconnect) and _is_screen():
        from phlows_cli.cli.tui.app import run

        run(lambda: client_for(config, url), wanted)
        return
    remark = None if no_reconnect else note
    with for_a_reader():
        _print(follow(client_for(config, url), wanted.query, remark), wanted, as_json)


def _is_screen() -> bool:
    """Tell whether there is a terminal that can be painted and typed on."""
    is_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _print(lines: Iterable[bytes], wanted: EventFilter, as_json: bool) -> None:
    from phlows_cli.cli.events import EventLines, parse

    event_lines = EventLines()
    is_parsed = wanted.is_about_hooks or not as_json
    for line in filter(None, lines):
        event = parse(line) if is_parsed else {}
        if is_parsed and not wanted.passes_hook(event):
            continue
        click.echo(line if as_json else event_lines.render(event))
