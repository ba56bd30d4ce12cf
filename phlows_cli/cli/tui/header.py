"""The lines above: the broker, how fast it goes, its hosts and apps."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.output import duration, plural
from phlows_cli.cli.tui.columns import short_count
from phlows_cli.cli.tui.connection import shown
from phlows_cli.cli.tui.lines import BAD, QUIET, WARN, cut, end_of, line, two_ends

if TYPE_CHECKING:
    from rich.text import Text

    from phlows_cli.cli.tui.lines import Part
    from phlows_cli.cli.tui.state import State

ROOMY: Final = 50
"""Cells of half a screen from which all numbers are shown."""


def header(state: State) -> list[Text]:
    """Paint the two lines that are always there, and those of the hosts."""
    lines = [_title(state), _pace(state)]
    wanted = _hosts(state)
    room = state.layout.hosts
    if len(wanted) > room > 0:
        hidden = len(wanted) - room + 1
        wanted = [*wanted[: room - 1], line([(f"  and {hidden} more", QUIET)], state.width)]
    return lines + wanted[:room]


def _title(state: State) -> Text:
    up = state.health.get("uptime", 0) + state.now - state.health_at
    version = shown(state.health.get("version", ""))
    parts: list[Part] = [(f" phlows {version}", "bold"), f"  {state.url}"]
    if not state.problem:
        parts.append(f"  up {duration(up)}")
    return two_ends(parts, _link(state), state.width, "reverse")


def _link(state: State) -> Part:
    if not state.problem:
        return ("  ● connected ", "")
    gone = duration(state.now - state.problem_since)
    return (f"  ○ gone for {gone}, reconnecting ", BAD)


def _pace(state: State) -> Text:
    rates, health = state.rates.per_second(state.now), state.health
    least = "≥" if rates.is_least else ""
    pools = list(health.get("pools", {}).values())
    busy, queued = (sum(pool.get(name, 0) for pool in pools) for name in ("busy", "queued"))
    dropped = sum(health.get("dropped", {}).values())
    parts: list[Part] = [(f" {dropped} dropped ", WARN)] if dropped else []
    parts += [f" {least}{_rate(rates.events)} events/s"]
    parts += [f"  {least}{_rate(rates.casts)} casts/s"]
    parts += [f"  {least}{_rate(rates.deliveries)} deliveries/s"]
    mark = _doubt(state)
    parts += [f"  {busy}{mark}/{health.get('cap', 0)} busy"]
    parts += [(f"  {queued}{mark} queued", WARN if queued else "")]
    return line(parts, state.width)


def _doubt(state: State) -> str:
    """What stands at numbers that the broker told before it was gone."""
    return "?" if state.problem else ""


def _rate(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 10 else short_count(value)


def _hosts(state: State) -> list[Text]:
    health, half, mark = state.health, state.width // 2, _doubt(state)
    hosts = state.counts()
    names = sorted({*health.get("configured", ()), *hosts}, key=lambda n: (-_sockets(hosts, n), n))
    left = [_host(name, hosts.get(name, {}), half, mark) for name in names]
    right = [_app(app, pool, state.width - half, mark) for app, pool in _busiest(health)]
    pairs = zip_longest(left, right, fillvalue="")
    style = QUIET if mark else ""
    lines = [line([cut(host, half), app], state.width, style) for host, app in pairs]
    return [
        *_alarms(state),
        *(lines or [line([(" no hosts: `phlows host add`", WARN)], state.width)]),
    ]


def _alarms(state: State) -> list[Text]:
    """What does not boot, and what was dropped and why."""
    lines = [
        line([(f" ! {shown(host)}: {shown(why)}", BAD)], state.width)
        for host, why in sorted(state.problems.items())
    ]
    dropped = state.health.get("dropped", {})
    if dropped:
        reasons = ", ".join(f"{shown(why)} {count}" for why, count in sorted(dropped.items()))
        lines.append(line([(f" ! dropped: {reasons}", WARN)], state.width))
    return lines


def _sockets(hosts: dict[str, Any], name: str) -> int:
    return int(hosts.get(name, {}).get("sockets", 0))


def _host(name: str, counts: dict[str, Any], width: int, mark: str) -> str:
    numbers = _counted(counts.get("sockets", 0), "socket", mark)
    if width >= ROOMY:
        numbers += _counted(counts.get("tokens", 0), "token", mark)
    return f" {cut(shown(name), max(0, width - len(numbers) - 1))}{numbers}"


def _counted(count: int, noun: str, mark: str) -> str:
    """A number and its noun, in as many cells for one as for many."""
    words = plural(count, noun).partition(" ")[2]
    return f"{short_count(count) + mark:>6} {words:<{len(noun) + 1}} "


def _busiest(health: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    def load(row: tuple[str, dict[str, Any]]) -> tuple[int, int, str]:
        return (-row[1].get("queued", 0), -row[1].get("busy", 0), row[0])

    return sorted(health.get("pools", {}).items(), key=load)


def _app(app: str, pool: dict[str, Any], width: int, mark: str) -> str:
    busy, queued = (f"{pool.get(name, 0)}{mark}" for name in ("busy", "queued"))
    numbers = f" {busy:>4} busy {queued:>5} queued "
    if width >= ROOMY:
        workers = _counted(pool.get("workers", 0), "worker", mark).rstrip(" ")
        numbers = f"{workers:<14}{numbers}"
    return cut(end_of(shown(app), width - len(numbers)), width - len(numbers)) + numbers
