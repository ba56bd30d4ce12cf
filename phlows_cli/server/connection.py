"""One TCP connection as HTTP: bridge calls in order, or an upgrade."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from phlows_cli.errors import RequestError
from phlows_cli.model import Outcome
from phlows_cli.server.answers import Later
from phlows_cli.server.channel import Channel
from phlows_cli.server.upgrade import Admission, admit, is_upgrade_path
from phlows_cli.wire.request import RequestReader
from phlows_cli.wire.response import error_response

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker
    from phlows_cli.model import HookResult
    from phlows_cli.server.access import Caller
    from phlows_cli.server.answers import Answer, Stream
    from phlows_cli.server.bridge import Permit
    from phlows_cli.server.front import Front
    from phlows_cli.wire.request import Request

EARLY_BYTES: Final = 16_384
"""Bytes held that a client sends before its upgrade is answered; then it waits."""

GATHERED_BYTES: Final = 65_536
"""Bytes of answers that go out in one write: then it shows whether they are read."""


class Connection(asyncio.Protocol):
    """From accept to the end, or until the connection becomes a channel."""

    def __init__(self, front: Front, *, has_room: bool = False) -> None:
        self._front = front
        self._has_room = has_room  # a gate has counted it already
        self._reader = RequestReader(body_limit=front.config.bridge.body_limit)
        self._requests: deque[Request] = deque()
        self._failure: RequestError | None = None
        self._feed: Stream | None = None
        self._permit: Permit | None = None
        self._is_waiting = False
        self._early: bytearray | None = None
        self._is_stalled = False
        self._is_ending = False
        self._is_lost = False

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._address = _peer_address(self._transport)
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        if not (self._has_room or self._front.make_room()):
            self._front.broker.drops.count("connection over the limit of descriptors")
            self.abort()
            return
        self._front.enter(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._is_ending or self._feed is not None or self._failure is not None:
            return
        if self._early is not None:
            self._hold_early(data)
            return
        try:
            self._reader.receive_data(data)
        except RequestError as error:
            self._failure = error
        self._requests.extend(self._reader.requests_received())
        self._serve()

    def eof_received(self) -> bool:
        """The client sends no more; what it asked is answered by now.

        Requests wait only while reading is paused, and then no end is seen.
        """
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Nothing can be sent any more."""
        self._is_lost = True
        self._requests.clear()
        self._front.leave(self)
        if self._feed is not None:
            self._feed.stop()

    def pause_writing(self) -> None:
        """The client reads more slowly than it asks: let it wait."""
        self._is_stalled = True
        if self._feed is not None:
            self._feed.stall()
        else:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read its answers."""
        self._is_stalled = False
        if not self._is_waiting:  # else what the client asks meanwhile has no bound
            self._transport.resume_reading()
        if self._feed is not None:
            self._feed.unstall()
        else:
            self._serve()

    # What the front's deadlines do

    def on_late_head(self) -> None:
        """The request did not come whole within limits.handshake_timeout."""
        if self._reader.is_idle:  # a browser's spare connection: nothing is lost
            self.abort()
            return
        self._front.broker.drops.count("request that came too slowly")
        timeout = f"{self._front.broker.limits.handshake_timeout:g} s"
        error = f"the request was not whole within {timeout} (limits.handshake_timeout)"
        self._end(error_response(408, error))

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent what the broker has yet to read."""
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        waiting = select.poll()
        waiting.register(sock.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def abort(self) -> None:
        """Cut the connection."""
        self._is_lost = True
        self._transport.abort()

    # Requests

    @property
    def _caller(self) -> Caller:
        """Who calls, by the rules of now: a reload may have changed them."""
        return self._front.access.caller(self._address)

    def _serve(self) -> None:
        """Answer what can be answered now, in as few writes as may be."""
        if self._is_waiting:
            return
        answers: list[bytes] = []
        size = 0
        turn = self._front.broker.turn
        while self._requests and not (self._is_stalled or self._is_ending or self._is_waiting):
            if turn.is_over:
                self._write(answers)
                self._rest()
                return
            request = self._requests.popleft()
            if request.is_upgrade:
                self._write(answers)
                self._upgrade(request)
                return
            answer = self._answer(request)
            if not isinstance(answer, bytes):
                self._write(answers)
                self._begin(answer, request)
                return
            answers.append(answer)
            if not request.keep_alive:
                self._end(b"".join(answers))
                return
            size += len(answer)
            if size >= GATHERED_BYTES:
                self._write(answers)
                answers, size = [], 0
        self._write(answers)
        self._after_answers()

    def _rest(self) -> None:
        """Let other sockets have their turn; what was asked is answered in the next."""
        self._front.await_nothing(self)
        self._is_waiting = True
        self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_waiting = False
        if self._is_lost:
            return
        if not self._is_stalled:
            self._transport.resume_reading()
        self._serve()

    def _answer(self, request: Request) -> Answer:
        bridge, permit = self._front.bridge, self._permit
        if (
            permit is None
            or permit.headers is not request.headers
            or permit.access is not bridge.access
        ):
            found = self._find_permit(request)
            if isinstance(found, bytes):
                return found
            self._permit = permit = found
        return bridge.answer(request, permit)

    def _find_permit(self, request: Request) -> Permit | bytes:
        """Look whether a head is let in, the first time that it comes."""
        if (
            is_upgrade_path(self._front, request.path)
            and "*" not in self._front.config.server.paths
        ):
            headers = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
            message = "sockets are opened here: use a WebSocket client"
            return error_response(426, message, headers, keep_alive=request.keep_alive)
        client = self._front.client.answer(request)
        return client or self._front.bridge.permit(request, self._caller)

    def _after_answers(self) -> None:
        if self._is_ending:
            return
        if self._is_stalled:
            self._front.await_request(self)  # or rather, that it reads its answers
        elif self._failure is not None:
            failure = self._failure
            self._end(error_response(failure.status, str(failure), failure.headers))
        elif self._reader.is_idle:
            self._front.await_request(self)
        else:
            self._write_interim()
            self._front.await_head(self)

    def _write_interim(self) -> None:
        """Ask for the body that a client holds back until then."""
        if interim := self._reader.data_to_send():
            self._transport.write(interim)

    def _begin(self, answer: Later | Stream, request: Request) -> None:
        if isinstance(answer, Later):
            self._front.await_nothing(self)
            self._is_waiting = True
            self._transport.pause_reading()
            self._front.broker.tasks.spawn(self._answer_later(answer, request))
        else:
            self._stream(answer)

    async def _answer_later(self, answer: Later, request: Request) -> None:
        """Requests behind this one wait, so that answers keep their order."""
        content = await answer.work
        self._is_waiting = False
        if self._is_lost:
            return
        if not self._is_stalled:
            self._transport.resume_reading()  # first: to write may pause it again
        if not request.keep_alive:
            self._end(content)
            return
        self._write([content])
        self._serve()

    def _stream(self, feed: Stream) -> None:
        self._feed = feed
        self._requests.clear()
        self._front.await_nothing(self)
        feed.start(self._transport)
        if self._is_stalled:
            feed.stall()

    def _write(self, answers: list[bytes]) -> None:
        if answers and not self._is_lost:
            self._front.await_nothing(self)  # what comes next has all its time
            self._transport.write(answers[0] if len(answers) == 1 else b"".join(answers))

    def _end(self, answer: bytes) -> None:
        """Send the last answer; the client has close_timeout to read it.

        Closing at once would reset the connection while the client still
        sends, and it would never see the answer.
        """
        if self._is_lost:
            return
        self._is_ending = True
        self._requests.clear()
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._front.await_end(self)
        else:
            self._transport.close()

    # Upgrades

    def _upgrade(self, request: Request) -> None:
        try:
            admission = admit(self._front, request, self._caller, is_tls=self._is_tls)
        except RequestError as error:
            self._end(error_response(error.status, str(error), error.headers))
            return
        self._early = bytearray(self._reader.leftover())
        socket = self._front.broker.new_socket_id()
        if admission.app.host.auth == "upgrade":
            self._front.await_nothing(self)
            self._front.broker.tasks.spawn(self._authenticate(admission, socket))
        else:
            self._open(admission, socket)

    async def _authenticate(self, admission: Admission, socket: str) -> None:
        """Ask the app first; a client that left meanwhile leaves no trace."""
        broker = self._front.broker
        result = await broker.authenticate(admission.app, admission.claim, socket)
        if self._is_lost:
            return
        try:
            broker.check_served(admission.app)
            _check_auth(broker, result)
        except RequestError as error:
            self._end(error_response(error.status, str(error), error.headers))
        else:
            self._open(admission, socket)

    def _open(self, admission: Admission, socket: str) -> None:
        """Answer 101 and hand the connection over to a channel."""
        front, transport = self._front, self._transport
        early, self._early = self._early, None
        channel = Channel(front, transport, admission.address, admission.agent)
        session = front.broker.open(admission.app, socket, admission.claim, channel)
        channel.session = session
        transport.set_protocol(channel)
        # One byte: at 0 a TLS transport is full even when it is empty.
        transport.set_write_buffer_limits(high=1 if self._is_tls else 0)
        front.leave(self)
        front.adopt(channel)
        if self._is_stalled:
            channel.stall()
        channel.reply(admission.response)
        session.start()
        transport.resume_reading()
        if early:
            channel.data_received(bytes(early))

    def _hold_early(self, data: bytes) -> None:
        """Keep frames that came before the 101, up to a bound."""
        early = self._early
        if early is None:
            return
        early += data
        if len(early) >= EARLY_BYTES:
            self._transport.pause_reading()


def _check_auth(broker: Broker, result: HookResult) -> None:
    """Whether the app said yes to an upgrade.

    Raises:
        RequestError: 401 when it did not, 503 when it could not be asked in time.
    """
    if result.outcome in (Outcome.OVERLOADED, Outcome.TIMEOUT):
        raise broker.refusal("auth could not be asked in time, come back later")
    if not (result.is_accepted and result.started):
        raise RequestError("the app did not accept this token", 401)


def _peer_address(transport: asyncio.Transport) -> str:
    """The direct peer: an IP address, "unix", or "" when it has gone already."""
    peer = transport.get_extra_info("peername")
    if peer is None:
        return ""
    return str(peer[0]) if isinstance(peer, tuple) else "unix"
