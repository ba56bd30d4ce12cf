"""How many lines each part of the screen has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST_WIDTH: Final = 30
LEAST_HEIGHT: Final = 8
DETAIL_LINES: Final = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """Lines of each part, from the top; they add up to the height.

    `hosts` are the lines of the hosts and of what is wrong, `table` those of
    connections or of the details, `events` those of events; each of the last
    two has a title above it, and the table its head.
    """

    width: int
    height: int
    hosts: int
    table: int
    events: int

    @property
    def is_too_small(self) -> bool:
        """Whether there is no room for anything but saying so."""
        return self.width < LEAST_WIDTH or self.height < LEAST_HEIGHT


def arrange(width: int, height: int, hosts: int, *, is_detail: bool) -> Layout:
    """Share the lines out.

    Args:
        width: cells of the screen.
        height: its lines.
        hosts: lines wanted for the hosts; they get a fifth at most.
        is_detail: whether the details stand in the place of the table.
    """
    shown = min(hosts, max(0, (height - LEAST_HEIGHT) // 5))
    # Two lines above, a title and a head, a title, and the line of keys.
    left = max(0, height - 6 - shown)
    table = min(DETAIL_LINES, max(0, left - 1)) if is_detail else left - left * 2 // 5
    return Layout(width, height, shown, table, left - table)
