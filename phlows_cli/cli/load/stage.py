"""What every run needs: the broker, its own or another, and who connects."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.load.address import place_of, sockets_at
from phlows_cli.cli.load.dialing import BATCH, Dialer, Opened, Refused, Visitor
from phlows_cli.cli.load.findings import Findings
from phlows_cli.cli.load.line import BridgeLine, checked
from phlows_cli.cli.load.machine import Effort
from phlows_cli.cli.load.progress import Progress
from phlows_cli.cli.load.reactor import Reactor
from phlows_cli.cli.load.temporary import APP, HOST, Wish, temporary_broker
from phlows_cli.errors import BrokerUnreachableError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phlows_cli.cli.load.address import Place

CONCURRENCY: Final = 128
"""Handshakes under way while the sockets of a run are opened."""


@dataclass(frozen=True, slots=True)
class Where:
    """What was typed about the broker, and about who connects to it."""

    url: str | None = None
    host: str | None = None
    config_path: str | None = None
    connect: str | None = None
    token: str | None = None
    cookie: str | None = None
    origin: str | None = None
    ca: str | None = None
    app: str | None = None
    runtime: str = "resident"
    timeout: float = 10.0

    @property
    def is_own(self) -> bool:
        """Whether a temporary broker is meant."""
        return not (self.url or self.host or self.connect)


@dataclass(slots=True)
class Stage:
    """A broker that answers, and the parts of a run."""

    where: Where
    bridge: Place | None
    sockets: Place
    key: str
    visitor: Visitor
    progress: Progress
    reactor: Reactor = field(default_factory=Reactor)
    findings: Findings = field(default_factory=Findings)
    effort: Effort = field(default_factory=Effort)
    quiet: float = 0.0

    @property
    def run(self) -> str:
        """What tells this run's messages from all others."""
        return self.visitor.run

    @property
    def host(self) -> str:
        """The host of all sockets and casts."""
        return self.visitor.host

    def turn(self, wait: float) -> None:
        """Read what comes within so many seconds, or note that nothing did.

        `quiet` adds up what was waited, not what a clock says: while this
        process itself stood still nobody else is to blame.
        """
        self.quiet = 0.0 if self.reactor.turn(wait) else self.quiet + wait

    @property
    def is_given_up(self) -> bool:
        """Whether nothing has come for `--timeout` seconds."""
        return self.quiet >= self.where.timeout

    def line(self) -> BridgeLine:
        """A new connection to the bridge.

        Raises:
            UsageError: no bridge is known.
        """
        if self.bridge is None:
            raise UsageError("this casts: name the broker with --url, beside --connect")
        return BridgeLine(self.reactor, self.bridge, self.key)

    def dialer(self, on_end: Callable[[Opened | Refused], None]) -> Dialer:
        """What makes handshakes with the sockets' address."""
        return Dialer(self.reactor, self.sockets, self.visitor, self.where.timeout, on_end)

    def introduce(self, opened: Opened) -> None:
        """Send the auth message, where there is one; a new socket's buffer holds it."""
        frame = self.visitor.auth_frame(opened.number)
        if frame:
            with contextlib.suppress(OSError):  # it is closed: reading will tell why
                opened.sock.sendall(frame)

    def raise_if_turned_away(self) -> None:
        """Raise RefusedError if the app let a socket not in, after its upgrade."""
        for found in self.findings.examples:
            if str(found.get("why", "")).startswith("45"):
                raise RefusedError(f"socket {found['socket']} was turned away: {found['why']}")

    def open_all(self, count: int, take: Callable[[Opened], None]) -> None:
        """Open so many sockets, and send the auth messages.

        Raises:
            RefusedError, BrokerUnreachableError: one did not get in.
        """
        opened = 0

        def ended(end: Opened | Refused) -> None:
            nonlocal opened
            if isinstance(end, Refused):
                raise _not_in(end, self.sockets.shown)
            opened += 1
            self.introduce(end)
            take(end)

        dialer = self.dialer(ended)
        try:
            begun = 0
            while opened < count:
                batch = min(count - begun, CONCURRENCY - dialer.under_way, BATCH)
                for number in range(begun, begun + batch):
                    dialer.dial(number)
                begun += batch
                self.reactor.turn(0 if batch == BATCH else 0.1)
                dialer.sweep()
                self.progress.show("connecting", opened, count)
        finally:
            dialer.close()


