"""What a replay has found: diffs for people, lines of JSON for programs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from phlows_cli.cli.output import json_bytes, plural, table, visible
from phlows_cli.cli.recordings.compare import difference
from phlows_cli.cli.recordings.play import MASKED_AUTH

if TYPE_CHECKING:
    from phlows_cli.cli.recordings.figures import Figures
    from phlows_cli.cli.recordings.play import Compared

SHOWN_LINES: Final = 60
"""Lines of one diff that are shown to people."""

SHOWN_CASTS: Final = 65536
"""Bytes of a call's casts, as JSON, over which the others are only counted."""

SHOWN_EVERY: Final = 0.1

_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}
SIDES: Final = ("then", "now")
"""What was recorded, or what the other app says, and what the app says."""

_MARKS: Final = {"different": "yellow", "failed": "red"}


class Showing:
    """Shows each difference as it is found, and on a terminal how far it is."""

    def __init__(self, figures: Figures, as_json: bool) -> None:
        self._figures = figures
        self._as_json = as_json
        self._counts = sys.stderr is not None and sys.stderr.isatty()
        self._counted_at = 0.0

    def __call__(self, compared: Compared) -> None:
        """Take one call."""
        if compared.verdict == "same" and not self._tells_casts(compared):
            self._count()
            return
        self.clear()
        if self._as_json:
            click.echo(json_bytes(_told(compared)))
        else:
            click.echo("\n".join([_title(compared), *self._diff(compared), ""]))

    def _tells_casts(self, compared: Compared) -> bool:
        """Whether casts that nothing compares are told though all else is the same."""
        return self._as_json and bool(compared.casts) and not self._figures.has_compared_casts

    def clear(self) -> None:
        """Leave an empty line for what comes next."""
        if self._counts and self._counted_at:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _count(self) -> None:
        now = time.monotonic()
        if self._counts and now - self._counted_at >= SHOWN_EVERY:
            self._counted_at = now
            done = plural(self._figures.count, "call")
            click.echo(f"\r\x1b[K{done} replayed", err=True, nl=False)

    def _diff(self, compared: Compared) -> list[str]:
        lines = difference(compared.was, compared.now, *SIDES)
        shown = [_coloured(visible(line)) for line in lines[:SHOWN_LINES]]
        if len(lines) > SHOWN_LINES:
            shown.append(f"... {len(lines) - SHOWN_LINES} more lines (--json has them all)")
        said = compared.played.stderr if compared.verdict == "failed" else []
        because = [f"reason: {visible(compared.played.reason)}"] if compared.played.reason else []
        return [*shown, *because, *(f"stderr: {visible(line)}" for line in said)]


def _title(compared: Compared) -> str:
    call = compared.call
    mark = click.style(compared.verdict, fg=_MARKS[compared.verdict], bold=True)
    times = f"{compared.was_ms:.1f} ms -> {compared.played.ms:.1f} ms"
    ids = (call.hook, call.host, call.socket, call.token)
    return "  ".join([mark, *(visible(text) for text in ids if text), times])


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def _told(compared: Compared) -> dict[str, Any]:
    """A call as JSON: all that was compared, and as many casts as there is room for."""
    call, played = compared.call, compared.played
    now: dict[str, Any] = {**shown_casts(compared.casts), **compared.now}
    now |= {"reason": played.reason, "ms": played.ms, "stderr": played.stderr}
    return {
        "type": compared.verdict,
        "time": call.time,
        "host": call.host,
        "socket": call.socket,
        "hook": call.hook,
        "token": call.token,
        "then": compared.was | {"ms": compared.was_ms},
        "now": now,
    }


def shown_casts(casts: list[dict[str, Any]]) -> dict[str, Any]:
    """The first casts of a call, and how many more there were, if there were."""
    room, shown = SHOWN_CASTS, 0
    for cast in casts:
        room -= len(json_bytes(cast))
        if room < 0:
            break
        shown += 1
    more = {"casts_left_out": len(casts) - shown} if shown < len(casts) else {}
    return {"casts": casts[:shown], **more}


def _skipped(figures: Figures) -> list[str]:
    lines = []
    for why, count in figures.skipped.items():
        given = [f"--token {mask}=TOKEN" for mask in figures.unknown] if why == MASKED_AUTH else []
        how = f" (give it with {visible(' '.join(given))})" if given else ""
        lines.append(f"{count} skipped: {why}{how}")
    return lines


def summary(figures: Figures) -> str:
    """Say what came of it all, for people."""
    counts = figures.verdicts
    parts = [f"{counts['same']} same", f"{counts['different']} different"]
    parts.append(f"{counts['failed']} failed")
    lines = [f"{plural(figures.count, 'call')} replayed: {', '.join(parts)}"]
    lines += _skipped(figures)
    if figures.casts and not figures.has_compared_casts:
        lines.append(
            f"{plural(figures.casts, 'cast')} made: casts were not compared: use --against OLD"
        )
    if figures.count:
        rows = [
            (name, f"{times.percentile(50):.1f}", f"{times.percentile(99):.1f}")
            for name, times in zip(SIDES, (figures.then, figures.now), strict=True)
        ]
        lines.append(table(("ms", "p50", "p99"), rows))
    return "\n".join(lines)
