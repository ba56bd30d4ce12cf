"""phlows drain: stop the broker in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phlows_cli.cli.options import config_option, json_option, url_option
from phlows_cli.cli.output import emit

if TYPE_CHECKING:
    from phlows_cli.cli.client import BrokerClient

HELP = """\
Example: phlows drain --wait

Stop the running broker as SIGTERM does: no new sockets, waiting events run,
then sockets are closed with 1012, their close hooks run, and it ends.
"""


@click.command(short_help="Stop the broker in order.", help=HELP)
@click.option("--wait", is_flag=True, help="Return when the broker has ended.")
@url_option
@config_option
@json_option("an object with status")
def drain(wait: bool, url: str | None, config_path: str | None, as_json: bool) -> None:
    """Ask for the drain, and wait for its end."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.progress import waiting
    from phlows_cli.config import find_config, load_config

    client = client_for(load_config(find_config(config_path)), url)
    answer = client.post("/drain", b"")
    if wait:
        with waiting("waiting for the broker to end"):
            _see_off(client)
    emit(answer, as_json, lambda: "the broker has ended" if wait else "the broker is stopping")


def _see_off(client: BrokerClient) -> None:
    """Follow the event stream: it ends when the broker does."""
    from phlows_cli.errors import BrokerUnreachableError

    try:
        for _ in client.lines("/events", {"type": "lost"}):
            continue
    except BrokerUnreachableError:
        return
