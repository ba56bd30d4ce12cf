"""A chat room with a count of who is there, as room.php beside it."""

from __future__ import annotations

import sys
from html import escape

from phlows_cli.app import apply, run, ws_cast, ws_count


def twice(number):
    return 2 * int(number)


def ws_auth(ws_host, ws_token, ws_socket):
    return ws_token.startswith("token of ")


def ws_connect(ws_host, ws_token, ws_socket):
    tell_the_count()
    return True


def ws_close(ws_host, ws_token, ws_socket):
    tell_the_count()


def ws_receive(ws_host, ws_token, ws_socket, **data):
    match data.get("type"):
        case "ping":
            ws_cast(ws_socket, pong=1)
        case "chat.send":
            say(ws_token.removeprefix("token of "), data["text"], ws_socket)
        case "lines":
            for line in (1, 2, 3):
                apply(line=line)
        case "exit":
            apply(leaving=True)
            sys.exit()
        case "fail":
            sys.exit("private")
        case _:
            apply(**data)


def tell_the_count():
    ws_cast(inner={"#online-count": str(ws_count())})


def say(name, text, socket):
    line = f"<p>{name} {escape(text)}</p>"
    ws_cast(ws_except=socket, append={"#chat": line})
    apply(append={"#chat": line}, value={"#text": ""})


run()
