"""Events a second through an app that is a process for each message."""

from __future__ import annotations

import select
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benchmarks.errors import ContenderError, CountError
from benchmarks.rounds import Clock, Round
from benchmarks.sockets import WAIT, upgraded
from benchmarks.wire import first_frame, is_ping, message_frame, pong_frame, upgrade_request

if TYPE_CHECKING:
    import socket

    from benchmarks.process import Contender

SOCKETS: Final = 10
"""As many messages are in flight: each socket waits for its reply."""
MESSAGE: Final = message_frame(b'{"type":"ping"}')
REPLY: Final = b'\x81\x08{"ok":1}'


def measure(contender: Contender, seconds: float) -> Round:
    """One round on fresh sockets; each reply must be the app's line."""
    request = upgrade_request(contender.host)
    with ExitStack() as stack:
        sockets = stack.enter_context(upgraded(contender.port, SOCKETS, lambda _: request))
        poll = stack.enter_context(select.epoll())
        for each in sockets:
            poll.register(each, select.EPOLLIN)
            each.sendall(MESSAGE)
        return _answer_and_send_again({each.fileno(): each for each in sockets}, poll, seconds)


def _answer_and_send_again(
    sockets: dict[int, socket.socket], poll: select.epoll, seconds: float
) -> Round:
    clock = Clock(seconds)
    replied, sent = 0, len(sockets)
    while replied < sent:
        ready = _replied(sockets, poll)
        replied += len(ready)
        if clock.is_running:
            for each in ready:
                each.sendall(MESSAGE)
            sent += len(ready)
    return clock.round(replied)


def _replied(sockets: dict[int, socket.socket], poll: select.epoll) -> list[socket.socket]:
    ready = [sockets[descriptor] for descriptor, _ in poll.poll(WAIT)]
    if not ready:
        raise ContenderError(f"no reply in {WAIT} s")
    return [each for each in ready if is_replied(each)]


def is_replied(connection: socket.socket) -> int:
    """How many replies came; a ping before or after them is answered."""
    stream, replies = connection.recv(4096), b""
    while frame := first_frame(stream):
        stream = stream[len(frame) :]
        if is_ping(frame):
            connection.send(pong_frame(frame))
        else:
            replies += frame
    count = len(replies) // len(REPLY)
    if stream or replies != count * REPLY:
        raise CountError(f"expected {REPLY!r} but got {replies + stream!r}")
    return count
