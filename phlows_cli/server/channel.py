"""One TCP connection after its upgrade: frames in, messages to the session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from phlows_cli.broker.bucket import TokenBucket
from phlows_cli.model import CloseCode
from phlows_cli.server.outbox import Outbox
from phlows_cli.wire.frame import close_frame, ping_frame
from phlows_cli.wire.websocket import MessageReader, PeerClose

if TYPE_CHECKING:
    from phlows_cli.broker.session import Session
    from phlows_cli.server.front import Front

PING: Final = ping_frame()
FRAMES_A_TURN: Final = 64
"""Frames of one client handled before others get their turn."""


class Channel(Outbox, asyncio.Protocol):
    """A client's WebSocket: the `Peer` of its session."""

    __slots__ = (
        "_bucket",
        "_front",
        "_has_answered",
        "_has_ended",
        "_has_eof",
        "_holds",
        "_is_reading_later",
        "_reader",
        "address",
        "agent",
        "keepalive_slot",
        "session",
    )

    session: Session

    def __init__(
        self, front: Front, transport: asyncio.Transport, address: str, agent: str
    ) -> None:
        super().__init__(front.flusher, transport)
        self.address = address
        self.agent = agent
        self.keepalive_slot = 0
        self._front = front
        self._reader = MessageReader(front.broker.limits.max_message)
        self._has_answered = True
        self._has_ended = False
        self._has_eof = False
        self._holds = 0
        self._is_reading_later = False
        rate = front.broker.limits.message_rate
        self._bucket = TokenBucket(rate, front.broker.clock()) if rate else None

    # What asyncio tells

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.is_ending:
            return
        self._has_answered = True
        if not self._holds and (text := self._reader.whole_text(data)) is not None:
            if self._bucket is None or self._may_receive(1):
                self.session.receive(text)
            return
        self._reader.receive_data(data)
        if not self._is_reading_later:
            self._read_frames()

    def eof_received(self) -> bool:
        """The client will send no more: messages that came before still run."""
        self._has_eof = True
        self._leave(CloseCode.ABNORMAL, "the client ended the stream")
        if self._has_ended:
            self.transport.close()
        elif not self.is_ending:
            self._end_stream()
        # on_end closes, after what is queued; TLS cannot stay open for that.
        return self.transport.can_write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing can be sent any more."""
        frames = self.abandon()
        if frames and not self._has_eof:
            self._front.broker.drops.count("frame to a socket that was lost", frames)
        self._front.forget(self)
        self._leave(CloseCode.ABNORMAL, "the connection was lost" if error else "")
        # It refers to us: without this, each socket would be left to the garbage collector,
        # which hardly ever looks at what has lived for long.
        del self.session

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent to."""
        self.stall()

    def resume_writing(self) -> None:
        """The client has read what the transport held."""
        self.unstall()

    # What the session asks for

    def close(self, code: int, reason: str) -> None:
        """Send a close frame after what is queued, then end the connection."""
        if self.is_sealed:
            return
        self._reader.close_sent()
        self.seal(close_frame(code, reason), ends=False)
        self._front.await_close(self)
        # From here on only the client's own close frame matters: read on for it.
        if self._holds:
            self._holds = 1
            self._release()

    def pause_reading(self) -> None:
        """Take no more messages: TCP tells the client to wait."""
        self._hold()

    def resume_reading(self) -> None:
        """Take messages again, those that were read before first."""
        self._release()

    # Keepalive

    def keep_alive(self) -> None:
        """Ping; a client that has not answered the last one is gone."""
        if self._holds:
            return  # its answer may be among the bytes that are not read
        if not self._has_answered:
            self._front.broker.drops.count("socket that answered no ping")
            self.session.left(CloseCode.ABNORMAL, "no answer to a ping", "timeout")
            self.abort()
            return
        self._has_answered = False
        self.send(PING)

    def abort(self) -> None:
        """Cut the connection without further ado."""
        self.abandon()
        self.transport.abort()

    # The outbox's own events

    def on_slow_consumer(self) -> None:
        """More waits for this client than it may have."""
        self._front.broker.drops.count("frame to a slow consumer", 1 + self.clear())
        self.session.end(CloseCode.SLOW_CONSUMER, "slow consumer (limits.send_buffer)")

    def cut(self) -> None:
        """All clients together hold too much, and this one the most."""
        self._front.broker.drops.count("frame to a slow consumer", self.clear())
        self.session.end(CloseCode.SLOW_CONSUMER, "slow consumer (limits.send_total)")
        self.abort()

    def on_end(self) -> None:
        """The close handshake is done on our side."""
        self._has_ended = True
        if self._has_eof or not self.transport.can_write_eof():
            self.transport.close()
        else:
            self.transport.write_eof()

    # Inner parts

    def _read_frames(self) -> None:
        """Handle a turn's worth of frames; the rest waits for the next turn."""
        if self._holds:
            return
        reader = self._reader
        for event in reader.events_received(FRAMES_A_TURN):
            if isinstance(event, PeerClose):
                self._echo_close(event)
            elif self._may_receive(1):
                self.session.receive(event)
        self._answer_controls()
        if reader.failed is not None and not self.is_ending:
            self._end_stream()
            self.session.end(reader.failed.code, reader.failed.reason)
        elif reader.has_more:
            self._is_reading_later = True
            self._hold()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        self._is_reading_later = False
        self._release()

    def _answer_controls(self) -> None:
        """Send what the reader has to say: pongs, or the close frame of a failure."""
        data = self._reader.data_to_send()
        if data:
            self.reply(data)
        controls = self._reader.control_frames
        if controls:
            self._reader.control_frames = 0
            self._may_receive(controls)

    def _echo_close(self, event: PeerClose) -> None:
        data = self._reader.data_to_send()
        if data:
            self.reply(data)
        self._end_stream()
        self._leave(event.code, event.reason)

    def _end_stream(self) -> None:
        """Send what is queued, then nothing more."""
        self._front.await_close(self)
        self.seal(b"", ends=True)

    def _leave(self, code: int, reason: str) -> None:
        self.session.left(code, reason)

    def _may_receive(self, frames: int) -> bool:
        """Whether the client keeps to limits.message_rate; closes it if not."""
        if self._bucket is None or self._bucket.take(self._front.broker.clock(), frames):
            return True
        rate = self._front.broker.limits.message_rate
        reason = f"more than {rate:g} messages a second (limits.message_rate)"
        self.session.end(CloseCode.TOO_FAST, reason)
        return False

    def _hold(self) -> None:
        self._holds += 1
        if self._holds == 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def _release(self) -> None:
        """Undo one hold; those that a close already undid are forgotten."""
        if self._holds == 0:
            return
        self._holds -= 1
        if self._holds == 0 and not self.transport.is_closing():
            self.transport.resume_reading()
            self._read_frames()
