"""One kept connection to the bridge: calls pipelined, answers in their order."""

from __future__ import annotations

import ssl
from collections import deque
from selectors import DefaultSelector
from time import monotonic
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.load.dialing import words
from phlows_cli.cli.load.reactor import READ, WRITE, Reactor
from phlows_cli.cli.load.wire import bridge_request, read_answer
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError, TimedOutError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from phlows_cli.cli.load.address import Place
    from phlows_cli.cli.load.wire import Answer

TIMEOUT: Final = 10.0
_READ_SIZE: Final = 65536
_PENDING: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class BridgeLine:
    """Calls of the bridge. Each answer goes to the `on_answer` of its call.

    Raises, from any call: BrokerUnreachableError when the connection breaks.
    """

    def __init__(self, reactor: Reactor, place: Place, key: str) -> None:
        self._reactor = reactor
        self._place = place
        self._key = key
        self._waiting: deque[Callable[[Answer], None]] = deque()
        self._received = bytearray()
        self._unsent = bytearray()
        self._sock = self._connect()
        reactor.watch(self._sock, READ, self._receive)

    def _connect(self) -> socket.socket:
        sock = None
        try:
            sock = self._place.open()
            if not _is_writable(sock):
                raise TimeoutError("timed out")
            if self._place.context is not None:
                sock.settimeout(TIMEOUT)
                sock = self._place.secured(sock)
                sock.do_handshake()
                sock.setblocking(False)
            sock.getpeername()
        except OSError as error:
            if sock is not None:
                sock.close()
            why = f"no broker answers at {self._place.shown} ({words(error)})"
            raise BrokerUnreachableError(why) from None
        return sock

    def _gone(self, error: Exception) -> BrokerUnreachableError:
        return BrokerUnreachableError(
            f"the broker at {self._place.shown} has gone away ({words(error)})"
        )

    @property
    def waiting(self) -> int:
        """How many calls have not been answered."""
        return len(self._waiting)

    def post(self, path: str, body: bytes, on_answer: Callable[[Answer], None]) -> None:
        """Send a call after those that wait."""
        self._ask("POST", path, body, on_answer)

    def _ask(self, method: str, path: str, body: bytes, take: Callable[[Answer], None]) -> None:
        self._waiting.append(take)
        was_idle = not self._unsent
        self._unsent += bridge_request(method, path, self._place.authority, self._key, body)
        if was_idle:
            self._send()

    def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send a call and turn the reactor until its answer is there.

        Raises:
            TimedOutError: it takes over TIMEOUT seconds.
        """
        answers: list[Answer] = []
        self._ask(method, path, body, answers.append)
        deadline = monotonic() + TIMEOUT
        while not answers:
            if monotonic() > deadline:
                raise TimedOutError(f"{path} of {self._place.shown} took over {TIMEOUT:g} s")
            self._reactor.turn(0.1)
        return answers[0]

    def _send(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent)
                del self._unsent[:sent]
        except _PENDING:
            self._reactor.watch(self._sock, READ | WRITE, self._exchange)
        except OSError as error:
            raise self._gone(error) from None

    def _exchange(self) -> None:
        self._reactor.watch(self._sock, READ, self._receive)
        self._receive()
        self._send()

    def _receive(self) -> None:
        try:
            while part := self._sock.recv(_READ_SIZE):
                self._received += part
                self._answer()
        except _PENDING:
            return
        except OSError as error:
            raise self._gone(error) from None
        raise self._gone(EOFError("no answer"))

    def _answer(self) -> None:
        while self._waiting and self._received:
            try:
                answer = read_answer(self._received)
            except ValueError:
                raise BrokerUnreachableError(
                    f"what answers at {self._place.shown} is not a phlows broker"
                ) from None
            if answer is None:
                return
            del self._received[: answer.size]
            self._waiting.popleft()(answer)

    def close(self) -> None:
        """Let the connection go."""
        self._reactor.forget(self._sock)
        self._sock.close()


def _is_writable(sock: socket.socket) -> bool:
    """Wait until the connection is made, or has failed."""
    with DefaultSelector() as selector:  # select() knows no descriptor over 1,023
        selector.register(sock, WRITE)
        return bool(selector.select(TIMEOUT))


def checked(answer: Answer) -> Answer:
    """Give a 200 back; raise what another status stands for."""
    if answer.status == 200:
        return answer
    words = answer.message or f"the bridge answered {answer.status}"
    if answer.status in (401, 403):
        raise RefusedError(f"{words}: set PHLOWS_KEY to the key of this broker")
    if 400 <= answer.status < 500:
        raise RefusedError(words)
    raise PhlowsError(words)
