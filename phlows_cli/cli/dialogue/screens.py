"""How what happens is told: JSON for programs, lines for pipes."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final, Protocol

import click
import msgspec

from phlows_cli.cli.dialogue.closing import comes_back, error_of, meaning, sentence
from phlows_cli.cli.dialogue.happenings import (
    Closed,
    Happening,
    Message,
    Opened,
    Ping,
    Pong,
    Sent,
)
from phlows_cli.cli.items import Raw, parse_json, to_json
from phlows_cli.cli.output import note, plural
from phlows_cli.errors import UsageError

_PRIVATE: Final = {"auth": True}


class Screen(Protocol):
    """Tells what happens as it happens."""

    def show(self, one: Happening) -> None:
        """Tell of one thing."""

    def remark(self, text: str) -> None:
        """Say something that did not happen on the connection."""


def one_line(text: str) -> bytes | None:
    """JSON text in one line, as it came where it can be; None where it is no JSON."""
    raw = text.encode()
    try:
        parse_json(raw, "")
    except UsageError:
        return None
    has_breaks = b"\n" in raw or b"\r" in raw
    return msgspec.json.format(raw, indent=-1) if has_breaks else raw.strip()


class Ndjson:
    """Each happening is a line of JSON."""

    def show(self, one: Happening) -> None:
        """Print it."""
        fields = {"event": type(one).__name__.lower(), "time": round(time.time(), 3)}
        click.echo(to_json({**fields, **_fields(one)}))

    def remark(self, text: str) -> None:
        """Print it to stderr."""
        note(text)


def _fields(one: Happening) -> dict[str, Any]:
    match one:
        case Opened(url, address):
            return {"event": "open", "url": url, "address": address}
        case Message(content):
            return _content(content)
        case Sent(text):
            return _PRIVATE if text is None else _content(text)
        case Pong(seconds):
            return {"ms": round(seconds * 1000, 3)}
        case Closed():
            return {"event": "close", **_ending(one)}
        case _:
            return {}


def _content(content: str | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"base64": base64.b64encode(content).decode()}
    raw = one_line(content)
    return {"text": content} if raw is None else {"data": Raw(raw)}


def _ending(closed: Closed) -> dict[str, Any]:
    return {
        "code": closed.code,
        "reason": closed.fault or closed.reason,
        "by": closed.by,
        "meaning": meaning(closed.code),
        "comes_back": comes_back(closed.code),
    }


class Plain:
    """What arrives is a line of stdout; the rest is a remark, if it is wanted."""

    def __init__(self, *, is_verbose: bool, is_text: bool) -> None:
        self._is_verbose = is_verbose
        self._is_text = is_text

    def show(self, one: Happening) -> None:
        """Print a message, or note another thing."""
        if isinstance(one, Message):
            self._message(one.content)
            return
        told = remark_of(one, is_verbose=self._is_verbose)
        if told:
            note(told)

    def remark(self, text: str) -> None:
        """Print it to stderr."""
        note(text)

    def _message(self, content: str | bytes) -> None:
        if isinstance(content, bytes):
            size = plural(len(content), "byte")
            note(f"a binary message of {size} is not shown (--json has it)")
        elif self._is_text:
            click.echo(content)
        else:
            # Text that is no JSON is a JSON string here: each line is one message.
            click.echo(one_line(content) or json.dumps(content, ensure_ascii=False).encode())


def remark_of(one: Happening, *, is_verbose: bool) -> str:
    """Tell of what is no message; "" for what is not worth a line."""
    match one:
        case Pong(seconds):
            return f"pong in {seconds * 1000:.1f} ms"
        case Opened(url, address) if is_verbose:
            return f"connected to {url} at {address}"
        case Ping() if is_verbose:
            return "ping"
        case Sent(None) if is_verbose:
            return "sent the auth message"
        case Closed(by="server") if error_of(one) is None:
            return sentence(one)  # another close is an error, which is told as such
        case _:
            return ""
