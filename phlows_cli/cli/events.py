"""The broker's events as lines for people."""

from __future__ import annotations

import json
import time
from typing import Final

import click

from phlows_cli.cli.event_filter import FAILED, Event
from phlows_cli.cli.output import plural, visible
from phlows_cli.errors import PhlowsError

COLOURS: Final = {
    "open": "green",
    "auth": "green",
    "receive": "cyan",
    "cast": "blue",
    "close": "yellow",
    "lost": "red",
}
COLUMNS: Final = ("time", "type", "host", "socket", "token")
"""Keys with a column of their own; the others are details."""


class EventLines:
    """Writes events one below the other: the host's column grows as needed."""

    def __init__(self) -> None:
        self._host_width = 0

    def render(self, event: Event) -> str:
        """Write one event as `parse` gives it."""
        host = visible(str(event.get("host", "")))
        self._host_width = max(self._host_width, len(host))
        columns = (
            clock(event["time"]),
            click.style(f"{event['type']:<7}", fg=colour(event)),
            host.ljust(self._host_width),
            f"{visible(str(event.get('socket', ''))):<16}",
            f"{visible(str(event.get('token', ''))):<12}",
            visible(details(event)),
        )
        return "  ".join(columns).rstrip()


def parse(line: bytes) -> Event:
    """Read one line of /events.

    Raises:
        PhlowsError: the line is not an event.
    """
    try:
        event = json.loads(line)
        event["time"] = float(event["time"])
        event["type"] = visible(str(event["type"]))
    except (ValueError, TypeError, KeyError):
        raise PhlowsError("the broker sent a line that is not an event") from None
    return dict(event)


def clock(seconds: float) -> str:
    """Write the local time of day, with milliseconds."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds * 1000) % 1000:03}"


def colour(event: Event) -> str | None:
    """Name the colour of the event's type; a failed hook is red."""
    if event["type"] == "hook":
        return "red" if event.get("outcome") in FAILED else "magenta"
    return COLOURS.get(event["type"])


def details(event: Event) -> str:
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
