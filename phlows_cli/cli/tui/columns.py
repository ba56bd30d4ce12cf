"""The columns of the connections: what they hold, and which of them fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.tui.connection import Connection

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `rank` says when it is left out on a narrow screen: highest first."""

    name: str
    least: int
    rank: int
    text: Callable[[Connection, float], str]
    sort_key: Callable[[Connection], Any]
    is_number: bool = False


def short_age(seconds: float) -> str:
    """Write an age in at most four characters: 5s, 12m, 3h, 40d."""
    if seconds < MINUTE:
        return f"{max(0, int(seconds))}s"
    if seconds < HOUR:
        return f"{int(seconds) // MINUTE}m"
    return f"{int(seconds) // HOUR}h" if seconds < 4 * DAY else f"{int(seconds) // DAY}d"


def short_count(count: float) -> str:
    """Write a number in at most five characters: 99999, 100k, 2.5M."""
    for limit, size, unit in ((1e5, 1, ""), (1e6, 1e3, "k"), (1e7, 1e6, "M")):
        if count < limit:
            return f"{int(count / size)}{unit}" if unit != "M" else f"{count / size:.1f}M"
    return f"{int(count / 1e6)}M" if count < 1e10 else "many"


COLUMNS: Final = (
    Column("SOCKET", 8, 0, lambda c, _: c.socket, lambda c: c.socket),
    Column("TOKEN", 13, 4, lambda c, _: c.short_token, lambda c: c.short_token),
    Column("AGENT", 14, 3, lambda c, _: c.browser, lambda c: c.browser.lower()),
    Column("ADDRESS", 15, 6, lambda c, _: c.address, lambda c: c.address),
    Column("HOST", 10, 7, lambda c, _: c.host, lambda c: c.host),
    Column("AGE", 4, 1, lambda c, now: short_age(now - c.since), lambda c: -c.since, True),
    Column("IN", 5, 2, lambda c, _: short_count(c.received), lambda c: c.received, True),
    Column("OUT", 5, 2, lambda c, _: short_count(c.sent), lambda c: c.sent, True),
    Column("LAST", 7, 5, lambda c, _: c.last, lambda c: -c.last_at),
)
"""In the order of the screen. The least widths fit 80 columns, all but the host's."""

GROWTH: Final = (("SOCKET", 16), ("LAST", 16), ("AGENT", 22), ("HOST", 24), ("LAST", 200))
"""Who gets the cells that are left, up to which width, in this order."""

BY_NAME: Final = {column.name: column for column in COLUMNS}


def fit(width: int, *, with_host: bool) -> list[tuple[Column, int]]:
    """Choose the columns that fit, with their widths and one space between.

    Args:
        width: cells of a row.
        with_host: whether there is more than one host to tell apart.
    """
    columns = [column for column in COLUMNS if with_host or column.name != "HOST"]
    while len(columns) > 1 and sum(c.least + 1 for c in columns) - 1 > width:
        columns.remove(max(columns, key=lambda column: column.rank))
    widths = {column.name: min(column.least, width) for column in columns}
    left = width - sum(widths.values()) - len(columns) + 1
    for name, most in GROWTH:
        more = min(left, most - widths.get(name, most))
        # An id in part is long enough with 8 characters.
        if more > 0 and (name != "SOCKET" or widths[name] + more == most):
            widths[name] += more
            left -= more
    return [(column, widths[column.name]) for column in columns]
