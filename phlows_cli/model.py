"""The values every part shares: frozen, checked where they are made, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeAlias

from phlows_cli.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOK_NAMES: Final = ("connect", "auth", "receive", "close")
AUTH_MODES: Final = ("message", "upgrade", "none")
RUNTIMES: Final = ("oneshot", "resident")
RESERVED_KEYS: Final = frozenset({"wsHost", "wsToken", "wsSocket"})
"""Keys a message must not carry: the app's own argument names."""

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_SOCKET_ID: Final = re.compile(r"[0-9a-f]{16}")


class CloseCode(IntEnum):
    """Why a socket was closed. 4000-4499: come back; 4500-4999: do not.

    Source: docs/protocol.md, "Close codes".
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_TEXT = 1007
    TOO_BIG = 1009
    HOOK_FAILED = 1011
    DRAIN = 1012
    OVERLOAD = 1013
    SLOW_CONSUMER = 4000
    AUTH_TIMEOUT = 4001
    TOO_FAST = 4003
    HOST_REMOVED = 4004
    CONNECT_REFUSED = 4500
    AUTH_REFUSED = 4501
    AUTH_EXPECTED = 4502


_DEPARTURES: Final = {
    CloseCode.AUTH_TIMEOUT: "timeout",
    CloseCode.SLOW_CONSUMER: "limit",
    CloseCode.TOO_FAST: "limit",
    CloseCode.TOO_BIG: "limit",
    CloseCode.OVERLOAD: "limit",
    CloseCode.HOST_REMOVED: "removed",
    CloseCode.DRAIN: "drain",
    CloseCode.CONNECT_REFUSED: "refused",
    CloseCode.AUTH_REFUSED: "refused",
    CloseCode.AUTH_EXPECTED: "refused",
    CloseCode.HOOK_FAILED: "failed",
    CloseCode.PROTOCOL_ERROR: "protocol",
    CloseCode.UNSUPPORTED_DATA: "protocol",
    CloseCode.INVALID_TEXT: "protocol",
}


def departure(code: int) -> str:
    """Why the broker ended a socket, as its close hook is told.

    Source: docs/protocol.md, "A connection's life".
    """
    return next((word for known, word in _DEPARTURES.items() if known == code), "disconnect")


class Outcome(StrEnum):
    """How a hook call ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"


HOST_LENGTH: Final = 300
"""Characters of a text that can name a host: 253, a port, and room."""


def normalise_host(text: str) -> str:
    """Lower case, without port, brackets and trailing dot.

    Returns:
        The host as it is registered; "" when the text names none.
    """
    return _normalised(text) if len(text) <= HOST_LENGTH else ""


@lru_cache(256)
def _normalised(text: str) -> str:
    host = text.strip().lower()
    if host.startswith("["):
        address, end, port = host[1:].partition("]")
        return address if end and port[:1] in ("", ":") else ""
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.removesuffix(".")


def token_hash(token: str) -> str:
    """The token as it may be shown: 64 hex characters of its sha256."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Host:
    """One virtual host: its app, and how that app is called.

    `app` is an absolute path ("" for a push-only host, whose `hooks` is empty).
    `timeout` and `idle_timeout` are seconds; `concurrency` counts processes,
    never 0 here. `tick` is what the app is asked to run each minute, "" nothing.
    `max_connections` counts sockets; 0 is no limit of its own. `key_file` is
    an absolute path, or "" where the broker's key is the only one.
    """

    name: str
    app: str = ""
    hook_class: str = "ws"
    hooks: frozenset[str] = frozenset(HOOK_NAMES)
    auth: str = "message"
    token_cookie: str = "token"  # noqa: S105 - a cookie's name
    origins: tuple[str, ...] = ()
    timeout: float = 30.0
    concurrency: int = 4
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    runtime: str = "oneshot"
    max_jobs: int = 10_000
    spare: int = 0
    idle_timeout: float = 60.0
    watch_app: bool = False
    tick: str = ""
    max_connections: int = 0
    key_file: str = ""

    @property
    def is_url(self) -> bool:
        """Whether the app is asked over HTTP, and no process is started."""
        return self.app.startswith(("http://", "https://"))

    @property
    def shown_app(self) -> str:
        """The app as it may be shown: a URL without its user and its query."""
        if not self.is_url:
            return self.app
        scheme, _, rest = self.app.partition("?")[0].partition("://")
        place, slash, path = rest.partition("/")
        return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


class Hook(NamedTuple):
    """One event as the app will see it.

    `data` is receive's message text; `env` is told besides the arguments:
    variables of a one-shot process.
    """

    name: str
    host: str
    token: str
    socket: str
    data: str | None = None
    env: tuple[tuple[str, str], ...] = ()

    def args(self) -> list[str]:
        """The arguments after the command, in the app's order."""
        args = [self.host, self.token, self.socket]
        return args if self.data is None else [*args, self.data]

    def values(self) -> list[object]:
        """The same as JSON values."""
        return list(self.args())

    def command(self, hook_class: str) -> str:
        """What the app is asked to run."""
        return f"{hook_class}::{self.name}"


