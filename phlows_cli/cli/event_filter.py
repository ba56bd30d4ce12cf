"""Which of the broker's events a person wants to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

Event = dict[str, Any]

FAILED: Final = frozenset({"failed", "timeout", "overloaded"})
"""Outcomes of hooks that did not say yes or no."""

HASH_LENGTH: Final = 12
"""Characters of a token's sha256 that events have."""

UNITS: Final = {"ms": 1.0, "s": 1000.0}
LONGEST: Final = 3_600_000.0


def parse_milliseconds(text: str) -> float:
    """Read a duration such as 100ms or 1.5s.

    Raises:
        ValueError: it is not one, or is over an hour.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s)", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a duration such as 100ms or 1.5s")
    milliseconds = float(found[1]) * UNITS[found[2]]
    if milliseconds > LONGEST:
        raise ValueError(f"{text!r} is over an hour")
    return milliseconds


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What an event must be; "" and None let all pass.

    `slow` is milliseconds that a hook took at least. What tells of lost events
    always passes: it is about the stream, not about one of its events.
    """

    host: str = ""
    token: str = ""
    socket: str = ""
    type: str = ""
    slow: float | None = None
    failed: bool = False

    def __post_init__(self) -> None:
        if self.is_about_hooks and self.type not in ("", "hook"):
            raise UsageError(f"--slow and --failed are about hooks: leave out --type {self.type}")
        if self.token and not re.fullmatch(r"[0-9a-f]{12,64}", self.token):
            # Not repeated: it may be the token itself.
            raise UsageError(
                "--token takes the token's sha256, or its first 12 hex characters:"
                " printf %s TOKEN | sha256sum | cut -c1-12"
            )

    @property
    def is_about_hooks(self) -> bool:
        """Whether only hooks can pass."""
        return self.failed or self.slow is not None

    @property
    def query(self) -> Mapping[str, str]:
        """What of it the broker can do, as the query of /events."""
        kind = "hook" if self.is_about_hooks else self.type
        asked = {"host": self.host, "token": self.token, "socket": self.socket, "type": kind}
        return {name: value for name, value in asked.items() if value}

    def passes(self, event: Event) -> bool:
        """Tell whether the event is wanted, all of it."""
        return event.get("type") == "lost" or (
            all(event.get(name) == _cut(name, value) for name, value in self.query.items())
            and self.passes_hook(event)
        )

    def passes_hook(self, event: Event) -> bool:
        """Tell whether what the broker let pass is wanted."""
        if not self.is_about_hooks or event.get("type") == "lost":
            return True
        return (not self.failed or event.get("outcome") in FAILED) and (
            self.slow is None or milliseconds(event) >= self.slow
        )

    def __str__(self) -> str:
        words = [f"{name} {value}" for name, value in self.query.items()]
        words += [f"from {self.slow:g} ms"] if self.slow is not None else []
        return ", ".join([*words, *(["failed"] if self.failed else [])])


def milliseconds(event: Event) -> float:
    """How long a hook took; -1 for what is no hook."""
    value = event.get("ms")
    return float(value) if isinstance(value, int | float) else -1.0


def _cut(name: str, value: str) -> str:
    return value[:HASH_LENGTH] if name == "token" else value
