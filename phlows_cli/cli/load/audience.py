"""The sockets that messages reach: read in bulk, counted one by one."""

from __future__ import annotations

import ssl
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.load.findings import Ledger
from phlows_cli.cli.load.reactor import READ, WRITE
from phlows_cli.cli.load.wire import (
    CLOSE,
    PING,
    TEXT,
    Frames,
    client_frame,
    close_reason,
    number_pattern,
    numbered_payload,
    server_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.load.dialing import Opened
    from phlows_cli.cli.load.findings import Findings
    from phlows_cli.cli.load.latency import Latencies
    from phlows_cli.cli.load.reactor import Reactor

_READ_SIZE: Final = 262144
_REST_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of an unfinished message that somebody else sent."""
_PENDING: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_PONG: Final = 10


class Member:
    """An open socket. Subclasses say what a message means to it."""

    __slots__ = (
        "_reactor",
        "_ready",
        "_recv",
        "_rest",
        "_unsent",
        "findings",
        "ignored",
        "is_open",
        "number",
        "sock",
    )

    def __init__(self, reactor: Reactor, opened: Opened, findings: Findings) -> None:
        self.number = opened.number
        self.sock = opened.sock
        self.findings = findings
        self.is_open = True
        self.ignored = 0
        self._reactor = reactor
        self._recv = opened.sock.recv
        self._rest = b""
        self._unsent = b""
        # TLS may hold decrypted bytes that no selector sees: read until it has none.
        is_secure = isinstance(opened.sock, ssl.SSLSocket)
        self._ready = self._read_all if is_secure else self.read
        reactor.watch(self.sock, READ, self._ready)
        if opened.rest:
            self.received(opened.rest)

    def read(self) -> bool:
        """Read what is there; returns whether there may be more."""
        try:
            part = self._recv(_READ_SIZE)
        except _PENDING:
            return False
        except OSError as error:
            self.gone(1006, (error.strerror or "").lower())
            return False
        if not part:
            self.gone(1006, "no close frame")
            return False
        self.received(part)
        return self.is_open

    def _read_all(self) -> None:
        while self.read():
            pass

    def received(self, part: bytes) -> None:
        """Take bytes as they came."""
        self._rest = self.parse(self._rest + part)

    def parse(self, stream: bytes) -> bytes:
        """Take the whole frames; returns what is left."""
        frames = Frames(stream)
        for opcode, payload in frames:
            if opcode == TEXT:
                self.message(payload)
            elif opcode == PING:
                self.send(client_frame(payload, _PONG))
            elif opcode == CLOSE:
                self.gone(*close_reason(payload))
            else:
                self.ignored += 1
            if not self.is_open:
                return b""
        if len(frames.rest) > _REST_LIMIT:
            self.gone(1009, f"a message over {_REST_LIMIT} bytes")
        return frames.rest

    def send(self, frame: bytes) -> None:
        """Send a frame, after those that wait for room."""
        waiting, self._unsent = self._unsent, self._unsent + frame
        if len(self._unsent) > _REST_LIMIT:
            self.gone(1006, f"the broker does not read: {_REST_LIMIT} bytes wait")
        elif not waiting:
            self._send_on()

    def _send_on(self) -> None:
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except _PENDING:
            pass
        except OSError as error:
            self.gone(1006, (error.strerror or "").lower())
            return
        if self._unsent:
            self._reactor.watch(self.sock, READ | WRITE, self._both_ways)

    def _both_ways(self) -> None:
        self._reactor.watch(self.sock, READ, self._ready)
        self._ready()
        if self.is_open:
            self._send_on()

    def message(self, payload: bytes) -> None:
        """Take one message."""
        raise NotImplementedError

    def gone(self, code: int, reason: str) -> None:
        """Note that the other side has ended it."""
        if self.is_open:
            self.close()
            self.findings.add("closed", self.number, why=f"{code} {reason}".rstrip())

    def close(self) -> None:
        """Let the socket go."""
        if self.is_open:
            self.is_open = False
            self._reactor.forget(self.sock)
            self.sock.close()


class Group:
    """Listeners that the same casts reach, and what they have to get.

    The frames of casts that not all have had are kept in a row: what a socket
    reads is compared with them as it is, without a look at single frames.
    """

    def __init__(self, index: int, target: str, run: str, size: int) -> None:
        self.index = index
        self.target = target
        self.members: list[Listener] = []
        self.pattern = number_pattern(run)
        self.frame_size = len(server_frame(numbered_payload(run, index, 0, size)))
        self.frames = bytearray()
        self.next = 0
        self.oldest = 0
        self.due: dict[int, float] = {}
        self.delivered = 0
        self.on_complete: Callable[[float], None] = lambda _seconds: None
        self._run = run
        self._size = size
        self._at: deque[int] = deque((0,))

    def join(self, member: Listener) -> None:
        """Add a socket, before the first cast."""
        self.members.append(member)
        self._at[0] += 1

    def numbered(self, due: float) -> bytes:
        """Number a cast that is made now; returns its payload."""
        payload = numbered_payload(self._run, self.index, self.next, self._size)
        self.frames += server_frame(payload)
        self.due[self.next] = due
        self.next += 1
        self._at.append(0)
        self._advance()
        return payload

    @property
    def base(self) -> int:
        """Where in the stream of all frames those that are kept begin."""
        return self.oldest * self.frame_size

    @property
    def under_way(self) -> int:
        """How many casts have not reached everybody."""
        return self.next - self.oldest

    def moved(self, before: int, after: int) -> None:
        """Note that a socket has had the casts from `before` to `after`."""
        self._at[before - self.oldest] -= 1
        self._at[after - self.oldest] += 1
        self.delivered += after - before
        if before == self.oldest:
            self._advance()

    def left(self, at: int) -> None:
        """Note that a socket which has had the casts up to `at` gets no more."""
        self._at[at - self.oldest] -= 1
        self._advance()

    def _advance(self) -> None:
        """Forget the casts that all have had."""
        before = self.oldest
        while self.oldest < self.next and not self._at[0]:
            self._at.popleft()
            self.on_complete(perf_counter() - self.due.pop(self.oldest))
            self.oldest += 1
        del self.frames[: (self.oldest - before) * self.frame_size]


class Listener(Member):
    """A socket of a group."""

    __slots__ = ("_end", "_group", "_ledger", "_position", "_samples")

    def __init__(self, reactor: Reactor, opened: Opened, findings: Findings, group: Group) -> None:
        self._group = group
        self._ledger = Ledger(opened.number, findings)
        self._position = 0
        self._samples: Latencies | None = None
        self._end: int | None = None
        group.join(self)
        super().__init__(reactor, opened, findings)

    def sample(self, latencies: Latencies) -> None:
        """Measure each message of this socket, too."""
        self._samples = latencies

    def received(self, part: bytes) -> None:
        """Compare with what has to come; look closer where it differs."""
        group, ledger = self._group, self._ledger
        if self._rest or not group.frames.startswith(part, self._position - group.base):
            self._look_closer(part)
            return
        self._position += len(part)
        before, after = ledger.next, self._position // group.frame_size
        if after > before:
            self._measure(before, after)
            ledger.next = after
            group.moved(before, after)

    def _look_closer(self, part: bytes) -> None:
        group, ledger = self._group, self._ledger
        start = ledger.next * group.frame_size
        known = bytes(group.frames[start - group.base : self._position - group.base])
        rest = self.parse((self._rest or known) + part)
        start = self._position = ledger.next * group.frame_size
        self._rest = rest
        if self.is_open and rest and group.frames.startswith(rest, start - group.base):
            self._position += len(rest)
            self._rest = b""

    def message(self, payload: bytes) -> None:
        """Enter a message of ours; count one of somebody else's."""
        group, ledger = self._group, self._ledger
        found = group.pattern.search(payload, 0, 128)
        if found is None or int(found[1]) != group.index:
            self.ignored += 1
            return
        number, before = int(found[2]), ledger.next
        if number >= group.next:
            self.findings.add("damaged", self.number, number, "a number that was never sent")
            return
        if number >= group.oldest:
            start = number * group.frame_size - group.base
            if group.frames[start : start + group.frame_size] != server_frame(payload):
                self.findings.add("damaged", self.number, number)
        if ledger.take(number) and ledger.next > before:
            self._measure(number, ledger.next)
            group.moved(before, ledger.next)

    def _measure(self, before: int, after: int) -> None:
        if self._samples is not None:
            now, due = perf_counter(), self._group.due
            for number in range(before, after):
                self._samples.add(now - due[number])

    def gone(self, code: int, reason: str) -> None:
        """Leave the group, too."""
        if self.is_open:
            super().gone(code, reason)
            self._end = self._group.next
            self._group.left(self._ledger.next)

    @property
    def has_any(self) -> bool:
        """Whether it was reached at all."""
        return self._ledger.next > 0

    def finish(self) -> None:
        """Report what has not come by now, or by when it was closed."""
        self._ledger.finish(self._group.next if self._end is None else self._end)
