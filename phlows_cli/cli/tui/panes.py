"""The connections, one of them in detail, and the events."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

from phlows_cli.cli.event_filter import FAILED, milliseconds
from phlows_cli.cli.events import clock, colour, details
from phlows_cli.cli.output import duration, plural
from phlows_cli.cli.tui.columns import Column, fit
from phlows_cli.cli.tui.connection import shown
from phlows_cli.cli.tui.lines import BAD, QUIET, WARN, cut, line, rule

if TYPE_CHECKING:
    from rich.text import Text

    from phlows_cli.cli.event_filter import Event
    from phlows_cli.cli.tui.connection import Connection
    from phlows_cli.cli.tui.lines import Part
    from phlows_cli.cli.tui.state import State

MARGIN = 2
"""Cells before a row: the mark of the selected one, and a space."""


def connections(state: State) -> list[Text]:
    """Paint the title, the head, and the rows that are in sight."""
    columns = fit(state.width - MARGIN, with_host=state.has_hosts)
    shown_rows = state.rows[state.top : state.top + state.layout.table]
    rows = [_row(state, connection, columns) for connection in shown_rows]
    blank = [line([], state.width)] * (state.layout.table - len(rows))
    return [rule(_table_title(state), state.width), _head(state, columns), *rows, *blank]


def _table_title(state: State) -> list[Part]:
    count = len(state.connections)
    parts: list[Part] = [f"{len(state.rows)} of {count}" if state.order.search else f"{count}"]
    doubt = "?" if state.problem else ""
    parts[0] = f"{parts[0]}{doubt} connection{'s' * (count != 1)}"
    if len(state.rows) > state.layout.table:
        last = min(state.top + state.layout.table, len(state.rows))
        parts.append((f"  {state.top + 1}-{last}", QUIET))
    if state.order.search:
        parts.append((f"  /{state.order.search}", WARN))
    return parts


def _head(state: State, columns: list[tuple[Column, int]]) -> Text:
    arrow = "▼" if state.order.is_reversed else "▲"
    parts: list[Part] = [" " * (MARGIN - 1)]
    for column, width in columns:
        is_sorted = column is state.order.column
        name = f"{column.name}{arrow}" if is_sorted else column.name
        text = cut(name, width, is_number=column.is_number)
        parts += [" ", (text, "bold underline" if is_sorted else QUIET)]
    if state.order.column not in [column for column, _ in columns]:
        parts.append((f" {state.order.column.name}{arrow}", "bold underline"))
    return line(parts, state.width)


def _row(state: State, connection: Connection, columns: list[tuple[Column, int]]) -> Text:
    is_selected = connection is state.selected
    cells = " ".join(
        cut(_cell(column, connection, state.clock, width), width, is_number=column.is_number)
        for column, width in columns
    )
    mark = ">" if is_selected else " "
    is_quiet = not connection.is_authenticated
    style = "reverse" if is_selected else QUIET if is_quiet else ""
    return line([f"{mark} {cells}"], state.width, style)


def _cell(column: Column, connection: Connection, now: float, width: int) -> str:
    text = column.text(connection, now)
    return text[:width] if column.name == "SOCKET" else text


# Details


def detail(state: State, connection: Connection) -> list[Text]:
    """Paint everything known of one connection."""
    title: list[Part] = [(connection.socket, "bold"), f" of {connection.host}"]
    title += [("  has left", BAD)] if connection.left else []
    lines = [rule(title, state.width)]
    for name, value in _facts(connection, state.clock):
        room = max(1, state.width - 17)
        for number, part in enumerate(textwrap.wrap(value, room)[:3] or [""]):
            lines.append(line([(f"  {'' if number else name:<14} ", QUIET), part], state.width))
    room = state.layout.table + 2
    return [*lines, *[line([], state.width)] * room][:room]


def _facts(connection: Connection, now: float) -> list[tuple[str, str]]:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(connection.since))
    token = "none" if connection.short_token == "none" else connection.token  # noqa: S105 - what a person reads
    facts = [
        ("address", connection.address),
        ("agent", connection.agent or "it does not say"),
        ("token", token + ("" if connection.is_authenticated else " (a claim, not verified)")),
        ("authenticated", "yes" if connection.is_authenticated else "no"),
        ("since", f"{since}, {duration(max(0.0, now - connection.since))} ago"),
        ("messages", f"{connection.received} in, {connection.sent} out"),
        ("last", connection.last or "nothing yet"),
    ]
    return [("left", connection.left), *facts] if connection.left else facts


# Events


def events(state: State) -> list[Text]:
    """Paint the title and the latest events, the newest below."""
    room = state.layout.events
    if state.is_detail and state.selected is not None:
        latest = state.feed.of_socket(state.selected.socket, room)
    else:
        latest = list(state.feed.shown)[-room:] if room else []
    lines = [event_line(state, event) for event in latest]
    blank = [line([], state.width)] * (room - len(lines))
    return [rule(_events_title(state), state.width), *lines, *blank]


def _events_title(state: State) -> list[Part]:
    parts: list[Part] = ["its events" if state.is_detail else "events"]
    if str(state.wanted) and not state.is_detail:
        parts.append((f"  {shown(state.wanted)}", WARN))
    if state.feed.is_paused:
        parts.append((f"  paused: {plural(state.feed.waited, 'event')} waiting", WARN))
    if state.feed.is_paused and state.feed.forgotten:
        parts.append((f", {state.feed.forgotten} of them forgotten", BAD))
    return parts


def event_line(state: State, event: Event) -> Text:
    """Paint one event: ! marks what failed, ~ what was slow."""
    mark, style = _alarm(state, event)
    is_wide = state.width >= 100
    parts: list[Part] = [
        (f"{mark} ", style),
        (clock(event["time"])[: 12 if is_wide else 8], QUIET),
        (f" {shown(event['type']):<7} ", style or colour(event) or ""),
    ]
    if state.has_hosts and is_wide:
        parts.append(cut(shown(event.get("host", "")), 20) + " ")
    if not state.is_detail:
        length = 16 if is_wide else 8
        parts.append((cut(shown(event.get("socket", ""))[:length], length) + " ", QUIET))
    parts.append((shown(details(event)), style))
    return line(parts, state.width)


def _alarm(state: State, event: Event) -> tuple[str, str]:
    if event.get("outcome") in FAILED or event["type"] == "lost":
        return "!", BAD
    return ("~", WARN) if milliseconds(event) >= state.slow else (" ", "")
