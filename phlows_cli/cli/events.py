"""The broker's events as lines for people."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import click

from phlows_cli.cli.output import plural, visible
from phlows_cli.errors import PhlowsError

Event = dict[str, Any]

COLOURS: Final = {
    "open": "green",
    "auth": "green",
    "receive": "cyan",
    "cast": "blue",
    "close": "yellow",
    "lost": "red",
}
ALARMING: Final = frozenset({"failed", "timeout", "overloaded"})
COLUMNS: Final = ("time", "type", "host", "socket", "token")
"""Keys with a column of their own; the others are details."""


class EventLines:
    """Writes events one below the other: the host's column grows as needed."""

    def __init__(self) -> None:
        self._host_width = 0

    def render(self, line: bytes) -> str:
        """Write one event.

        Raises:
            PhlowsError: the line is not an event.
        """
        event = _parse(line)
        host = visible(str(event.get("host", "")))
        self._host_width = max(self._host_width, len(host))
        columns = (
            _clock(event["time"]),
            _style(event, f"{event['type']:<7}"),
            host.ljust(self._host_width),
            f"{visible(str(event.get('socket', ''))):<16}",
            f"{visible(str(event.get('token', ''))):<12}",
            visible(_details(event)),
        )
        return "  ".join(columns).rstrip()


def _parse(line: bytes) -> Event:
    try:
        event = json.loads(line)
        float(event["time"])
        event["type"] = visible(str(event["type"]))
    except (ValueError, TypeError, KeyError):
        raise PhlowsError("the broker sent a line that is not an event") from None
    return dict(event)


def _clock(seconds: float) -> str:
    """Write the local time of day, with milliseconds."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds * 1000) % 1000:03}"


def _style(event: Event, text: str) -> str:
    if event["type"] == "hook":
        return click.style(text, fg="red" if event.get("outcome") in ALARMING else "magenta")
    return click.style(text, fg=COLOURS.get(event["type"]))


def _details(event: Event) -> str:
    """Say what is particular to the event's type."""
    try:
        return _DETAILS.get(event["type"], _others)(event)
    except (KeyError, TypeError, ValueError):
        return _others(event)


def _open(event: Event) -> str:
    return f"{event['address']}  {event['agent']}"


def _hook(event: Event) -> str:
    return f"{event['hook']} {event['outcome']} in {event['ms']:.1f} ms{_because(event)}"


def _receive(event: Event) -> str:
    return plural(event["bytes"], "byte")


def _cast(event: Event) -> str:
    target = event["target"] if isinstance(event["target"], list) else [event["target"]]
    rest = [f"{event[key]} {key}" for key in ("dropped", "held") if event.get(key)]
    counts = ", ".join([plural(event["bytes"], "byte"), f"{event['sent']} sent", *rest])
    return f"to {' '.join(map(str, target)) or 'nobody'}: {counts}"


def _close(event: Event) -> str:
    return f"{event['code']}{_because(event)}"


def _lost(event: Event) -> str:
    return f"{plural(event['count'], 'event')} lost: this reader is too slow"


def _because(event: Event) -> str:
    return f": {event['reason']}" if event.get("reason") else ""


def _others(event: Event) -> str:
    return "  ".join(f"{key} {value}" for key, value in event.items() if key not in COLUMNS)


_DETAILS: Final = {
    "open": _open,
    "receive": _receive,
    "hook": _hook,
    "cast": _cast,
    "close": _close,
    "lost": _lost,
}
