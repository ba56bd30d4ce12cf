"""Messages a second that come back to the socket that sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import native
from benchmarks.crowd import PROBE
from benchmarks.sockets import upgraded
from benchmarks.wire import message_frame, text_frame, upgrade_request

if TYPE_CHECKING:
    from benchmarks.process import Contender
    from benchmarks.rounds import Round

SHAPES: Final = ((1, 1), (64, 1), (64, 8))
"""Sockets, and messages under way at each."""


def measure(contender: Contender, seconds: float, count: int = 64, depth: int = 1) -> Round:
    """One round on fresh sockets; each message must come back as it went."""
    request = upgrade_request(contender.host)
    with upgraded(contender.port, count, lambda _: request) as sockets:
        return native.ask(sockets, message_frame(PROBE), text_frame(PROBE), seconds, depth=depth)
