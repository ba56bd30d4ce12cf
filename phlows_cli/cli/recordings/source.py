"""A recording, read a line at a time; its last line may be cut."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from phlows_cli.broker.recording import FORMAT, MASKED
from phlows_cli.errors import UsageError
from phlows_cli.model import HOOK_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO, Self

LINE_LIMIT: Final = 1024 * 1024
"""Bytes of one line; a broker's lines are shorter."""


class Head(msgspec.Struct, frozen=True):
    """What a recording says of itself."""

    type: str
    format: int
    phlows: str = ""
    time: float = 0.0
    host: str = ""
    payloads: str = MASKED
    kept: frozenset[str] = frozenset()

    @property
    def is_masked(self) -> bool:
        """Whether its texts and numbers stand for others."""
        return self.payloads == MASKED


class Call(msgspec.Struct, frozen=True):
    """One hook call as it was.

    The last two are of the recording that it is a part of.
    """

    time: float
    host: str
    socket: str
    hook: str
    token: str
    outcome: str
    reason: str = ""
    ms: float = 0.0
    message: msgspec.Raw = msgspec.Raw(b"null")
    answers: list[Any] = []
    env: dict[str, str] = {}
    cut: list[str] = []
    is_masked: bool = True
    kept: frozenset[str] = frozenset()


class _Kind(msgspec.Struct):
    type: str
    count: int = 0


_head: Final = msgspec.json.Decoder(Head)
_call: Final = msgspec.json.Decoder(Call)
_kind: Final = msgspec.json.Decoder(_Kind)
_WRONG: Final = (msgspec.MsgspecError, RecursionError, UnicodeError)


class Source:
    """A file, or stdin, whose calls are read one after the other.

    `lost` counts the calls that its recorder was told it had missed;
    `is_cut` says that its last line was not whole.
    """

    def __init__(self, path: str) -> None:
        self.path = "stdin" if path == "-" else path
        self.lost = 0
        self.is_cut = False
        self._line = 0
        try:
            self._file: BinaryIO = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: PTH123, SIM115 - closed by __exit__
        except (OSError, AttributeError) as error:
            why = getattr(error, "strerror", None) or "it is closed"
            raise UsageError(f"cannot read {self.path}: {why}") from None

    def __enter__(self) -> Self:
        """Nothing is read yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self._file.close()

    def head(self) -> Head:
        """Read what it says of itself; to be called first.

        Raises:
            UsageError: it is no recording, or of a later format.
        """
        return self._as_head(self._next() or b"")

    def calls(self) -> Iterator[Call]:
        """Read the calls; one without its end is the last.

        Raises:
            UsageError: a line is none of a recording.
        """
        head = self.head()
        while (line := self._next()) is not None:
            kind = self._decoded(_kind, line)
            if kind.type == "recording":
                head = self._as_head(line)
            elif kind.type == "lost":
                self.lost += kind.count
            else:
                call = self._decoded(_call, line)
                if call.hook not in HOOK_NAMES:
                    raise self._wrong(f"hook {call.hook[:64]!r} is none of {', '.join(HOOK_NAMES)}")
                yield msgspec.structs.replace(call, is_masked=head.is_masked, kept=head.kept)

    def _next(self) -> bytes | None:
        try:
            line = self._file.readline(LINE_LIMIT + 1)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from None
        self._line += 1
        if len(line) > LINE_LIMIT:
            raise self._wrong(f"it is longer than {LINE_LIMIT} bytes")
        if line and not line.endswith(b"\n") and self._line > 1:
            self.is_cut = True
            return None
        return line or None

    def _as_head(self, line: bytes) -> Head:
        head: Head | None
        try:
            head = _head.decode(line)
        except _WRONG:
            head = None
        if head is None or head.type != "recording":
            raise UsageError(f"{self.path} is no recording: make one with `phlows record`")
        if head.format > FORMAT:
            raise UsageError(
                f"{self.path} has format {head.format}, written by phlows {head.phlows[:64]}:"
                f" this one reads up to {FORMAT}"
            )
        return head

    def _decoded(self, decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:  # noqa: ANN401 - the decoder's
        try:
            return decoder.decode(line)
        except _WRONG as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, why: str) -> UsageError:
        return UsageError(f"{self.path}:{self._line} is no line of a recording: {why}")
