"""Requests, echoes and handshakes a second."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import bridge, contenders, echo, native
from benchmarks import handshakes as shaking
from benchmarks.cores import apart
from benchmarks.figures.plan import turns

if TYPE_CHECKING:
    from benchmarks.contenders import Start
    from benchmarks.figures.plan import Plan
    from benchmarks.report import Figure


_ECHOES: Final = (
    "phlows goes through a session and an app in the broker; its socket layer"
    " answers on the connection, without session, hook or metrics"
)


def bridge_requests(plan: Plan) -> list[Figure]:
    """Bridge requests a second that reach nobody, one by one and pipelined."""
    starts = plan.starts(contenders.phlows, contenders.node_http, contenders.floor)
    figures = []
    for depth in bridge.DEPTHS if native.is_there() else bridge.DEPTHS[:1]:
        title = f"bridge, cast to nobody, {bridge.CONNECTIONS} connections, {depth} deep"
        measure = partial(bridge.measure, depth=depth)
        with apart():
            figures += turns(plan, f"bridge.{depth}", title, "requests/s", starts, measure)
    return figures


def echoes(plan: Plan) -> list[Figure]:
    """Messages a second that come back, without an app behind."""
    ours = [] if plan.peers_only else [contenders.phlows_echo, contenders.phlows_socket_layer]
    peers = (contenders.node_echo, contenders.websockets_echo, contenders.picows_echo)
    starts: list[Start] = [*ours, *peers, contenders.floor]
    figures = []
    for count, depth in echo.SHAPES:
        title = f"echo, {count} socket{'s' * (count > 1)}, {depth} under way at each"
        measure = partial(echo.measure, count=count, depth=depth)
        with apart():
            key = f"echo.{count}.{depth}"
            figures += turns(plan, key, title, "messages/s", starts, measure, _ECHOES)
    return figures


def handshakes(plan: Plan) -> list[Figure]:
    """Sockets opened a second; they stay open until the round is over."""
    count = plan.some(2000, 500)
    peers = (contenders.node_broker, contenders.nchan, contenders.websockets, contenders.picows)
    title = f"handshakes, {count:,} sockets, {shaking.UNDER_WAY} under way"
    measure = partial(shaking.measure, count=count)
    with apart():
        starts = plan.starts(contenders.phlows, *peers, contenders.floor)
        return turns(plan, "handshakes", title, "handshakes/s", starts, measure)
