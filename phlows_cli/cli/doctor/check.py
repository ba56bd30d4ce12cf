"""What a check is, what it looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from phlows_cli.config import Config

GROUPS: Final = ("System", "PHP", "Apps", "Network", "Security", "Broker")


class Status(StrEnum):
    """What became of a check; skip: it does not apply, and why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen, and what to do about it ("" when there is nothing)."""

    status: Status
    message: str
    hint: str = ""


def ok(message: str, hint: str = "") -> Result:
    """It is as it should be."""
    return Result(Status.OK, message, hint)


def warn(message: str, hint: str) -> Result:
    """It works, but not as well as it could, or not for long."""
    return Result(Status.WARN, message, hint)


def fail(message: str, hint: str) -> Result:
    """It does not work, or is not safe."""
    return Result(Status.FAIL, message, hint)


def skip(message: str, hint: str = "") -> Result:
    """It does not apply here; the message says why."""
    return Result(Status.SKIP, message, hint)


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined.

    `config` has the defaults where the file cannot be used; `config_error` says
    why then. `url` is --url or "", `publics` are --public, `hosts` the names of
    the hosts to look at. `timeout` is seconds for every single check. `ca` is
    a file of certificates that visitors trust. `proc` and `sys` are where the
    kernel tells of itself.
    """

    config: Config
    config_error: str = ""
    url: str = ""
    publics: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    timeout: float = 10.0
    is_patient: bool = False
    ca: str | None = None
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


def machine(_case: Case) -> Sequence[str]:
    """The one subject of a check that is about the whole."""
    return ("",)


def each_host(case: Case) -> Sequence[str]:
    """A subject a host."""
    return case.hosts


def each_public(case: Case) -> Sequence[str]:
    """A subject a public address; one without a name where none was given."""
    return case.publics or ("",)


def no_more(_case: Case) -> float:
    """A check that has to do with --timeout."""
    return 0.0


Run: TypeAlias = Callable[[Case, str], Result]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    `subjects` are what it is run for, one after the other or side by side;
    `more` is how many seconds it may take over --timeout.
    """

    group: str
    name: str
    run: Run
    subjects: Callable[[Case], Sequence[str]] = machine
    more: Callable[[Case], float] = no_more


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check for one subject."""

    check: Check
    subject: str
    result: Result

    def as_dict(self) -> dict[str, str]:
        """Write it as --json has it."""
        return {
            "group": self.check.group,
            "name": self.check.name,
            "subject": self.subject,
            "status": str(self.result.status),
            "message": self.result.message,
            "hint": self.result.hint,
        }
