"""Hook calls with what was said in them, for those who record.

Costs one look at an attribute while nobody does. What leaves is masked here,
and not before its reader can take it: a call never waits for that.
Source: docs/protocol.md, "Recording".
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final

import msgspec

from phlows_cli import __version__
from phlows_cli.broker.masking import AllButTokens, Masking, Shape, Tokens, masked_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phlows_cli.model import Hook, HookResult

log = logging.getLogger("phlows.recording")

FORMAT: Final = 1
"""Of the lines; a reader refuses a higher one."""

BACKLOG: Final = 1000
"""Calls one slow reader may be behind before it loses some."""

BACKLOG_BYTES: Final = 16 * 1024 * 1024
"""What they may hold of messages and answers together."""

CONTENT_BYTES: Final = 262_144
"""Bytes of answers that are kept of one call, and of a message."""

ANSWERS: Final = 1000
"""Answers that are kept of one call."""

COMMAS: Final = 10_000
"""In a message, and in the answers of one call: about so many values, each to be masked."""

LINE_BYTES: Final = 786_432
"""Of a line once it is masked; one over it goes without its contents."""

TURN_BYTES: Final = 16_384
"""What is masked before others get their turn."""

CALL_BYTES: Final = 200
"""What a call without contents counts for then."""

MASKED: Final = "masked"
PAYLOADS: Final = (MASKED, "all")

_encoder: Final = msgspec.json.Encoder()
_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)
"""What JSON that was accepted may still raise: a number or a nesting over all bounds."""


class Take:
    """One hook call while it runs, and afterwards.

    Args:
        hook: the call.
        send: takes its answers to the client; None where there are none.
    """

    __slots__ = ("answers", "began", "cut", "hook", "result", "send", "size")

    def __init__(self, hook: Hook, send: Callable[[bytes], object] | None) -> None:
        self.hook = hook
        self.began = time.time()
        self.result: HookResult | None = None
        self.answers: list[bytes] = []
        self.size = 0 if hook.data is None else len(hook.data)
        self.cut = False
        self.send = None if send is None else self._heard(send)

    def _heard(self, send: Callable[[bytes], object]) -> Callable[[bytes], object]:
        room = CONTENT_BYTES

        def heard(value: bytes) -> None:
            nonlocal room
            send(value)
            room -= len(value)
            if self.cut or room < 0 or len(self.answers) >= ANSWERS:
                self.cut = True
                return
            self.answers.append(value)
            self.size += len(value)

        return heard


@dataclass(slots=True, eq=False)
class Tape:
    """One reader: what it records, and the calls it has not taken yet.

    `wake` is called when there is something for a reader that had nothing;
    `host` "" is all of them; `kept` are keys whose values stay in a masked
    recording; `known` tells the tokens of before the first call.
    """

    wake: Callable[[], None]
    host: str = ""
    payloads: str = MASKED
    kept: frozenset[str] = frozenset()
    known: Callable[[], Iterable[str]] = tuple
    lost: int = 0
    waiting: deque[Take | dict[str, Any]] = field(default_factory=deque)
    _size: int = 0
    _masking: Masking | None = None

    def begin(self, tokens: Tokens) -> None:
        """Tell what this is before anything is told; `tokens` are never to leave."""
        for token in self.known():
            tokens.add(token)
        is_masked = self.payloads == MASKED
        secret = token_bytes(32)
        self._masking = Shape(tokens, secret, self.kept) if is_masked else AllButTokens(tokens)
        self.waiting.append(self._head())

    def offer(self, take: Take) -> None:
        """Queue a call of the host, or count it as lost."""
        if self.host and take.hook.host != self.host:
            return
        if len(self.waiting) >= BACKLOG or self._size + take.size > BACKLOG_BYTES:
            self.lost += 1
            return
        self.waiting.append(take)
        self._size += take.size
        if len(self.waiting) == 1:
            self.wake()

    def take(self) -> list[object]:
        """The lines of some calls; after the last one, how many were lost."""
        lines: list[object] = []
        room = TURN_BYTES
        while self.waiting and room > 0:
            take = self.waiting.popleft()
            if isinstance(take, Take):
                self._size -= take.size
                room -= take.size + CALL_BYTES
            lines.append(self._line(take) if isinstance(take, Take) else take)
        if self.lost and not self.waiting:
            lines.append({"type": "lost", "time": time.time(), "count": self.lost})
            self.lost = 0
        return lines

    def _head(self) -> dict[str, Any]:
        kept = sorted(self.kept) if self.payloads == MASKED else []
        return {
            "type": "recording",
            "format": FORMAT,
            "phlows": __version__,
            "time": time.time(),
            "host": self.host,
            "payloads": self.payloads,
            "kept": kept,
        }

    def _line(self, take: Take) -> msgspec.Raw:
        """One call as it may leave; contents that are too much, or no JSON here, are cut."""
        line = self._encoded(take, _facts(take), self._contents(take))
        if len(line) > LINE_BYTES:
            line = self._encoded(take, _facts(take), _without_contents(take))
        return msgspec.Raw(line)

    def _encoded(self, take: Take, facts: dict[str, Any], contents: dict[str, Any]) -> bytes:
        try:
            return _encoder.encode(facts | contents)
        except (*_UNREADABLE, UnicodeError):
            return _encoder.encode(facts | _without_contents(take))

    def _contents(self, take: Take) -> dict[str, Any]:
        told: dict[str, Any] = {}
        cut = ["answers"] if take.cut else []
        if take.hook.data is not None:
            told["message"], is_whole = self._masked([take.hook.data], take)
            told["message"] = told["message"][0] if is_whole else None
            cut += [] if is_whole else ["message"]
        if take.send is not None:
            told["answers"], is_whole = self._masked(take.answers, take)
            cut += [] if is_whole or take.cut else ["answers"]
        return {**told, "cut": cut} if cut else told

    def _masked(self, texts: Iterable[str | bytes], take: Take) -> tuple[list[Any], bool]:
        """Payloads as they may leave, up to one that cannot; whether that was all."""
        masking, room = self._masking, COMMAS
        made: list[Any] = []
        for text in texts:
            room -= text.count(",") if isinstance(text, str) else text.count(b",")
            if masking is None or room < 0 or len(text) > CONTENT_BYTES:
                return made, False
            try:
                value = msgspec.json.decode(text)
                made.append(masking.payload(value, take.hook.socket, take.hook.token))
            except _UNREADABLE:
                return made, False
        return made, True


class Recorder:
    """Hands every hook call to every tape; keeps nothing without one."""

    def __init__(self) -> None:
        self.is_on = False
        self._tapes: set[Tape] = set()
        self._tokens = Tokens()

    def add(self, tape: Tape) -> None:
        """Start to record."""
        tape.begin(self._tokens)
        self._tapes.add(tape)
        self.is_on = True
        told = {"host": tape.host or "all", "payloads": tape.payloads}
        log.info("recording began", extra=told)

    def discard(self, tape: Tape) -> None:
        """Stop; with the last one, forget every token."""
        if tape not in self._tapes:
            return
        self._tapes.discard(tape)
        self.is_on = bool(self._tapes)
        if not self.is_on:
            self._tokens.clear()
        log.info("recording ended", extra={"host": tape.host or "all"})

    def keep(self, take: Take, result: HookResult) -> None:
        """A call is done."""
        if not self.is_on:
            return
        take.result = result
        self._tokens.add(take.hook.token)
        for tape in self._tapes:
            tape.offer(take)


def _facts(take: Take) -> dict[str, Any]:
    """What is told of a call besides its payloads."""
    hook, result = take.hook, take.result
    told: dict[str, Any] = {
        "type": "hook",
        "time": take.began,
        "host": hook.host,
        "socket": hook.socket,
        "hook": hook.name,
        "token": masked_token(hook.token),
    }
    if result is not None:
        told |= {"outcome": str(result.outcome), "reason": result.reason}
        told["ms"] = round(result.seconds * 1000, 3)
    return told | ({"env": dict(hook.env)} if hook.env else {})


def _without_contents(take: Take) -> dict[str, Any]:
    contents: dict[str, Any] = {} if take.hook.data is None else {"message": None}
    contents |= {} if take.send is None else {"answers": []}
    return {**contents, "cut": list(contents)}
