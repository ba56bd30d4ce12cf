"""The app behind the page of `phlows demo`: who is here, a chat, a poll, casts.

The broker calls one of the functions ws_auth, ws_receive and ws_close for each
thing that happens. What the app knows it keeps in a file and not in variables:
the broker may start several processes of it, and end any of them.

Two rules are worth taking over into an app of your own.

The page puts the HTML of `inner` and `append` in as it is. So whatever a
visitor typed goes through `escape` first, and it goes through it here: a page
must never get a text of which it would have to guess whether it is HTML.

What everyone is to see in the same order is cast under the same lock under
which it was stored. Else the list with two people could overtake the one with
three, and stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import zlib
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phlows_cli.app import apply, run, ws_cast

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(os.environ.get("DEMO_FOLDER", "."))
CHOICES = ("chat", "board", "game", "alerts")
LONGEST_NAME = 24
LONGEST_TEXT = 500
MESSAGES_KEPT = 40
VOTES_KEPT = 1000
PEOPLE_SHOWN = 40

Room = dict[str, Any]


# The hooks


def ws_auth(ws_host: str, ws_token: str, ws_socket: str) -> bool:
    """Let a visitor in, or not: only True does.

    Here a token is any 32 hex digits, which the tab made up. A real app looks
    up whose token it is: a row of its sessions, or a signature.
    """
    return re.fullmatch("[0-9a-f]{32}", ws_token) is not None


def ws_receive(ws_host: str, ws_token: str, ws_socket: str, **data: object) -> None:
    """Take one message of a visitor; its keys are the keywords."""
    act = ACTIONS.get(str(data.get("type")))
    if act is None:
        apply(error="the demo does not know that type of message")
        return
    with room_of(ws_host) as room:
        if act is not join and ws_socket not in room["people"]:
            return
        act(room, ws_token, ws_socket, data)


def ws_close(ws_host: str, ws_token: str, ws_socket: str) -> None:
    """Take a visitor off the list, whatever ended the connection."""
    with room_of(ws_host) as room:
        if room["people"].pop(ws_socket, None):
            cast_people(room)


# What visitors do


def join(room: Room, token: str, socket: str, data: dict[str, Any]) -> None:
    """Put a tab on the list, and show it what there is: it may have missed a lot."""
    room["people"][socket] = {"token": token, "name": name_in(data)}
    talk = "".join(message(said, token) for said in room["talk"])
    ws_cast(socket, inner={"#messages": talk}, **own_vote(room, token))
    ws_cast(socket, **poll(room))
    cast_people(room)


def rename(room: Room, token: str, socket: str, data: dict[str, Any]) -> None:
    """Give every tab of a visitor another name."""
    for person in room["people"].values():
        if person["token"] == token:
            person["name"] = name_in(data)
    cast_people(room)


def say(room: Room, token: str, socket: str, data: dict[str, Any]) -> None:
    """Show a message to everyone, and to its author in another colour."""
    text = text_in(data)
    if not text:
        return
    said = {"token": token, "name": room["people"][socket]["name"], "text": text}
    room["talk"] = [*room["talk"], said][-MESSAGES_KEPT:]
    ws_cast(f"token:{token}", append={"#messages": message(said, token)})
    ws_cast(f"token:not:{token}", append={"#messages": message(said, "")})


def vote(room: Room, token: str, socket: str, data: dict[str, Any]) -> None:
    """Count a vote; a second one of the same visitor takes the place of the first."""
    if data.get("choice") not in CHOICES:
        return
    room["votes"].pop(token, None)
    room["votes"][token] = data["choice"]
    room["votes"] = dict(list(room["votes"].items())[-VOTES_KEPT:])
    ws_cast("all", **poll(room))
    ws_cast(f"token:{token}", **own_vote(room, token))


def shout(room: Room, token: str, socket: str, data: dict[str, Any]) -> None:
    """Cast a toast for a visitor: the key stays with the app, the page has none."""
    text = text_in(data)
    if not text:
        return
    target = socket if data.get("to") == "me" else "all"
    skipped = socket if data.get("to") == "others" else ""
    # A toast is shown as text, so this is the one thing that needs no escape.
    receipt = ws_cast(target, ws_except=skipped, toast=f"{room['people'][socket]['name']}: {text}")
    sent = receipt["sent"] if receipt else 0
    # Printed, so only the tab that asked gets it.
    apply(inner={"#receipt": f"reached {sent} tab{'' if sent == 1 else 's'}"})


ACTIONS = {"join": join, "rename": rename, "say": say, "vote": vote, "cast": shout}


# What they typed


def name_in(data: dict[str, Any]) -> str:
    """The name in a message, in one line, or a stand-in."""
    name = data.get("name")
    return (
        " ".join(name.split())[:LONGEST_NAME]
        if isinstance(name, str) and name.split()
        else "Nobody"
    )


def text_in(data: dict[str, Any]) -> str:
    """The text in a message; "" when it has none, or too much of it."""
    text = data.get("text")
    text = text.strip() if isinstance(text, str) else ""
    if len(text) > LONGEST_TEXT:
        apply(toast=f"At most {LONGEST_TEXT} characters, please.")
        return ""
    return text


# What everyone sees


def cast_people(room: Room) -> None:
    """Tell everyone who is here: when somebody comes or goes, and at no other time."""
    names = {person["token"]: person["name"] for person in room["people"].values()}
    shown = list(names.items())[:PEOPLE_SHOWN]
    rows = [f"<li>{face(token, name)}<span>{escape(name)}</span></li>" for token, name in shown]
    if len(names) > len(shown):
        rows.append(f'<li class="more">and {len(names) - len(shown)} more</li>')
    ws_cast("all", inner={"#people": "".join(rows), "#count": str(len(names))})


def poll(room: Room) -> dict[str, Any]:
    """How the votes stand, as commands for the page."""
    votes = list(room["votes"].values())
    counts = {choice: votes.count(choice) for choice in CHOICES}
    inner = {f"#votes-{choice}": str(count) for choice, count in counts.items()}
    inner["#votes"] = f"{len(votes)} vote{'' if len(votes) == 1 else 's'}"
    bars = {f"#bar-{choice}": 100 * count // max(1, len(votes)) for choice, count in counts.items()}
    return {"inner": inner, "value": bars}


def own_vote(room: Room, token: str) -> dict[str, Any]:
    """Which button is pressed: only the visitor's own tabs are told."""
    own = room["votes"].get(token)
    pressed = {f"#vote-{c}": {"aria-pressed": str(c == own).lower()} for c in CHOICES}
    return {"attr": pressed}


def message(said: dict[str, str], reader: str) -> str:
    """One message as HTML; what people typed is escaped, so it stays text."""
    whose = "mine" if said["token"] == reader else "theirs"
    name = escape(said["name"])
    return (
        f'<li class="{whose}">{face(said["token"], said["name"])}'
        f"<p><b>{name}</b> <span>{escape(said['text'])}</span></p></li>"
    )


def face(token: str, name: str) -> str:
    """A visitor's initials on a colour that stays theirs. The token itself is nobody's business."""
    initials = "".join(word[0] for word in name.split()[:2]).upper()
    hue = zlib.crc32(token.encode()) % 8
    return f'<span class="face hue-{hue}" aria-hidden="true">{escape(initials)}</span>'


# What is kept


@contextmanager
def room_of(host: str) -> Iterator[Room]:
    """What is known of a host's room: one process at a time has it, and it is stored after."""
    path = FOLDER / f"room-{host.replace(':', '-')}.json"
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed
        file.seek(0)
        stored = file.read()
        room = json.loads(stored) if stored else {"people": {}, "talk": [], "votes": {}}
        yield room
        file.seek(0)
        file.truncate()
        json.dump(room, file)


run()
