"""One open WebSocket: whole messages out of bytes, and bytes out of messages."""

from __future__ import annotations

import select
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.protocol import CONNECTING, OPEN

from phlows_cli.cli.dialogue import refusal
from phlows_cli.cli.dialogue.happenings import Closed, Happening, Message, Ping, Pong
from phlows_cli.errors import BrokerUnreachableError
from phlows_cli.model import CloseCode

if TYPE_CHECKING:
    import socket

    from websockets.client import ClientProtocol

    from phlows_cli.cli.dialogue.dial import Deadline

CHUNK: Final = 65536
PINGS: Final = 64
"""Pings of ours that may be without an answer; the eldest is forgotten first."""

_LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Link:
    """A WebSocket over a connected socket, on which nothing here ever waits.

    `receive` is called when the socket can be read, `flush` when it can be
    written; both need not be. `is_over` is set once nothing more will come.
    """

    def __init__(
        self, connection: socket.socket, protocol: ClientProtocol, max_message: int
    ) -> None:
        self._socket = connection
        self._protocol = protocol
        self._max_message = max_message
        self._out = bytearray()
        self._moved_at = time.monotonic()
        self._partial: bytearray | None = None
        self._is_text = True
        self._pings: dict[bytes, float] = {}
        self._fault = ""
        self.is_over = False
        connection.setblocking(False)

    def fileno(self) -> int:
        """The socket's number, to wait on."""
        return self._socket.fileno()

    @property
    def backlog(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._out)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is OPEN

    def silent(self) -> float:
        """Seconds that the eldest ping of ours has had no answer."""
        return time.monotonic() - next(iter(self._pings.values())) if self._pings else 0.0

    def stalled(self) -> float:
        """Seconds that what waits has not moved."""
        return time.monotonic() - self._moved_at if self._out else 0.0

    def has_pending(self) -> bool:
        """Whether TLS holds bytes that no select() sees."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    # What we say

    def handshake(self, request: Any, deadline: Deadline, url: str) -> None:  # noqa: ANN401 - websockets' own
        """Send the upgrade and wait for its answer.

        Raises:
            RefusedError: the answer is no; other errors as refusal.error_of().
            TimedOutError: none came in time.
        """
        self._protocol.send_request(request)
        self.flush()
        while self._protocol.state is CONNECTING and self._protocol.handshake_exc is None:
            self._wait(deadline.left(f"the answer of {url}"))
            self._read()
            self.flush()
            if self.is_over and self._protocol.handshake_exc is None:
                raise BrokerUnreachableError(f"{url} hung up before it answered the upgrade")
        if self._protocol.handshake_exc is not None:
            raise refusal.error_of(self._protocol.handshake_exc, url)

    def send(self, text: str) -> None:
        """Send a text message."""
        self._protocol.send_text(text.encode())
        self.flush()

    def ping(self) -> None:
        """Ask whether the server is there."""
        now = time.monotonic()
        name = f"{now:.6f}".encode()
        if len(self._pings) == PINGS:
            del self._pings[next(iter(self._pings))]
        self._pings[name] = now
        self._protocol.send_ping(name)
        self.flush()

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close, unless somebody already has."""
        if self.is_open:
            self._protocol.send_close(code, reason)
            self.flush()

    def hang_up(self) -> None:
        """Let go of the socket, whatever still waits."""
        self.is_over = True
        self._socket.close()

    def flush(self) -> None:
        """Send what the socket takes."""
        for data in self._protocol.data_to_send():
            if not self._out:
                self._moved_at = time.monotonic()
            self._out += data
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
                self._moved_at = time.monotonic()
        except _LATER:
            return
        except OSError:
            self._out.clear()  # the reader is told how it ended

    # What we are told

    def receive(self) -> list[Happening]:
        """Read what has come; the end is a Closed, once."""
        self._read()
        found = [one for one in map(self._taken, self._frames()) if one is not None]
        self.flush()
        if self.is_over:
            found.append(self.ending())
        return found

    def first(self) -> list[Happening]:
        """What came along with the answer to the upgrade."""
        found = [one for one in map(self._taken, self._frames()) if one is not None]
        self.flush()
        return found

    def _wait(self, timeout: float) -> None:
        """Wait until something can be read, or sent where that is due."""
        if not self.has_pending():
            select.select([self], [self] if self._out else [], [], timeout)

    def _read(self) -> None:
        try:
            data = self._socket.recv(CHUNK)
        except _LATER:
            return
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            self.is_over = True

    def _frames(self) -> list[Frame]:
        return [event for event in self._protocol.events_received() if isinstance(event, Frame)]

    def _taken(self, frame: Frame) -> Happening | None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return self._joined(frame)
        if frame.opcode is Opcode.PING:
            return Ping()
        if frame.opcode is Opcode.PONG:
            return self._answered(bytes(frame.data))
        return None

    def _answered(self, name: bytes) -> Pong | None:
        """Match a pong to its ping; the earlier ones count as answered, too."""
        asked = self._pings.get(name)
        if asked is None:
            return None
        self._pings = {other: at for other, at in self._pings.items() if at > asked}
        return Pong(time.monotonic() - asked)

    def _joined(self, frame: Frame) -> Message | None:
        """Put a fragment to its message; websockets holds that to its size."""
        if self._partial is None:
            self._partial, self._is_text = bytearray(), frame.opcode is Opcode.TEXT
        self._partial += frame.data
        if not frame.fin:
            return None
        content, self._partial = bytes(self._partial), None
        if not self._is_text:
            return Message(content)
        try:
            return Message(content.decode())
        except UnicodeDecodeError:
            self._blame(CloseCode.INVALID_TEXT, "the server sent text that is not UTF-8")
            return None

    def _blame(self, code: int, fault: str) -> None:
        """Close for what the server did."""
        self._fault = self._fault or fault
        self._protocol.fail(int(code))

    def ending(self) -> Closed:
        """How it has ended, or is about to."""
        protocol = self._protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        fault = self._fault or self._broken()
        if sent is not None and (fault or not protocol.close_rcvd_then_sent):
            return Closed(int(sent.code), sent.reason, "client", fault)
        if received is not None:
            return Closed(int(received.code), received.reason, "server")
        return Closed(int(CloseCode.ABNORMAL), "", "nobody")

    def _broken(self) -> str:
        """What the server did that made websockets close; "" where it did not."""
        problem = self._protocol.parser_exc
        if isinstance(problem, PayloadTooBig):
            return f"the server sent a message over {self._max_message} bytes (--max-message)"
        if problem is None or isinstance(problem, EOFError):
            return ""
        return f"the server broke the protocol: {problem}"
