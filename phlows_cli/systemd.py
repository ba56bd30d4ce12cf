"""systemd's side of a service: sockets that it holds, and what it is told.

Both are small protocols of environment variables. Source: the manual pages
sd_listen_fds(3) and sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import time
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    Environment = MutableMapping[str, str]

log = logging.getLogger("phlows.systemd")

FIRST_DESCRIPTOR: Final = 3
_LISTEN: Final = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
_NOTIFY: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)

STOP_MARGIN: Final = 15.0
"""Seconds that a stop may take over server.drain_timeout: workers end, sockets close."""


def take_sockets(environ: Environment = os.environ) -> list[socket.socket]:
    """The listening sockets that were handed to this process; none is usual.

    The variables are gone then, and no process that is started gets the sockets.

    Raises:
        ListenError: what was handed over is not a socket that listens.
    """
    pid, _, count, names = (environ.pop(name, "") for name in _LISTEN)
    if pid != str(os.getpid()) or not count.isdecimal():  # they are another process's
        return []
    labels = names.split(":")
    taken: list[socket.socket] = []
    try:
        for number in range(int(count)):
            label = labels[number] if number < len(labels) else ""
            taken.append(_take(FIRST_DESCRIPTOR + number, label or "unknown"))
    except ListenError:
        for sock in taken:
            sock.close()
        raise
    return taken


def _take(descriptor: int, label: str) -> socket.socket:
    """One inherited descriptor as a socket, if connections arrive there."""
    where = f"descriptor {descriptor} ({label}) that was inherited (LISTEN_FDS)"
    try:
        os.set_inheritable(descriptor, False)
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise ListenError(f"{where} is not open: start phlows by its .socket unit") from error
    if not is_socket:
        raise ListenError(f"{where} is not a socket: use ListenStream= in the .socket unit")
    sock = socket.socket(fileno=descriptor)
    is_listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.family in _FAMILIES and sock.type == socket.SOCK_STREAM and is_listening:
        return sock
    sock.close()
    raise ListenError(
        f"{where} is not a TCP or unix socket that listens: "
        "use ListenStream= and Accept=no in the .socket unit"
    )


class Supervisor:
    """What is told to systemd, or to nobody where nobody asked for it.

    Args:
        environ: names the socket and the watchdog; no longer after this, so
            that no app speaks for the broker.
    """

    def __init__(self, environ: Environment = os.environ) -> None:
        address, period, pid = (environ.pop(name, "") for name in _NOTIFY)
        # A name that begins with "@" is not a file: the kernel writes it with a NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "\0")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        is_ours = pid in ("", str(os.getpid())) and period.isdecimal() and self._socket is not None
        self.beat_interval = int(period) / 2_000_000 if is_ours else 0.0
        self._last_beat = time.monotonic()

    def ready(self, status: str) -> None:
        """It serves, and `status` is one line about that."""
        self._tell("READY=1", f"STATUS={' '.join(status.split())}")

    def reloading(self) -> None:
        """It reads its configuration again; ready() ends that."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def stopping(self, drain_timeout: float) -> None:
        """It stops, and may take `drain_timeout` seconds and a little for it."""
        patience = round((drain_timeout + STOP_MARGIN) * 1_000_000)
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={patience}", "STATUS=draining")

    def beat(self) -> None:
        """Show that the event loop turns: to be called more often than needed."""
        now = time.monotonic()
        if self.beat_interval and now - self._last_beat >= self.beat_interval:
            self._last_beat = now
            self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Say no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:  # full or gone: the broker serves on
            log.warning("systemd was not told", extra={"reason": error.strerror})
