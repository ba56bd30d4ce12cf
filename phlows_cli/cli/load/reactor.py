"""Waits for sockets, and calls what belongs to those that are ready."""

from __future__ import annotations

import select
import selectors
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE
_SHORT: Final = 0.005
"""Seconds of a wait that is to be exact."""


class Reactor:
    """A selector whose keys hold what is to be called."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        descriptor = self._selector.fileno() if hasattr(self._selector, "fileno") else -1
        self._descriptor = descriptor if descriptor < 1024 else -1  # select() knows no more

    def watch(self, sock: socket.socket, events: int, call: Callable[[], object]) -> None:
        """Call from now on, instead of what was called before."""
        if sock.fileno() in self._selector.get_map():
            self._selector.modify(sock, events, call)
        else:
            self._selector.register(sock, events, call)

    def forget(self, sock: socket.socket) -> None:
        """Call no more; it may have been forgotten already."""
        if sock.fileno() in self._selector.get_map():
            self._selector.unregister(sock)

    def turn(self, wait: float) -> bool:
        """Wait so many seconds at most; returns whether anything was ready."""
        if 0 < wait < _SHORT and self._descriptor >= 0:
            # epoll waits whole milliseconds, which would make what is due late.
            select.select((self._descriptor,), (), (), wait)
            wait = 0
        ready = self._selector.select(max(0.0, wait))
        for key, _ in ready:
            key.data()
        return bool(ready)

    def close(self) -> None:
        """Let the selector go; the sockets are somebody else's."""
        self._selector.close()
