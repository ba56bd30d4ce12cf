"""A client's frames to whole messages, and what must be answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from phlows_cli.model import CloseCode
from phlows_cli.wire.frame import CONTROL_LIMIT, close_frame, pong_frame
from phlows_cli.wire.quiet import QUIET

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was installed
    from websockets.utils import apply_mask

FRAGMENTS: Final = 1024
"""Frames that one message may come in: each costs a hundred bytes."""

_TEXT: Final = 0x81
_CLOSE: Final = 0x88
_PING: Final = 0x89
_PING_OR_PONG: Final = (0x89, 0x8A)
_OPCODES: Final = frozenset(opcode.value for opcode in Opcode)
_CONTROL: Final = 0x08
_MASKED: Final = 0x80

_NOT_UTF8: Final = "text that is not UTF-8"


@dataclass(frozen=True, slots=True)
class PeerClose:
    """The client closed; 1005 when it gave no code."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class CloseFailure:
    """Why the reader closed: 1002, 1003, 1007 or 1009."""

    code: int
    reason: str


class MessageReader:
    """Bytes of an accepted client in, whole text messages out.

    Messages in one frame, pings and pongs are read here. Every other frame
    goes, once it is whole, to websockets' ServerProtocol, which lives only
    while a message is in fragments: an idle socket holds no buffer and none.

    Args:
        max_message: bytes of a message, its fragments joined
            (limits.max_message).

    Attributes:
        has_more: `events_received` stopped at its limit; call it again.
        failed: set when the reader closed the connection itself.
        control_frames: pings, pongs and closes so far.
    """

    __slots__ = (
        "_buffer",
        "_fragments",
        "_is_closing",
        "_is_over",
        "_max_message",
        "_out",
        "_protocol",
        "_size",
        "_start",
        "control_frames",
        "failed",
        "has_more",
    )

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer: bytes | bytearray = b""
        self._start = 0
        self._fragments: list[bytes] | None = None  # None: between messages
        self._size = 0  # of the fragments
        self._protocol: ServerProtocol | None = None
        self._out = b""
        self._is_closing = False  # our side sent a close frame
        self._is_over = False  # what comes now is discarded
        self.has_more = False
        self.failed: CloseFailure | None = None
        self.control_frames = 0

    def whole_text(self, data: bytes) -> str | None:
        """A short message that came in one piece and alone, as most do.

        None: it is something else, and nothing was taken: `receive_data` is to have it.
        """
        length = len(data) - 6
        is_short = 0 <= length <= min(125, self._max_message)
        if not is_short or data[0] != _TEXT or data[1] != _MASKED + length:
            return None
        if self._buffer or self._fragments is not None or self._is_closing or self._is_over:
            return None
        try:
            return apply_mask(data[6:], data[2:6]).decode()
        except UnicodeDecodeError:
            return None

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client; they are read by `events_received`."""
        if self._is_over:
            return
        if not self._buffer:
            self._buffer = data
            return
        if self._start or isinstance(self._buffer, bytes):
            self._buffer = bytearray(self._buffer[self._start :])
            self._start = 0
        self._buffer += data

    def events_received(self, limit: int = 64) -> list[str | PeerClose]:
        """The messages that are whole, in order; the client's close is last.

        Args:
            limit: frames of any kind to read: one read of empty pings would
                keep everyone else waiting.
        """
        events: list[str | PeerClose] = []
        left = self._read_plain(events, limit)
        while left and self._read_other(events):
            left = self._read_plain(events, left - 1)
        self._release(left)
        return events

    def data_to_send(self) -> bytes:
        """Pongs, and the close frame that answers a close or a failure."""
        out, self._out = self._out, b""
        return out

    def close_sent(self) -> None:
        """Our side sent a close frame, which nothing may follow.

        Messages are ignored from here on; the client's close is still seen.
        """
        self._is_closing = True
        self._out = b""

    def _read_plain(self, events: list[str | PeerClose], left: int) -> int:
        """Read text in one frame, pings and pongs, until something else.

        Returns:
            What is left of the limit.
        """
        data, position = self._buffer, self._start
        size = len(data)
        takes_text = self._fragments is None and not self._is_closing
        try:
            while left and size - position >= 2:
                first = data[position]
                mask, length = position + 2, data[position + 1] - _MASKED
                if length > 125:
                    mask, length = _read_length(data, position)
                begin = mask + 4
                end = begin + length
                if length < 0 or end > size:
                    break
                if first == _TEXT and takes_text and length <= self._max_message:
                    events.append(apply_mask(data[begin:end], data[mask:begin]).decode())
                elif first in _PING_OR_PONG and length <= CONTROL_LIMIT:
                    self._take_ping(first, apply_mask(data[begin:end], data[mask:begin]))
                else:
                    break
                position = end
                left -= 1
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_TEXT, _NOT_UTF8)
            return left
        self._start = position
        return left

    def _take_ping(self, first: int, payload: bytes) -> None:
        self.control_frames += 1
        if first == _PING and not self._is_closing:
            self._out += pong_frame(payload)

    def _read_other(self, events: list[str | PeerClose]) -> bool:
        """Read one frame of another kind; false when none is whole."""
        data, start = self._buffer, self._start
        if len(data) - start < 2:
            return False
        first = data[start]
        mask, length = _read_length(data, start)
        end = mask + 4 + length
        if first & 0x0F not in _OPCODES or data[start + 1] < _MASKED:
            end = len(data)  # refused for these two bytes, whatever follows
        elif length > self._room(first, length):
            self._fail(CloseCode.TOO_BIG, self._too_big(self._size + length))
            return False
        elif length < 0 or end > len(data):
            return False
        self._start = end
        self._feed(bytes(data[start:end]), events)
        return True

    def _feed(self, data: bytes, events: list[str | PeerClose]) -> None:
        """Let the protocol judge a whole frame, or one it refuses."""
        protocol = self._protocol
        if protocol is None or data[0] == _CLOSE:
            # A close may come within a message, which websockets refuses: a fresh one knows
            # of none. Its own limit only stops what the check before it has let pass.
            limit = self._max_message + CONTROL_LIMIT
            protocol = ServerProtocol(state=OPEN, max_size=limit, logger=QUIET)
            self._protocol = protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            self._take_frame(cast("Frame", event), events)
        if protocol.parser_exc is not None and protocol.close_sent is not None:
            self._fail(protocol.close_sent.code, protocol.close_sent.reason)

    def _take_frame(self, frame: Frame, events: list[str | PeerClose]) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._take_close(events)
        elif frame.opcode is Opcode.BINARY and not self._is_closing:
            self._fail(CloseCode.UNSUPPORTED_DATA, "binary messages are not supported")
        else:
            self._join(frame, events)

    def _take_close(self, events: list[str | PeerClose]) -> None:
        self.control_frames += 1
        close = self._protocol.close_rcvd if self._protocol else None
        code, reason = (close.code, close.reason) if close else (CloseCode.NO_STATUS, "")
        events.append(PeerClose(int(code), reason))
        if not self._is_closing:
            self._out += close_frame(code, reason)
        self._end()

    def _join(self, frame: Frame, events: list[str | PeerClose]) -> None:
        """Add a fragment to its message, and decode the message when whole."""
        if self._fragments is None:
            self._fragments = []
        self._fragments.append(bytes(frame.data))
        self._size += len(frame.data)
        if frame.fin:
            message = b"".join(self._fragments)
            self._fragments, self._size = None, 0
            self._take_message(message, events)
        elif len(self._fragments) == FRAGMENTS:
            self._fail(CloseCode.TOO_BIG, f"message of more than {FRAGMENTS} fragments")

    def _take_message(self, message: bytes, events: list[str | PeerClose]) -> None:
        if self._is_closing:
            return
        try:
            events.append(message.decode())
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_TEXT, _NOT_UTF8)

    def _room(self, first: int, length: int) -> int:
        """Bytes that a frame may have; control frames count for no message."""
        if first & _CONTROL and length <= CONTROL_LIMIT:
            return CONTROL_LIMIT
        return self._max_message - self._size

    def _too_big(self, size: int) -> str:
        return f"message of {size} bytes exceeds {self._max_message} (limits.max_message)"

    def _fail(self, code: int, reason: str) -> None:
        """Close for the client's mistake; what it sends next is discarded."""
        self.failed = CloseFailure(int(code), reason)
        if not self._is_closing:
            self._out += close_frame(code, reason)
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._buffer, self._start = b"", 0
        self._fragments, self._protocol = None, None

    def _release(self, left: int) -> None:
        """Keep nothing between reads but a frame that is not whole."""
        if self._fragments is None:
            self._protocol = None
        rest = len(self._buffer) - self._start
        self.has_more = not left and rest > 0
        if self._start and not self.has_more:
            self._buffer = self._buffer[self._start :] if rest else b""
            self._start = 0


def _read_length(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Where a frame's mask begins, and its length; -1 when not yet known."""
    length = data[position + 1] & 127
    if length < 126:
        return position + 2, length
    end = position + (4 if length == 126 else 10)
    if end > len(data):
        return end, -1
    return end, int.from_bytes(data[position + 2 : end], "big")
