"""phlows connect: a WebSocket client for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.options import Amount, config_option, json_option, url_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

HELP = """\
Example: phlows connect app.example.com --token @token.txt

Connect to a host of the broker, or to any WebSocket server, and talk to it.

On a terminal each line that is typed is sent: JSON, or items (key=text and
key:=json). What arrives is shown above it; /help tells the rest. Ctrl-D ends
it. In a pipe the lines of stdin are sent, and what arrives goes to stdout, a
line for each message. With -x one message is sent: the items that follow.
Without a host it is that of PHLOWS_HOST, or the only one that is registered.

\b
More examples:
  phlows connect app.example.com -x --count 1 type=chat.send text='hi there'
  phlows connect --cookie @token.txt
  phlows connect wss://example.com/websocket --text
  printf '{"type":"ping"}' | phlows connect app.example.com --json

\b
Exit codes: 0 an ordinary end, 3 unreachable or broken off, 4 refused (401,
403, 421, 4500 to 4999), 6 timed out or --count not reached, 1 another end.
"""


def _is_place(text: str) -> bool:
    """Whether a first argument is a host or URL, and not what -x sends."""
    before = text.partition("=")[0]
    return not text.startswith(("-", "@", "{", "[")) and ("=" not in text or "://" in before)


def _words(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem[str]]:
    """Complete the host; what an app takes after it nobody knows."""
    return [] if ctx.params.get("words") else completing.hosts(ctx, param, typed)


@click.command(short_help="Talk to a WebSocket, by hand or in a pipe.", help=HELP)
@click.argument("words", nargs=-1, metavar="[HOST|URL] [ITEM]...", shell_complete=_words)
@click.option("--token", metavar="TOKEN|@FILE|-", help="Send the auth message first, with it.")
@click.option(
    "--cookie",
    "cookies",
    metavar="NAME=VALUE|VALUE|@FILE|-",
    multiple=True,
    help="Send a cookie; a value alone is the host's token_cookie. May be repeated.",
)
@click.option("-x", "--execute", is_flag=True, help="Send one message, the items, and end.")
@click.option("--text", "is_text", is_flag=True, help="Send the text as it is, JSON or not.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=Amount(0, 86400),
    default=2.0,
    show_default=True,
    help="After the last line: end when nothing has come for so long.",
)
@click.option(
    "--count",
    metavar="N",
    type=click.IntRange(1, 1_000_000_000),
    help="End after so many messages; the exit code is 6 when fewer came.",
)
@click.option(
    "--for",
    "lifetime",
    metavar="SECONDS",
    type=Amount(0.1, 31_536_000),
    help="End after so long, whatever comes.",
)
@click.option("--origin", metavar="ORIGIN", help="Connect as a page of this site would.")
@click.option(
    "--header", "headers", metavar="NAME:VALUE", multiple=True, help="Send it. May be repeated."
)
@click.option("--path", metavar="PATH", help="The path, where it is not the configuration's.")
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Trust these certificates, not the system's.",
)
@click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")
@click.option(
    "--connect-timeout",
    metavar="SECONDS",
    type=Amount(0.1, 300),
    default=10.0,
    show_default=True,
    help="For the connection and the answer to the upgrade.",
)
@click.option(
    "--ping-interval",
    metavar="SECONDS",
    type=Amount(0.1, 3600),
    help="Ping the server so often, and end when it does not answer.",
)
@click.option(
    "--max-message",
    metavar="BYTES",
    type=click.IntRange(1, 64 * 1024 * 1024),
    default=1024 * 1024,
    show_default=True,
    help="Close with 1009 when a larger one comes.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell of pings and of the connection, too.")
@url_option
@config_option
@json_option("an object a line, with event and time, and what came as data, text or base64")
def connect(words: tuple[str, ...], as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Find the place, and talk."""
    from phlows_cli.cli.dialogue.conversation import Manner, hold
    from phlows_cli.cli.dialogue.wishes import headers, origin
    from phlows_cli.cli.streams import for_a_reader

    typed_place, items = (words[0], words[1:]) if words and _is_place(words[0]) else (None, words)
    place = _place(typed_place, typed["url"], typed["config_path"], typed["path"])
    terms = _terms(items, typed)
    manner = Manner(
        headers=tuple(headers(typed["headers"], typed["cookies"], place.cookie)),
        origin=None if typed["origin"] is None else origin(typed["origin"]),
        is_checked=not typed["insecure"],
        ca=typed["ca"],
        connect_timeout=typed["connect_timeout"],
        max_message=typed["max_message"],
        as_json=as_json,
        is_verbose=typed["verbose"],
    )
    with for_a_reader():
        hold(place, manner, terms)


def _place(word: str | None, url: str | None, config_path: str | None, path: str | None) -> Any:  # noqa: ANN401 - a Place, not imported here
    from phlows_cli.cli.dialogue.place import is_url, place_of_host, place_of_url
    from phlows_cli.config import find_config, load_config

    if word is not None and is_url(word):
        return place_of_url(word, path)
    name = word or os.environ.get("PHLOWS_HOST")
    return place_of_host(load_config(find_config(config_path)), url, name, path)


def _terms(items: tuple[str, ...], typed: dict[str, Any]) -> Any:  # noqa: ANN401 - Terms, not imported here
    from phlows_cli.cli.dialogue.talk import Terms
    from phlows_cli.cli.dialogue.typed import payload
    from phlows_cli.cli.dialogue.wishes import secret
    from phlows_cli.errors import UsageError

    if items and not typed["execute"]:
        raise UsageError(f"{items[0]!r} is left over: items are sent with -x")
    token = None if typed["token"] is None else secret("--token", typed["token"])
    return Terms(
        token=token,
        first=payload(items, is_text=typed["is_text"]) if typed["execute"] else None,
        is_text=typed["is_text"],
        wait=typed["wait"],
        count=typed["count"] or 0,
        lifetime=typed["lifetime"] or 0.0,
        ping_interval=typed["ping_interval"] or 0.0,
    )
