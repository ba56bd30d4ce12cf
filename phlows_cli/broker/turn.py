"""A loop turn and how much of it casts may take, so that others get theirs."""

from __future__ import annotations

import asyncio
from typing import Final

DELIVERIES_A_TURN: Final = 16_384
"""Frames queued in one turn of the loop, about five milliseconds' worth.

More would make every other socket wait; fewer would gather less in a write.
"""


class Turn:
    """What casts have delivered since the loop last looked at its sockets."""

    __slots__ = ("_delivered",)

    def __init__(self) -> None:
        self._delivered = 0

    @property
    def is_over(self) -> bool:
        """Whether the next cast should wait for the next turn."""
        return self._delivered >= DELIVERIES_A_TURN

    def spend(self, deliveries: int) -> None:
        """Count what a cast has delivered."""
        if not self._delivered:
            asyncio.get_running_loop().call_soon(self._begin)
        self._delivered += deliveries

    def _begin(self) -> None:
        self._delivered = 0
