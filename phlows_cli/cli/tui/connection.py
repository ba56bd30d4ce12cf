"""One live connection, as the terminal knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from phlows_cli.cli.event_filter import HASH_LENGTH
from phlows_cli.cli.output import visible
from phlows_cli.cli.tui.agents import short_agent
from phlows_cli.model import token_hash

NO_TOKEN: Final = token_hash("")


def shown(value: object) -> str:
    """Text from outside on one line, unable to steer the terminal.

    Terminals do not agree on how wide joined emoji are: columns need to know.
    """
    return visible(str(value)).replace("\t", " ").replace("\u200d", "\\u200d")


@dataclass(slots=True, eq=False)
class Connection:
    """What is known of a socket; `left` says why it is no more."""

    socket: str
    host: str
    token: str
    since: float
    address: str
    agent: str
    is_authenticated: bool = False
    received: int = 0
    sent: int = 0
    last: str = ""
    last_at: float = 0.0
    left: str = ""
    added: float = 0.0
    browser: str = field(init=False)

    def __post_init__(self) -> None:
        self.browser = short_agent(self.agent)

    @property
    def short_token(self) -> str:
        """The hash, cut to 12; marked when it is a mere claim."""
        if not self.token or NO_TOKEN.startswith(self.token):
            return "none"
        return self.token[:HASH_LENGTH] + ("" if self.is_authenticated else "?")

    def update(self, row: dict[str, Any]) -> None:
        """Take over what /presence says of it."""
        self.token = shown(row.get("token", self.token))
        self.is_authenticated = bool(row.get("authenticated"))
        self.received = int(row.get("in", self.received))
        self.sent = int(row.get("out", self.sent))

    def text(self) -> str:
        """All that a search may find, in lower case."""
        parts = (self.socket, self.host, self.short_token, self.browser, self.agent)
        return " ".join((*parts, self.address, self.last)).lower()


def from_row(row: dict[str, Any], now: float) -> Connection:
    """Make one of a row of /presence, or of an event "open"."""
    connection = Connection(
        socket=shown(row.get("socket", "")),
        host=shown(row.get("host", "")),
        token=shown(row.get("token", "")),
        since=float(row.get("since", row.get("time", 0.0))),
        address=shown(row.get("address", "")),
        agent=shown(row.get("agent", "")),
        added=now,
    )
    connection.update(row)
    return connection
