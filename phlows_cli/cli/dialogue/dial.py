"""A connected socket: TCP or unix, with TLS or without, within a deadline."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.trust import trusting
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, TimedOutError

if TYPE_CHECKING:
    from phlows_cli.cli.dialogue.place import Place

_LEAST: Final = 0.001
"""Seconds: a timeout of 0 would mean a socket that never waits."""


class Deadline:
    """A moment after which nothing is waited for any more."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, what: str) -> float:
        """Seconds until then.

        Raises:
            TimedOutError: it has passed; it names what took so long.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed(what)
        return max(left, _LEAST)

    def passed(self, what: str) -> TimedOutError:
        """Make the error of a moment that has passed."""
        return TimedOutError(f"{what} took longer than {self._seconds:g} s (--connect-timeout)")


def dial(place: Place, deadline: Deadline, *, is_checked: bool, ca: str | None) -> socket.socket:
    """Connect to a place, trusting the certificates of a file where one is named.

    Raises:
        UsageError: that file holds none.
        BrokerUnreachableError: nothing is there, or no TLS that is trusted.
        TimedOutError: it took too long.
    """
    context = _context(ca, is_checked=is_checked) if place.server_name else None
    try:
        connection = _reach(place, deadline)
    except TimeoutError:
        raise deadline.passed(f"connecting to {place.at}") from None
    except OSError as error:
        raise BrokerUnreachableError(_nobody(place, str(error.strerror or error))) from None
    if context is None:
        return connection
    try:
        return _secured(connection, place, deadline, context)
    except BaseException:
        connection.close()
        raise


def _nobody(place: Place, why: str) -> str:
    what = f"nothing answers at {place.at} ({why.lower()})"
    if not place.is_broker:
        return what
    return f"{what}: start the broker with `phlows serve`, or name another with --url"


def _reach(place: Place, deadline: Deadline) -> socket.socket:
    what = f"connecting to {place.at}"
    if isinstance(place.address, str):
        return _attempt(socket.AF_UNIX, place.address, deadline.left(what))
    problem: OSError = OSError("no address")
    for family, address in _resolve(*place.address, deadline):
        try:
            return _attempt(family, address, deadline.left(what))
        except OSError as error:
            problem = error
    raise problem


def _attempt(family: int, address: Any, timeout: float) -> socket.socket:  # noqa: ANN401 - as sockets take it
    connection = socket.socket(family)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


def _resolve(host: str, port: int, deadline: Deadline) -> list[tuple[int, Any]]:
    """Look a name up; the system's own patience is not ours, so a thread waits for it."""
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    what = f"looking up {host}"
    try:
        answer = answers.get(timeout=deadline.left(what))
    except Empty:
        raise deadline.passed(what) from None
    if isinstance(answer, UnicodeError):
        raise OSError("not a name")
    if isinstance(answer, OSError):
        raise answer
    return [(family, address) for family, _, _, _, address in answer]


def _secured(
    connection: socket.socket, place: Place, deadline: Deadline, context: ssl.SSLContext
) -> socket.socket:
    what = f"TLS with {place.at}"
    try:
        connection.settimeout(deadline.left(what))
        return context.wrap_socket(connection, server_hostname=place.server_name)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message.lower().rstrip(".")
        raise BrokerUnreachableError(
            f"the certificate at {place.at} is not trusted here ({why}): name its authority with"
            " --ca or in SSL_CERT_FILE, or leave it unchecked with --insecure"
        ) from None
    except TimeoutError:
        raise deadline.passed(what) from None
    except (OSError, ValueError) as error:
        raise _no_tls(place, error) from None


def _no_tls(place: Place, error: Exception) -> PhlowsError:
    why = getattr(error, "reason", None) or str(error)
    words = str(why).lower().replace("_", " ")
    return BrokerUnreachableError(f"no TLS at {place.at} ({words}): does it speak ws:// there?")


def _context(ca: str | None, *, is_checked: bool) -> ssl.SSLContext:
    context = trusting(ca)
    if not is_checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
