"""From the address to the end: dial, shake hands, talk."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from phlows_cli import __version__
from phlows_cli.cli.dialogue.dial import Deadline, dial
from phlows_cli.cli.dialogue.happenings import Opened
from phlows_cli.cli.dialogue.link import Link
from phlows_cli.cli.dialogue.screens import Ndjson, Plain, Screen
from phlows_cli.cli.dialogue.sources import Lines, Nothing, Source
from phlows_cli.cli.dialogue.talk import Talk, Terms
from phlows_cli.cli.output import note
from phlows_cli.errors import UsageError
from phlows_cli.wire.quiet import QUIET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

    from websockets.http11 import Request
    from websockets.typing import Origin

    from phlows_cli.cli.dialogue.place import Place
    from phlows_cli.cli.dialogue.wishes import Header

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code of a program that SIGTERM has ended, as a shell tells it."""

_NOT_BY_MESSAGE: Final = {
    "upgrade": 'the host takes its token from a cookie (auth = "upgrade", --cookie)',
    "none": 'the host asks for no token (auth = "none")',
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How a connection is made and shown.

    `ca` is a file of certificates that are trusted, and no others.
    `connect_timeout` is seconds for all of it; `max_message` bytes of one
    message that comes.
    """

    headers: tuple[Header, ...] = ()
    origin: str | None = None
    is_checked: bool = True
    ca: str | None = None
    connect_timeout: float = 10.0
    max_message: int = 1024 * 1024
    as_json: bool = False
    is_verbose: bool = False


def hold(place: Place, manner: Manner, terms: Terms) -> None:
    """Connect to a place and talk until the end.

    Raises:
        PhlowsError: no connection, or one that did not end in order.
    """
    if terms.token is not None and place.auth in _NOT_BY_MESSAGE:
        note(f"warning: {_NOT_BY_MESSAGE[place.auth]}; --token sends a message that its app gets")
    if not manner.is_checked:
        note("warning: the server's certificate is not checked (--insecure)")
    link = _open(place, manner)
    try:
        is_typed_at = _is_for_a_person(manner, terms)
        screen = _screen(manner, terms, is_typed_at=is_typed_at)
        screen.show(Opened(place.shown, place.at))
        with _source(terms, is_typed_at=is_typed_at) as source, _waker() as waker:
            Talk(link, screen, source, terms, waker).run()
    finally:
        link.hang_up()


def _open(place: Place, manner: Manner) -> Link:
    deadline = Deadline(manner.connect_timeout)
    protocol = _protocol(place, manner)
    connection = dial(place, deadline, is_checked=manner.is_checked, ca=manner.ca)
    link = Link(connection, protocol, manner.max_message)
    try:
        link.handshake(_request(protocol, place, manner), deadline, place.shown)
    except BaseException:
        link.hang_up()
        raise
    return link


def _protocol(place: Place, manner: Manner) -> ClientProtocol:
    try:
        uri = parse_uri(place.url)
    except (InvalidURI, ValueError):
        raise UsageError(f"{place.shown} is not a URL of a WebSocket") from None
    origin: Origin | None = manner.origin  # type: ignore[assignment]
    return ClientProtocol(uri, origin=origin, max_size=manner.max_message, logger=QUIET)


def _request(protocol: ClientProtocol, place: Place, manner: Manner) -> Request:
    request = protocol.connect()
    request.headers["User-Agent"] = f"phlows/{__version__}"
    if place.authorization:
        request.headers["Authorization"] = place.authorization
    for name, value in manner.headers:
        if name.lower() == "user-agent":
            del request.headers["User-Agent"]
        request.headers[name] = value
    return request


def _is_for_a_person(manner: Manner, terms: Terms) -> bool:
    """Whether there is a terminal at both ends that can be drawn on."""
    if manner.as_json or terms.first is not None or sys.stdin is None:
        return False
    is_capable = os.environ.get("TERM", "dumb") != "dumb"
    return is_capable and sys.stdin.isatty() and sys.stdout.isatty()


def _screen(manner: Manner, terms: Terms, *, is_typed_at: bool) -> Screen:
    if manner.as_json:
        return Ndjson()
    if sys.stdout.isatty():
        from phlows_cli.cli.dialogue.terminal import Terminal

        return Terminal(is_typed_at=is_typed_at, is_verbose=manner.is_verbose)
    return Plain(is_verbose=manner.is_verbose, is_text=terms.is_text)


@contextmanager
def _source(terms: Terms, *, is_typed_at: bool) -> Iterator[Source]:
    """Take lines from where they come; SIGTERM does not leave a terminal as it is."""
    if terms.first is not None or sys.stdin is None:
        yield Nothing()
        return
    if not is_typed_at:
        yield Lines(sys.stdin.fileno())
        return
    from phlows_cli.cli.dialogue.keyboard import Keyboard

    before = signal.signal(signal.SIGTERM, _end)
    keyboard = Keyboard()
    try:
        yield keyboard
    finally:
        keyboard.close()
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _waker() -> Iterator[socket.socket]:
    """A socket that every signal can be read from.

    One that comes just before a wait begins would not end that wait.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)