def _not_in(end: Refused, shown: str) -> Exception:
    if end.status:
        return RefusedError(f"socket {end.number} was refused: {end.status} {end.why}")
    return BrokerUnreachableError(f"socket {end.number} did not reach {shown}: {end.why}")


@contextlib.contextmanager
def staged(where: Where, needs_app: bool = False, needs_auth: bool = False) -> Iterator[Stage]:
    """Find the broker, or start one; all of it is let go at the end.

    Args:
        where: what was typed.
        needs_app: whether a temporary broker's host has to answer messages.
        needs_auth: whether its sockets have to have tokens.
    """
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress())
        progress.show("finding the broker", 0, 1)
        if where.is_own:
            stage = _own(where, stack, progress, needs_app, needs_auth)
        elif where.app:
            raise UsageError("--app is for a broker of the run's own: leave --url and --host away")
        else:
            stage = _other(where, progress)
        stack.callback(stage.reactor.close)
        if stage.bridge is not None:
            _ask(stage)
        yield stage


def _own(
    where: Where,
    stack: contextlib.ExitStack,
    progress: Progress,
    needs_app: bool,
    needs_auth: bool,
) -> Stage:
    broker = stack.enter_context(temporary_broker(_wish(where, needs_app, needs_auth)))
    place = place_of(broker.url)
    token = "bench-{n}" if needs_auth and where.token is None else where.token
    return Stage(where, place, place, broker.key, _visitor(where, HOST, token), progress)


def _wish(where: Where, needs_app: bool, needs_auth: bool) -> Wish:
    auth = "upgrade" if where.cookie is not None else "none"
    auth = "message" if where.token is not None or needs_auth else auth
    name, equals, _ = (where.cookie or "").partition("=")
    name = name if equals else "token"
    if where.app is not None:
        app = Path(where.app)
        if not app.is_file():
            raise UsageError(f"--app {app} is not a file")
        return Wish(app, where.runtime, auth, name)
    if not needs_app and auth == "none":
        return Wish()
    hooks = (*(("receive",) if needs_app else ()), *(("auth",) if auth != "none" else ()))
    return Wish(APP, "resident", auth, name, hooks)


def _other(where: Where, progress: Progress) -> Stage:
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.options import sole_host
    from phlows_cli.config import find_config, load_config

    config = load_config(find_config(where.config_path))
    host = where.host or sole_host(config)
    bridge, key = None, ""
    if where.url or not where.connect:
        client = client_for(config, where.url)
        bridge, key = place_of(client.url, where.ca), client.key
        sockets = sockets_at(bridge, where.connect, where.ca)
    else:
        sockets = place_of(where.connect, where.ca)
    return Stage(where, bridge, sockets, key, _visitor(where, host, where.token), progress)


def _visitor(where: Where, host: str, token: str | None) -> Visitor:
    run = secrets.token_hex(4)
    cookie = where.cookie
    if cookie is not None and "=" not in cookie:
        cookie = f"token={cookie}"
    return Visitor(host, run, token, cookie, where.origin)


def _ask(stage: Stage) -> None:
    """Make sure that the broker answers, and takes the key."""
    line = stage.line()
    try:
        answer = line.call("GET", "/health")
        is_files = stage.key and not os.environ.get("PHLOWS_KEY") and not stage.where.is_own
        if answer.status == 403 and is_files:
            # The key file is another broker's, and this one may need no key.
            stage.key = ""
            line.close()
            line = stage.line()
            answer = line.call("GET", "/health")
        checked(answer)
    finally:
        line.close()
