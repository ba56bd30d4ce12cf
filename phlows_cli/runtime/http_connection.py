"""Connections to an app that is a URL: one request at a time, kept alive.

Nothing is sent twice. A connection that the other side closes in the very
moment it is used again fails its request: the app may have seen it.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from phlows_cli.wire.answer_reader import AnswerBroken, AnswerEnd, AnswerReader

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from phlows_cli.wire.answer_reader import AnswerEvent
    from phlows_cli.wire.endpoint import Endpoint

CONNECT_LIMIT: Final = 5.0
"""Seconds to connect in, the host's timeout allowing; TLS included."""

IDLE_LIMIT: Final = 15.0
"""Seconds that an unused connection is kept: less than servers commonly do."""

OnAnswer: TypeAlias = "Callable[[AnswerEvent], bool]"
"""Takes one event of an answer; False when what is yet to come is not wanted."""

ContextFactory: TypeAlias = "Callable[[], ssl.SSLContext]"


class UnreachableError(Exception):
    """No connection could be made; the text says why."""


class Connection(asyncio.Protocol):
    """One connection, and the request it is busy with."""

    def __init__(self, on_made: OnChange, on_lost: OnChange) -> None:
        self._on_made = on_made
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None  # while an answer is wanted
        self._on_answer: OnAnswer | None = None
        self._done: asyncio.Future[None] | None = None
        self._unused_until: asyncio.TimerHandle | None = None
        self.is_reusable = False

    async def ask(self, request: bytes, on_answer: OnAnswer) -> None:
        """Send a request, and hand on what is answered up to its end.

        The last event is an end or a break, unless the caller wants no more.
        Whoever cancels this closes the connection.
        """
        self._reader = AnswerReader()
        self._on_answer = on_answer
        self._done = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._hand_on([AnswerBroken("the connection was closed")])
        else:
            self._transport.write(request)
        await self._done

    def wait_unused(self, seconds: float) -> None:
        """Wait for the next request, but not longer than this."""
        loop = asyncio.get_running_loop()
        self._unused_until = loop.call_later(seconds, self.abort)

    def reuse(self) -> bool:
        """End the wait; False when the other side closed the connection meanwhile."""
        self.is_reusable = False
        self._stop_waiting()
        return self._is_still_open()

    def abort(self) -> None:
        """Close now; nothing more is handed on."""
        self._reader = self._on_answer = None
        self.is_reusable = False
        self._stop_waiting()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; see asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Read what came; see asyncio.Protocol."""
        if self._reader is None:  # nobody asked
            self.abort()
            return
        self._reader.receive_data(data)
        self._hand_on(self._reader.events_received())

    def eof_received(self) -> None:
        """Read the end; the transport closes itself after it."""
        self.is_reusable = False
        if self._reader is not None:
            self._reader.receive_eof()
            self._hand_on(self._reader.events_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Break off the answer; see asyncio.Protocol."""
        if self._reader is not None and exc is None:
            self.eof_received()
        elif self._reader is not None:
            self._hand_on([AnswerBroken(_why_lost(exc))])
        self._transport = None
        self._stop_waiting()
        self._on_lost(self)

    def _hand_on(self, events: list[AnswerEvent]) -> None:
        wants_more = True
        for event in events:
            if self._on_answer is not None:
                wants_more = self._on_answer(event)
        last = events[-1] if events else None
        if isinstance(last, AnswerEnd):
            self.is_reusable = last.reusable and self._is_all_sent()
        elif wants_more and not isinstance(last, AnswerBroken):
            return
        self._reader = self._on_answer = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _is_all_sent(self) -> bool:
        return self._transport is not None and not self._transport.get_write_buffer_size()

    def _is_still_open(self) -> bool:
        """Whether nothing came since the last answer, not even an end.

        The system is asked: the event loop may not have looked yet.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        ready = select.poll()
        ready.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not ready.poll(0)

    def _stop_waiting(self) -> None:
        if self._unused_until is not None:
            self._unused_until.cancel()
            self._unused_until = None


OnChange: TypeAlias = "Callable[[Connection], None]"


class Pool:
    """The connections to one endpoint; those not in use wait to be used again."""

    def __init__(
        self, endpoint: Endpoint, context_factory: ContextFactory, idle_limit: float = IDLE_LIMIT
    ) -> None:
        self._endpoint = endpoint
        self._context_factory = context_factory
        self._context: ssl.SSLContext | None = None
        self._idle_limit = idle_limit
        self._unused: list[Connection] = []
        self._open: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def unused(self) -> int:
        """How many connections wait to be used again."""
        return len(self._unused)

    async def take(self) -> Connection:
        """Return a connection to ask on, a new one unless one is unused.

        Raises:
            UnreachableError: no new one could be made.
        """
        while self._unused:
            connection = self._unused.pop()
            if connection.reuse():
                return connection
            connection.abort()
        return await self._connect()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, or close it."""
        if connection.is_reusable and connection in self._open:
            connection.wait_unused(self._idle_limit)
            self._unused.append(connection)
        else:
            connection.abort()

    async def close(self) -> None:
        """Close every connection, and wait until they are closed."""
        for connection in list(self._open):
            connection.abort()
        await self._empty.wait()

    async def _connect(self) -> Connection:
        loop, endpoint = asyncio.get_running_loop(), self._endpoint
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                _, connection = await loop.create_connection(
                    self._new, endpoint.host, endpoint.port, ssl=self._tls()
                )
        except OSError as error:
            raise UnreachableError(_why_unreachable(error, endpoint.origin)) from None
        return connection

    def _tls(self) -> ssl.SSLContext | None:
        if self._context is None and self._endpoint.is_secure:
            self._context = self._context_factory()
        return self._context

    def _new(self) -> Connection:
        return Connection(self._remember, self._forget)

    def _remember(self, connection: Connection) -> None:
        self._open.add(connection)
        self._empty.clear()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        with suppress(ValueError):
            self._unused.remove(connection)
        if not self._open:
            self._empty.set()


def _why_lost(error: Exception | None) -> str:
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "the connection was reset"
    what = error.strerror if isinstance(error, OSError) else type(error).__name__
    return f"the connection was lost: {what}"


def _why_unreachable(error: OSError, origin: str) -> str:
    """Put a failed connection into words."""
    import socket
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {origin} is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {origin}: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name in {origin} has no address: {error.strerror}"
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {origin}"
    if isinstance(error, TimeoutError):
        return f"no connection to {origin} within {CONNECT_LIMIT:g} s"
    return f"no connection to {origin}: {error.strerror or error}"
