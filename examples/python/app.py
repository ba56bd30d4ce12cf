"""A chat room that knows how many are in it.

The broker runs this file once for every event of a socket, as

    python app.py ws::receive 127.0.0.1 "Amber Otter" 0123456789abcdef '{"type": "chat.send", ...}'

and `run()`, on the last line, calls the function that the event is for. Each
function is given the host, the socket's token and the socket's id; what it
keeps between events it keeps in a database, not in variables.

To start it:

    phlows host add chat.example.com examples/python/app.py
    phlows serve
"""

from __future__ import annotations

import json
from html import escape

from phlows_cli.app import run, ws_cast, ws_count

LONGEST_NAME = 30
LONGEST_MESSAGE = 500


def ws_auth(ws_host: str, ws_token: str, ws_socket: str) -> bool:  # noqa: ARG001 - the broker's order
    """Let a visitor in, or not: only True does.

    Here the token is simply the name that the visitor goes by, and anyone may
    go by any name. A real app looks the token up in its own sessions.
    """
    return 0 < len(ws_token.strip()) <= LONGEST_NAME and ws_token.isprintable()


def ws_receive(ws_host: str, ws_token: str, ws_socket: str, **data: object) -> None:  # noqa: ARG001
    """Take one message from a visitor: its JSON keys are the keywords."""
    if data.get("type") == "join":
        announce(f"{ws_token} is here")
    elif data.get("type") == "chat.send":
        say(ws_token, ws_socket, data.get("text"))


def ws_close(ws_host: str, ws_token: str, ws_socket: str) -> None:  # noqa: ARG001
    """Tell the others; the socket is gone, so it is not counted any more."""
    announce(f"{ws_token} left" if ws_token else "")


def say(name: str, socket: str, text: object) -> None:
    """Show a message to everyone."""
    if not isinstance(text, str) or not text.strip():
        return
    if len(text) > LONGEST_MESSAGE:
        reply(toast=f"A message has at most {LONGEST_MESSAGE} characters.")
        return
    # The others get it by a cast; its author, who sees it in another colour, as a reply.
    ws_cast("all", ws_except=socket, append={"#messages": as_html(name, text, "theirs")})
    reply(append={"#messages": as_html(name, text, "mine")})


def announce(what: str) -> None:
    """Tell everyone what happened, and how many are in the room now.

    A socket counts from the moment ws_auth let it in. That is why a page
    says "join" when it has connected: in ws_connect it would be too early.
    """
    note = f'<li class="note">{escape(what)}</li>' if what else ""
    ws_cast("all", inner={"#online": str(ws_count() or 0)}, append={"#messages": note})


def reply(**commands: object) -> None:
    """Answer the visitor whose message this is: a printed line of JSON goes there."""
    print(json.dumps(commands))


def as_html(name: str, text: str, whose: str) -> str:
    """Make a message HTML; what people typed is escaped, so it stays text."""
    return f'<li class="{whose}"><b>{escape(name)}</b> <span>{escape(text)}</span></li>'


run()
