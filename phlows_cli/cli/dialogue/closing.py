"""What a close code means, and what it is as an error."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.output import visible
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError, TimedOutError
from phlows_cli.model import CloseCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.cli.dialogue.happenings import Closed

MEANINGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        CloseCode.NORMAL: "an ordinary end",
        CloseCode.GOING_AWAY: "going away: an ordinary end",
        CloseCode.PROTOCOL_ERROR: "the WebSocket protocol was broken",
        CloseCode.UNSUPPORTED_DATA: "a binary message: only text is taken",
        CloseCode.NO_STATUS: "no code was given",
        CloseCode.ABNORMAL: "the connection broke, without a close",
        CloseCode.INVALID_TEXT: "a message that is not UTF-8",
        CloseCode.TOO_BIG: "a message over the limit",
        CloseCode.HOOK_FAILED: "connect or auth failed",
        CloseCode.DRAIN: "the server is stopping",
        CloseCode.OVERLOAD: "too much is waiting",
        CloseCode.SLOW_CONSUMER: "slow consumer: what it was sent was not read in time",
        CloseCode.AUTH_TIMEOUT: "no auth message in time: give --token",
        CloseCode.TOO_FAST: "messages faster than limits.message_rate",
        CloseCode.HOST_REMOVED: "the host is not served any more",
        CloseCode.CONNECT_REFUSED: "connect refused",
        CloseCode.AUTH_REFUSED: "auth refused: the app does not take this token",
        CloseCode.AUTH_EXPECTED: "an auth message was expected: give --token",
    }
)
ORDINARY: Final = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})
_ERRORS: Final[Mapping[int, type[PhlowsError]]] = MappingProxyType(
    {CloseCode.ABNORMAL: BrokerUnreachableError, CloseCode.AUTH_TIMEOUT: TimedOutError}
)


def meaning(code: int) -> str:
    """Say what a code means; "" for one that is a server's own."""
    return MEANINGS.get(code, "")


def comes_back(code: int) -> bool | None:
    """Whether a client should connect again; None where it is its own affair."""
    if code in ORDINARY:
        return None
    return not 4500 <= code <= 4999


def sentence(closed: Closed) -> str:
    """Tell of a close in one line: code, meaning, who, and what is next."""
    if closed.by == "nobody":
        return f"{closed.code}: {meaning(closed.code)}"
    by = "the server" if closed.by == "server" else "us"
    what = meaning(closed.code)
    parts = [f"closed by {by} with {closed.code}" + (f" ({what})" if what else "")]
    why = visible(closed.fault or closed.reason)
    if why and why not in what:
        parts.append(f": {why}")
    if closed.by == "server":
        parts.append(_next(closed.code))
    return "".join(parts)


def _next(code: int) -> str:
    back = comes_back(code)
    if back is None:
        return ""
    return "; clients come back by themselves" if back else "; clients do not come back"


def error_of(closed: Closed) -> PhlowsError | None:
    """The error that a close is, whose exit code says it; None for an ordinary one."""
    if not closed.fault and (closed.by == "client" or closed.code in ORDINARY):
        return None
    kind = _ERRORS.get(closed.code, PhlowsError)
    if comes_back(closed.code) is False:
        kind = RefusedError
    return kind(sentence(closed))
