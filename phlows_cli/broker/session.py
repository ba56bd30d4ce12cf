"""The life of one connection: connect -> auth -> receive* -> close, in order."""

from __future__ import annotations

import math
import time
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from phlows_cli.broker.messages import auth_token, is_auth_message, problem_with
from phlows_cli.journal.journal import Entry, JournalError
from phlows_cli.model import CloseCode, Hook, HookResult, Outcome, departure
from phlows_cli.wire.frame import text_frame

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.hooks import Application
    from phlows_cli.broker.peer import Peer
    from phlows_cli.model import Cast

HELD_CASTS: Final = 64
"""Casts kept for a socket that is not authenticated yet; the oldest goes first."""

PENDING_BYTES: Final = 262_144
"""Message bytes that may wait for one socket's hook before it is not read."""

COMPLAINT_INTERVAL: Final = 10.0
"""Seconds between two errors about a socket's own bad messages."""

_HOOK_FAILED: Final = text_frame(b'{"error":"this message could not be handled"}')


class Phase(IntEnum):
    """Where a session is in its life."""

    NEW = 0
    WAITING = 1
    OPEN = 2
    CLOSED = 3


class Session:
    """A connected client.

    One task at most runs its hooks, and only while there is something to do:
    an idle session is this object and nothing else. `claim` is the token that
    hooks are given, `token` the one that casts find it under.
    Source: docs/protocol.md, "A connection's life".
    """

    __slots__ = (
        "_broker",
        "_complained_at",
        "_departure",
        "_handled",
        "_held",
        "_is_journaled",
        "_is_paused",
        "_is_running",
        "_owes_close",
        "_pending",
        "_pending_bytes",
        "app",
        "auth",
        "claim",
        "cookie_is_auth",
        "id",
        "is_gone",
        "peer",
        "phase",
        "received",
        "sent",
        "since",
        "token",
    )

    def __init__(self, broker: Broker, app: Application, id_: str, claim: str, peer: Peer) -> None:
        self._broker = broker
        self.app = app
        self.auth = app.host.auth  # a reload's other mode is for new sockets
        self.id = id_
        self.claim = claim
        self.token = ""
        self.peer = peer
        self.phase = Phase.NEW
        self.is_gone = False
        self.cookie_is_auth = self.auth == "message" and claim != ""
        self.since = time.time()
        self.received = 0
        self.sent = 0
        self._handled = 0
        self._held: deque[tuple[Cast, bytes]] | None = None
        self._pending: deque[str] | None = None
        self._pending_bytes = 0
        self._is_paused = False
        self._is_running = False
        self._owes_close = False
        self._is_journaled = False
        self._departure = ""
        self._complained_at = -math.inf

    # What the connection tells

    def start(self) -> None:
        """The upgrade was answered: run connect."""
        if self.is_gone or self.app.has("connect") or self.app.has("close"):
            self._wake()
            return
        # Nobody is asked, and no row is to be written: no task for that.
        self.phase = Phase.WAITING
        self._owes_close = True  # a reload may add the hook
        self._connected()
        if self.cookie_is_auth:
            self._wake()

    def receive(self, text: str) -> None:
        """Take one whole message; it waits its turn."""
        if self.is_gone:
            return
        self.received += 1
        size = len(text) if text.isascii() else len(text.encode())
        self._broker.on_receive(self, size)
        limit = self.app.message_limit
        if 0 < limit < size and self.app.has("receive"):
            self.end(CloseCode.TOO_BIG, _too_big(size, limit))
            return
        if self._pending is None:
            self._pending = deque()
        self._pending.append(text)
        self._pending_bytes += size
        if self._is_full() and not self._is_paused:
            self._is_paused = True
            self.peer.pause_reading()
        self._wake()

    def left(self, code: int, reason: str, why: str = "client") -> None:
        """The client closed or vanished: messages that came before still run.

        Args:
            code: of the close frame, or what stands for it.
            reason: for who watches.
            why: as the close hook is told (PHLOWS_CLOSE_REASON).
        """
        if self.is_gone:
            return
        self.is_gone = True
        self._departure = why
        self._held = None
        self._broker.on_left(self, code, reason)
        if self._is_running or self._pending or self._is_journaled or self.app.has("close"):
            self._wake()
        elif self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._broker.on_finished(self)

    # What the broker does

    def end(self, code: int, reason: str) -> None:
        """Close this socket; its waiting messages are dropped and counted."""
        self._drop_pending()
        if not self.is_gone:
            self.peer.close(code, reason)
            self.left(code, reason, departure(code))

    def deliver(self, frame: bytes) -> bool:
        """Send the frame of a cast; false when the client cannot take it."""
        if self.peer.send(frame):
            self.sent += 1
            return True
        return False

    def hold(self, cast: Cast, frame: bytes) -> None:
        """Keep a cast until it is known whether this socket is in its audience."""
        if self._held is None:
            self._held = deque()
        if len(self._held) >= HELD_CASTS:
            self._held.popleft()
            self._broker.drops.count("held cast over 64")
        self._held.append((cast, frame))

    # The steps of its life, one at a time

    def _wake(self) -> None:
        if not self._is_running and self.phase is not Phase.CLOSED:
            self._is_running = True
            self._broker.tasks.spawn(self._run())

    async def _run(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                await step
        finally:
            self._is_running = False

    def _next_step(self) -> Coroutine[Any, Any, None] | None:
        """What is to do now; None while there is nothing."""
        if self.phase is Phase.CLOSED:
            return None
        if self.phase is Phase.NEW and not (self.is_gone and not self._pending):
            return self._connect()
        if self.phase is Phase.WAITING and not self.is_gone:
            if self.cookie_is_auth:
                return self._authenticate(self.claim)
            return self._expect_auth(self._pop()) if self._pending else None
        if self.phase is Phase.OPEN and self._pending:
            return self._handle(self._pop())
        return self._finish() if self.is_gone else None

    async def _connect(self) -> None:
        self.phase = Phase.WAITING
        if not await self._enter_journal():
            return
        result = await self.app.call(self._hook("connect"))
        absent = not self.app.has("connect")
        self._owes_close = (result.started or absent) and result.outcome is not Outcome.REFUSED
        if result.is_accepted or (self.auth == "upgrade" and _has_failed(result)):
            self._connected()
        else:
            self._refuse(result, CloseCode.CONNECT_REFUSED, "connect")

    async def _enter_journal(self) -> bool:
        """Have the close hook outlive a crash from before connect starts."""
        if not self.app.has("close"):
            return True
        coming = self.app.has("connect")
        self.app.entering += coming
        try:
            await self._broker.journal.open(self._entry())
        except JournalError:
            self._broker.drops.count("socket that the journal could not take")
            self.end(CloseCode.OVERLOAD, "the journal cannot be written, come back later")
            return False
        finally:
            self.app.entering -= coming
        self._is_journaled = True
        return True

    def _connected(self) -> None:
        """Connect let the socket in: open, unless auth comes first."""
        if self.auth == "none":
            self._admit("")
        elif self.auth == "upgrade":
            self.phase = Phase.OPEN

    async def _expect_auth(self, text: str) -> None:
        try:
            token = auth_token(text)
        except ValueError as error:
            self.end(CloseCode.AUTH_EXPECTED, str(error))
        else:
            await self._authenticate(token)

    async def _authenticate(self, token: str) -> None:
        result = await self.app.call(Hook("auth", self.app.host.name, token, self.id))
        if result.is_accepted and result.started:
            if self._is_journaled and token != self.claim:
                self._broker.journal.authenticate(self.id, token)
            self.claim = token
            self._admit(token)
        else:
            self._refuse(result, CloseCode.AUTH_REFUSED, "auth")

    def _admit(self, token: str) -> None:
        """From here on messages are received and casts delivered."""
        self.token = token
        self.phase = Phase.OPEN
        if self.is_gone:
            return
        self._broker.on_authenticated(self)
        held, self._held = self._held, None
        for cast, frame in held or ():
            if self.id not in cast.excluded and cast.target.matches(token, self.id):
                self.deliver(frame)

    async def _handle(self, text: str) -> None:
        self._handled += 1
        if self._is_late_auth(text) or not self.app.has("receive"):
            return
        problem = problem_with(text)
        if problem:
            self._complain(problem)
            return
        result = await self.app.call(self._hook("receive", text), self._reply)
        if not result.is_accepted:
            self._answer(_HOOK_FAILED)

    def _is_late_auth(self, text: str) -> bool:
        """Whether this is the auth message that the cookie made needless."""
        if self._handled > 1 or not self.cookie_is_auth or not is_auth_message(text):
            return False
        try:
            is_other = auth_token(text) != self.token
            problem = "auth message has another token than the cookie" if is_other else ""
        except ValueError as error:
            problem = str(error)
        if problem:
            self.end(CloseCode.AUTH_EXPECTED, problem)
        return True

    async def _finish(self) -> None:
        self.phase = Phase.CLOSED
        self._drop_pending()
        if self._owes_close and self.app.has("close"):
            await self._broker.closings.run(self.app, self._entry())
        elif self._is_journaled:
            self._broker.journal.remove(self.id)
        self._broker.on_finished(self)

    # Small parts of the steps

    def _entry(self) -> Entry:
        """What the journal keeps of this socket."""
        name = self.app.host.name
        return Entry(self.id, name, self.claim, self.since, reason=self._departure)

    def _hook(self, name: str, data: str | None = None) -> Hook:
        return Hook(name, self.app.host.name, self.claim, self.id, data)

    def _reply(self, value: bytes) -> None:
        # What one hook may print must reach a client that reads, however fast it is printed.
        if not self._answer(text_frame(value), self._broker.limits.output):
            self._broker.drops.count("answer to a socket that is gone")

    def _answer(self, frame: bytes, extra: int = 0) -> bool:
        is_sent = self.peer.reply(frame, extra)
        self.sent += is_sent
        return is_sent

    def _refuse(self, result: HookResult, code: CloseCode, hook_name: str) -> None:
        if result.outcome is Outcome.REFUSED:
            self.end(code, f"{hook_name} refused")
        elif result.outcome is Outcome.OVERLOADED:
            self.end(CloseCode.OVERLOAD, "too many events are waiting, come back later")
        else:
            self.end(CloseCode.HOOK_FAILED, f"{hook_name} failed")

    def _complain(self, problem: str) -> None:
        self._broker.drops.count("bad message")
        now = self._broker.clock()
        if now - self._complained_at >= COMPLAINT_INTERVAL:
            self._complained_at = now
            self._answer(text_frame(msgspec.json.encode({"error": problem})))

    def _is_full(self) -> bool:
        waiting = self._pending or ()
        limit = self._broker.limits.pending_events
        return len(waiting) >= limit or self._pending_bytes >= PENDING_BYTES

    def _pop(self) -> str:
        """The next message; reads the client again once half are done."""
        pending = self._pending or deque()
        text = pending.popleft()
        self._pending_bytes -= len(text) if text.isascii() else len(text.encode())
        if not pending:
            self._pending = None
        few = len(pending) <= self._broker.limits.pending_events // 2
        few = few and self._pending_bytes <= PENDING_BYTES // 2
        if self._is_paused and few and not self._broker.is_draining:
            self._is_paused = False
            self.peer.resume_reading()
        return text

    def _drop_pending(self) -> None:
        if self._pending:
            self._broker.drops.count("message of a socket that was closed", len(self._pending))
        self._pending = None
        self._pending_bytes = 0


def _has_failed(result: HookResult) -> bool:
    """Whether the app was asked and gave no answer."""
    return result.outcome in (Outcome.FAILED, Outcome.TIMEOUT)


def _too_big(size: int, limit: int) -> str:
    return f"message of {size} bytes exceeds {limit}, the most of one argument (runtime = oneshot)"
