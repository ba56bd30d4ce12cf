"""What the HTTP answer of an app means. No I/O.

Source: docs/protocol.md, "What an answer means".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from phlows_cli.model import Hook, Outcome
from phlows_cli.runtime.answer import LineSplitter, outcome_of
from phlows_cli.wire.answer_reader import AnswerBroken, AnswerEnd, AnswerHead
from phlows_cli.wire.endpoint import origin_of

if TYPE_CHECKING:
    from phlows_cli.model import Event
    from phlows_cli.runtime.settings import OnLine
    from phlows_cli.wire.answer_reader import AnswerEvent

READ_FACTOR: Final = 16
READ_AT_LEAST: Final = 16 << 20
"""Of an answer so many times limits.output is read, but never less than this."""

_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


class HttpAnswer:
    """What an app answers to one event, as far as it has."""

    def __init__(self, on_line: OnLine, limit: int) -> None:
        self.output = LineSplitter(limit)
        self._on_line = on_line
        self._left = max(READ_AT_LEAST, READ_FACTOR * limit)
        self._last = b""
        self._status = 0
        self._location = ""
        self._broken = f"the answer exceeds {self._left} bytes (limits.output is {limit})"
        self._is_whole = False
        self.is_asked = False

    def take(self, event: AnswerEvent) -> bool:
        """Take one event; False when no more is wanted."""
        match event:
            case AnswerHead():
                self._status = event.status
                self._location = event.headers.get("location", "")
            case AnswerEnd():
                self._is_whole = True
                self._hand_on(self.output.finish())
            case AnswerBroken():
                self._broken = event.reason
            case _ if self._is_success:
                self._left -= len(event)
                self._hand_on(self.output.feed(event))
        return self._is_success and self._left >= 0

    def outcome(self, event: Event) -> tuple[Outcome, str]:
        """Tell what the whole answer means, and why it is not a yes."""
        if self._is_success and self._is_whole:
            return self._answered(event.name)
        if self._is_success or not self._status:
            return Outcome.FAILED, self._broken
        answers = event.name in ("connect", "auth")
        refuses = answers and 400 <= self._status < 500
        return Outcome.REFUSED if refuses else Outcome.FAILED, self._unsuccessful()

    def result(self, event: Event) -> bytes:
        """Return the last line of a task's whole answer, if it is JSON."""
        is_known = self._is_success and self._is_whole and not self.output.is_truncated
        is_result = is_known and not isinstance(event, Hook) and is_json(self._last)
        return self._last.strip() if is_result else b""

    @property
    def _is_success(self) -> bool:
        return 200 <= self._status < 300

    def _hand_on(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.strip():
                self._last = line
            self._on_line(line)

    def _answered(self, name: str) -> tuple[Outcome, str]:
        """Read the last line: all of it, so that no page's end lets anyone in."""
        if self.output.is_truncated or name not in ("connect", "auth"):
            return outcome_of(name, 0, self.output.tail, self.output.is_truncated)
        answer = self._last.strip()
        if answer == b"false":
            return Outcome.REFUSED, "the app answered false"
        if name == "auth" and answer != b"true":
            return Outcome.FAILED, "the last line of auth's answer is neither true nor false"
        return Outcome.ACCEPTED, ""

    def _unsuccessful(self) -> str:
        if self._location and 300 <= self._status < 400:
            where = origin_of(self._location) or "the same host"
            return f"redirects are not followed: {self._status} to {where}"
        return f"the app answered {self._status}"


def is_json(text: bytes) -> bool:
    """Whether the text is one JSON value, in UTF-8."""
    try:
        text.decode()
        _RAW.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True
