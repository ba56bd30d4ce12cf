"""phlows cast: push a payload to connected clients."""

from __future__ import annotations

from typing import Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.apply_options import apply_options, collected
from phlows_cli.cli.options import config_option, host_option, json_option, sole_host, url_option
from phlows_cli.cli.output import emit

HELP = """\
Example: phlows cast --target all --toast 'Back in five minutes'

Push a message to the connected clients of a host, and print the receipt.

The message is made of apply commands, given as options, and of items:
key=text, or key:=json for a value that is not text; key:=@FILE and key:=- are
the JSON of a file, or of stdin. Options that are given again add up. --data
gives the whole message, or the object that options and items are added to.

A token: without a token is mostly an empty variable of a shell, and refused.

\b
More examples:
  phlows cast --inner '#count=5' --class '#count=-old new'
  phlows cast --target token:alice --path /inbox
  phlows cast --target 3f9c2a7be1d04586 kind=order total:=99.5
  phlows cast --host app.example.com --data @message.json
"""


@click.command(short_help="Push a message to connected clients.", help=HELP)
@click.argument(
    "items",
    nargs=-1,
    metavar="[KEY=TEXT|KEY:=JSON]...",
    shell_complete=completing.message_items,
)
@click.option(
    "--target",
    "targets",
    metavar="TARGET",
    multiple=True,
    shell_complete=completing.targets,
    help="Who gets it: all, token:TOKEN, token:not:TOKEN, socket:ID or an id."
    " May be repeated. Without it: all.",
)
@click.option(
    "--except",
    "excluded",
    metavar="ID",
    multiple=True,
    shell_complete=completing.sockets,
    help="A socket that gets nothing. May be repeated.",
)
@host_option
@click.option("--data", metavar="JSON|@FILE|-", help="The message: JSON, a file of it, or stdin.")
@apply_options
@url_option
@config_option
@json_option("the receipt, an object with host, sent, matched, dropped and held")
@click.pass_context
def cast(ctx: click.Context, /, config_path: str | None, as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Send one cast and print its receipt."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.items import (
        add,
        cast_body,
        check_targets,
        merge,
        parse_items,
        read_argument,
    )
    from phlows_cli.config import find_config, load_config
    from phlows_cli.errors import UsageError

    fields = collected(ctx)
    for key, value in parse_items(typed["items"]).items():
        add(fields, key, value)
    if not fields and typed["data"] is None:
        raise UsageError(
            "nothing to send: give --toast, key=value, --data or another option of a command;"
            " --data {} sends an empty object"
        )
    base = None if typed["data"] is None else read_argument(typed["data"])
    payload = merge(base, fields)
    check_targets(typed["targets"])
    config = load_config(find_config(config_path))
    host = typed["host"] or sole_host(config)
    body = cast_body(host, typed["targets"] or ["all"], typed["excluded"], payload)
    receipt = client_for(config, typed["url"]).post("/message", body)
    emit(receipt, as_json, lambda: receipt_line(receipt))


def receipt_line(receipt: dict[str, Any]) -> str:
    """Say what became of a cast."""
    sent, matched = receipt.get("sent", 0), receipt.get("matched", 0)
    noun = "socket" if matched == 1 else "sockets"
    line = f"sent to {sent} of {matched} {noun} of {receipt.get('host', '')}"
    if receipt.get("held"):
        line += f", held for {receipt['held']} until authenticated"
    if receipt.get("dropped"):
        line += f", dropped for {receipt['dropped']} slow"
    return line