@dataclass(frozen=True, slots=True)
class Task:
    """A call that is no event: of /dispatch, the minute tick, `phlows call`.

    `target` is the app's own name for it, `parameters` are JSON values. It
    reads like a Hook, of nobody's socket.
    """

    host: str
    target: str
    parameters: tuple[object, ...] = ()
    name: ClassVar[str] = "call"
    token: ClassVar[str] = ""
    socket: ClassVar[str] = ""
    data: ClassVar[None] = None
    env: ClassVar[tuple[tuple[str, str], ...]] = ()

    def args(self) -> list[str]:
        """The arguments on a command line: text as it is, the rest as JSON."""
        from json import dumps

        return [
            value if isinstance(value, str) else dumps(value, ensure_ascii=False)
            for value in self.parameters
        ]

    def values(self) -> list[object]:
        """The arguments as JSON values."""
        return list(self.parameters)

    def command(self, hook_class: str) -> str:  # noqa: ARG002 - a task names its class itself
        """What the app is asked to run."""
        return self.target


Event: TypeAlias = Hook | Task
"""What an app can be asked."""


class HookResult(NamedTuple):
    """How one hook call ended.

    `seconds` runs from the call's start, waiting included. `reason` says why
    it was not accepted and never holds a token or a payload. `started` is
    false when the app never saw the event. `dropped` counts output bytes over
    `output_limit`, limits.output; `exit_code` is None where no process ended
    (negative: a signal). `result` is a task's as JSON text, b"" when it has none.
    """

    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    started: bool = True
    dropped: int = 0
    exit_code: int | None = None
    output_limit: int = 0
    result: bytes = b""

    def after(self, seconds: float) -> HookResult:
        """The same, and how long it took; written out, as every hook comes by here."""
        return HookResult(
            self.outcome,
            seconds,
            self.reason,
            self.started,
            self.dropped,
            self.exit_code,
            self.output_limit,
            self.result,
        )

    @property
    def is_accepted(self) -> bool:
        """Whether the app said yes (or, for receive and close, did not fail)."""
        return self.outcome is Outcome.ACCEPTED


@dataclass(frozen=True, slots=True)
class Target:
    """An audience: the union of its parts."""

    everyone: bool = False
    tokens: frozenset[str] = frozenset()
    not_tokens: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, value: object) -> Target:
        """Read the `target` of a cast.

        Args:
            value: "all", "token:<t>", "token:not:<t>", "socket:<id>", a bare
                id (16 hex characters), or a list of these.

        Raises:
            TargetError: any other value, "" and null included.
        """
        if value == "all":
            return EVERYONE
        parts = value if isinstance(value, list) else [value]
        everyone = False
        tokens, not_tokens, sockets = set(), set(), set()
        for part in parts:
            if not isinstance(part, str):
                raise TargetError(_not_a_target(part))
            if part == "all":
                everyone = True
            elif part.startswith("token:not:"):
                not_tokens.add(part[10:])
            elif part.startswith("token:"):
                tokens.add(part[6:])
            else:
                sockets.add(_socket_id(part))
        return cls(everyone, frozenset(tokens), frozenset(not_tokens), frozenset(sockets))

    @property
    def only_sockets(self) -> bool:
        """Whether no one can join this audience by authenticating."""
        return not (self.everyone or self.tokens or self.not_tokens)

    def matches(self, token: str, socket: str) -> bool:
        """Whether an authenticated socket is in the audience."""
        return (
            self.everyone
            or token in self.tokens
            or socket in self.sockets
            or any(token != other for other in self.not_tokens)
        )


def _socket_id(part: str) -> str:
    """The id in "socket:<id>" or a bare id; anything else is an error."""
    id_ = part.removeprefix("socket:")
    if _SOCKET_ID.fullmatch(id_):
        return id_
    raise TargetError(_not_a_target(part))


def _json_kind(part: object) -> str:
    """What a value is called in JSON; null, true and false have only a name."""
    if part is None or isinstance(part, bool):
        return {None: "null", True: "true", False: "false"}[part]
    if isinstance(part, int | float):
        return "a number"
    return "a list" if isinstance(part, list | tuple) else "an object"


def _not_a_target(part: object) -> str:
    """Name a bad part without repeating what may be a token."""
    shown = _json_kind(part)
    if isinstance(part, str):
        form, colon, _ = part[:20].partition(":")
        shown = f"'{form}:...'" if colon else f"of {len(part)} characters"
    return (
        f"target {shown} is not one of: all, token:<token>, token:not:<token>, "
        "socket:<id> or an id alone (16 hex characters), or a list of these"
    )


def parse_excluded(value: object) -> frozenset[str]:
    """Read a cast's `except`: an id with or without "socket:", or a list.

    Raises:
        TargetError: something other than text, null or a list of text.
    """
    if value == "":  # what every wsCast sends
        return NOBODY
    parts = value if isinstance(value, list) else [value]
    excluded = set()
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, str):
            raise TargetError(f"except takes socket ids, not {_json_kind(part)}")
        excluded.add(part.removeprefix("socket:"))
    return frozenset(excluded - {""})


EVERYONE: Final = Target(everyone=True)
NOBODY: Final[frozenset[str]] = frozenset()


class Cast(NamedTuple):
    """A payload with an audience. `payload` is JSON, byte for byte as it came."""

    host: str
    payload: bytes
    target: Target = EVERYONE
    excluded: frozenset[str] = NOBODY


class Receipt(NamedTuple):
    """What became of a cast: matched = sent + dropped; held apart."""

    host: str
    sent: int = 0
    dropped: int = 0
    held: int = 0

    @property
    def matched(self) -> int:
        """How many sockets were in the audience."""
        return self.sent + self.dropped
