"""One tree of errors; each class carries its HTTP status and exit code.

Arguments are data and `__str__` is the sentence: lower case, no period.
"""

from __future__ import annotations


class PhlowsError(Exception):
    """Anything phlows reports without a traceback."""

    status = 500
    exit_code = 1


class UsageError(PhlowsError):
    """The person asked for something that cannot be, as typed."""

    exit_code = 2


class ConfigError(PhlowsError):
    """phlows.toml, or a value from the environment, is wrong."""

    exit_code = 2

    def __init__(self, message: str, path: str = "", line: int = 0) -> None:
        super().__init__(message, path, line)
        self.message = message
        self.path = path
        self.line = line

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        return where + self.message


class JournalInUseError(ConfigError):
    """Another broker has the journal: it may be gone in a moment."""

    exit_code = 1


class ListenError(PhlowsError):
    """An address could not be bound."""


class UnknownAddressError(ListenError):
    """A name to listen at leads to no address."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where = where
        self.why = why

    def __str__(self) -> str:
        what = f"server.listen {self.where!r}: {self.why}"
        return f"{what}: mend server.listen, or how names are found"


class AddressTakenError(ListenError):
    """Another process listens there."""


class BrokerUnreachableError(PhlowsError):
    """No broker answered at its address."""

    exit_code = 3


class RefusedError(PhlowsError):
    """The broker, or a hook, said no."""

    exit_code = 4


class TimedOutError(PhlowsError):
    """Something took longer than its limit."""

    exit_code = 6


class RequestError(PhlowsError):
    """A bridge request or an upgrade that is answered with an error."""

    status = 400

    def __init__(
        self, message: str, status: int = 0, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status or type(self).status
        self.headers = headers


class TargetError(RequestError):
    """A cast's target or except is not one of the forms."""


class UnknownHostError(RequestError):
    """A cast or query names a host that is not registered."""

    def __init__(self, host: str) -> None:
        super().__init__(f"unknown host {host!r}: register it with `phlows host add`")
