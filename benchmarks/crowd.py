"""A contender's open sockets, and rounds of casts to them counted exactly."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from benchmarks import fanout, native
from benchmarks.dialects import SOLO
from benchmarks.errors import ContenderError, MissingToolError
from benchmarks.sockets import Exchange, allow_descriptors, exchanges, upgraded
from benchmarks.wire import (
    DATA_SIZE,
    message_frame,
    numbered_data,
    numbered_frame,
    post_request,
    text_frame,
)

if TYPE_CHECKING:
    import socket

    from benchmarks.process import Contender
    from benchmarks.rounds import Round

PROBE: Final = b'{"type":"echo","pad":"' + b"x" * 40 + b'"}'
_LINES_OPEN: Final = 128


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who listens, and whom a cast reaches."""

    sockets: int
    target: str = "all"
    """all, token or socket."""
    token_size: int = 1
    """Sockets that share a token."""
    size: int = DATA_SIZE
    """Bytes of a cast's data."""
    has_probe: bool = False
    """Whether another socket is there to be echoed meanwhile."""

    @property
    def receivers(self) -> int:
        """How many a cast reaches: the first of them."""
        return {"all": self.sockets, "token": self.token_size, "socket": 1}[self.target]

    def token_of(self, index: int) -> str:
        """The token of a socket; alike for as many as share one."""
        return f"t{index // (self.token_size if self.target == 'token' else 1)}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One round: how much, for how long."""

    window: int
    """Casts under way at most, each on a connection of its own."""
    seconds: float
    rate: float = 0.0
    """Casts a second; 0: the next as soon as one is done."""
    probe_rate: float = 0.0


class Listeners:
    """The open sockets of one contender, ready for one round after another."""

    def __init__(self, contender: Contender, crowd: Crowd) -> None:
        self.contender = contender
        self.crowd = crowd
        self._stack = ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _open(self) -> None:
        crowd, speech = self.crowd, self.contender.speech
        allow_descriptors(crowd.sockets + _LINES_OPEN)
        opening = upgraded(
            self.contender.port, crowd.sockets, lambda index: speech.upgrade(crowd, index)
        )
        self.sockets = self._stack.enter_context(opening)
        self._probe: socket.socket | None = None
        if crowd.has_probe:
            request = self.contender.probe_request
            probes = upgraded(self.contender.port, 1, lambda _: request)
            self._probe = self._stack.enter_context(probes)[0]
        self._target = self._found_target()

    def _found_target(self) -> str:
        if self.crowd.target == "socket" and self.contender.lists_sockets:
            return _id_of_solo(self.contender)
        return "all" if self.crowd.target == "all" else f"token:{self.crowd.token_of(0)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def cast(self, turn: Turn) -> Round:
        """One round; raises CountError unless each delivery came, in order."""
        if not native.is_there():
            return self._cast_in_python(turn)
        with exchanges(self.contender.cast_port, turn.window) as lines:
            return native.cast(self._plan(turn, lines))

    def _plan(self, turn: Turn, lines: list[Exchange]) -> native.Casts:
        data = numbered_data(0, 0, self.crowd.size)
        request = self.contender.cast(self._target, data)
        return native.Casts(
            listeners=self.sockets,
            lines=[line.connection for line in lines],
            request=request,
            request_data=request.index(data),
            frame=numbered_frame(0, 0, self.crowd.size),
            receipt=self.contender.speech.receipt(self.crowd.receivers),
            receivers=self.crowd.receivers,
            seconds=turn.seconds,
            rate=turn.rate,
            probe=self._probe,
            probe_frames=(message_frame(PROBE), text_frame(PROBE)),
            probe_rate=turn.probe_rate,
        )

    def attend(self, seconds: float) -> Round:
        """Answer pings for so long; a delivery is an error."""
        plan = native.Casts(listeners=self.sockets, lines=[], seconds=seconds)
        return native.cast(plan)

    def _cast_in_python(self, turn: Turn) -> Round:
        if turn.rate or self.crowd.target != "all" or self.crowd.size != DATA_SIZE:
            raise MissingToolError("there is no C compiler for the load generator")
        with fanout.Listeners(self.contender, self.sockets) as listeners:
            return listeners.measure(turn.window, turn.seconds)


def _id_of_solo(contender: Contender) -> str:
    path = f"/presence?host={contender.host}"
    request = post_request(contender.address, path, b"").replace(b"POST", b"GET", 1)
    if contender.key:
        request = request.replace(
            b"\r\n\r\n", b"\r\nAuthorization: Bearer %b\r\n\r\n" % contender.key
        )
    line = Exchange(contender.cast_port)
    try:
        told = json.loads(line.ask(request))
    finally:
        line.close()
    ids = [each["socket"] for each in told["sockets"] if each["agent"] == SOLO]
    if len(ids) != 1:
        raise ContenderError(f"{len(ids)} sockets call themselves {SOLO}, not 1")
    return f"socket:{ids[0]}"
