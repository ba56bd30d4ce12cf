"""WebSocket handshakes, many under way at once."""

from __future__ import annotations

import base64
import secrets
import ssl
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final, NamedTuple

from phlows_cli.cli.load.reactor import READ, WRITE
from phlows_cli.cli.load.wire import accept_for, client_frame, read_answer, upgrade_request

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from phlows_cli.cli.load.address import Place
    from phlows_cli.cli.load.reactor import Reactor

BATCH: Final = 32
"""Handshakes that are begun between two turns: who connects says at once what it wants."""
_READ_SIZE: Final = 16384
_KEY: Final = base64.b64encode(secrets.token_bytes(16)).decode()
_ACCEPT: Final = accept_for(_KEY)
_PENDING: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who connects: the templates of a host, an auth message and a cookie.

    {n} in `token` and `cookie` is the number of the socket.
    """

    host: str
    run: str
    token: str | None = None
    cookie: str | None = None
    origin: str | None = None

    def request(self, number: int, path: str) -> bytes:
        """The handshake of one socket."""
        headers = [("Host", self.host), ("User-Agent", f"phlows-bench {self.run} {number}")]
        if self.cookie is not None:
            headers.append(("Cookie", self.cookie.replace("{n}", str(number))))
        if self.origin is not None:
            headers.append(("Origin", self.origin))
        return upgrade_request(path, _KEY, headers)

    def token_of(self, number: int) -> str | None:
        """The token that a socket sends, if it sends one."""
        return None if self.token is None else self.token.replace("{n}", str(number))

    def auth_frame(self, number: int) -> bytes:
        """The auth message of one socket; b"" where there is none."""
        import json

        token = self.token_of(number)
        if token is None:
            return b""
        return client_frame(json.dumps({"type": "auth", "token": token}).encode())


class Opened(NamedTuple):
    """A handshake that succeeded; `rest` came with its answer."""

    number: int
    sock: socket.socket
    rest: bytes
    seconds: float


class Refused(NamedTuple):
    """A handshake that did not; status 0: there was no answer."""

    number: int
    status: int
    retry_after: int | None
    why: str
    seconds: float


class Dialer:
    """Begins handshakes and tells how each ended, exactly once.

    Args:
        timeout: seconds that a handshake may take.
        on_end: called with an Opened, whose socket is the callee's, or a Refused.
    """

    def __init__(
        self,
        reactor: Reactor,
        place: Place,
        visitor: Visitor,
        timeout: float,
        on_end: Callable[[Opened | Refused], None],
    ) -> None:
        self._reactor = reactor
        self.place = place
        self._visitor = visitor
        self._timeout = timeout
        self._on_end = on_end
        self._handshakes: dict[_Handshake, None] = {}

    @property
    def under_way(self) -> int:
        """How many have neither succeeded nor failed yet."""
        return len(self._handshakes)

    def dial(self, number: int) -> None:
        """Begin a handshake."""
        began = perf_counter()
        try:
            sock = self.place.open(number)
        except OSError as error:
            self._on_end(Refused(number, 0, None, words(error), 0.0))
            return
        request = self._visitor.request(number, self.place.path)
        handshake = _Handshake(self, sock, number, request, began)
        self._handshakes[handshake] = None
        self._reactor.watch(sock, WRITE, handshake.connected)

    def sweep(self) -> None:
        """Give up those that take too long; they stand in the order they began."""
        now = perf_counter()
        while self._handshakes:
            oldest = next(iter(self._handshakes))
            if now - oldest.began < self._timeout:
                return
            oldest.fail(0, None, f"no answer in {self._timeout:g} s")

    def watch(self, sock: socket.socket, events: int, call: Callable[[], object]) -> None:
        """Wait for the next step of a handshake."""
        self._reactor.watch(sock, events, call)

    def forget(self, sock: socket.socket) -> None:
        """Wait for nothing more of a socket."""
        self._reactor.forget(sock)

    def ended(self, handshake: _Handshake, end: Opened | Refused) -> None:
        """Tell how a handshake ended."""
        del self._handshakes[handshake]
        self._reactor.forget(handshake.sock)
        if isinstance(end, Refused):
            handshake.sock.close()
        self._on_end(end)

    def close(self) -> None:
        """Let go of what is under way, and tell nobody."""
        for handshake in self._handshakes:
            self._reactor.forget(handshake.sock)
            handshake.sock.close()
        self._handshakes.clear()


class _Handshake:
    """One socket from connect to 101: each step waits for the next."""

    __slots__ = ("_dialer", "_number", "_received", "_request", "began", "sock")

    def __init__(
        self, dialer: Dialer, sock: socket.socket, number: int, request: bytes, began: float
    ) -> None:
        self._dialer = dialer
        self.sock = sock
        self._number = number
        self._request = request
        self._received = b""
        self.began = began

    def connected(self) -> None:
        """The connection is there, or is not."""
        import socket as module

        error = self.sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR)
        if error:
            self.fail(0, None, words(OSError(error, "")))
        elif self._dialer.place.context is not None:
            self._wrap()
        else:
            self._send()

    def _wrap(self) -> None:
        # Wrapping detaches the plain socket, which could not be forgotten any more.
        self._dialer.forget(self.sock)
        try:
            self.sock = self._dialer.place.secured(self.sock)
        except (OSError, ValueError) as error:
            self.fail(0, None, words(error))
            return
        self.encrypt()

    def encrypt(self) -> None:
        """Go on with the handshake of TLS."""
        try:
            self.sock.do_handshake()  # type: ignore[attr-defined] # it is an SSLSocket by now
        except ssl.SSLWantWriteError:
            self._dialer.watch(self.sock, WRITE, self.encrypt)
        except ssl.SSLWantReadError:
            self._dialer.watch(self.sock, READ, self.encrypt)
        except OSError as error:
            self.fail(0, None, words(error))
        else:
            self._send()

    def _send(self) -> None:
        try:
            self.sock.sendall(self._request)  # a new socket's buffer holds it
        except OSError as error:
            self.fail(0, None, words(error))
            return
        self._dialer.watch(self.sock, READ, self.receive)

    def receive(self) -> None:
        """Read the answer; what follows it belongs to the socket."""
        try:
            part = self.sock.recv(_READ_SIZE)
            self._received += part
            answer = read_answer(self._received)
        except _PENDING:
            return
        except (OSError, ValueError) as error:
            self.fail(0, None, words(error))
            return
        if answer is None:
            if not part:
                self.fail(0, None, "closed before it answered")
            return
        if answer.status == 101 and answer.accept == _ACCEPT:
            seconds = perf_counter() - self.began
            rest = self._received[answer.size :]
            self._dialer.ended(self, Opened(self._number, self.sock, rest, seconds))
        else:
            why = answer.message or f"status {answer.status}"
            self.fail(answer.status, answer.retry_after, why)

    def fail(self, status: int, retry_after: int | None, why: str) -> None:
        """End it without a socket."""
        seconds = perf_counter() - self.began
        self._dialer.ended(self, Refused(self._number, status, retry_after, why, seconds))


def words(error: Exception) -> str:
    """Say in few words why there is no connection."""
    import os

    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted here (--ca FILE)"
    if isinstance(error, ssl.SSLError):
        return "no TLS there"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
