"""Open, receive, close, cast: the one place where connections and apps meet."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, TypeAlias

from phlows_cli.broker import casting
from phlows_cli.broker.audience import Audience, EachInTurn
from phlows_cli.broker.closings import Closings
from phlows_cli.broker.deadlines import Deadlines
from phlows_cli.broker.drain import Drain
from phlows_cli.broker.drops import Drops
from phlows_cli.broker.entrance import Entrance
from phlows_cli.broker.events import Events
from phlows_cli.broker.hooks import Application
from phlows_cli.broker.hub import Hub
from phlows_cli.broker.session import Phase, Session
from phlows_cli.broker.turn import Turn
from phlows_cli.errors import RequestError
from phlows_cli.journal.memory import MemoryJournal
from phlows_cli.model import CloseCode, Hook
from phlows_cli.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from phlows_cli.broker.peer import Peer
    from phlows_cli.config import Limits
    from phlows_cli.journal.journal import Entry, Journal
    from phlows_cli.model import Cast, Event, HookResult, Host, Receipt, Target, Task
    from phlows_cli.runtime.runtime import Runtime

log = logging.getLogger("phlows.broker")

RuntimeFor: TypeAlias = "Callable[[Application], Runtime | None]"
"""Makes the runtime that will work for an application; None for push-only hosts."""


@dataclass(slots=True)
class Counts:
    """What went through the broker since it started."""

    connects: int = 0
    messages: int = 0
    casts: int = 0
    deliveries: int = 0


class Broker:
    """Many hosts, their sockets and their apps.

    Args:
        limits: bounds; `max_connections` is already resolved, never 0.
        clock: seconds, monotonic.
        journal: keeps what must outlive a crash; by default nothing does.
        left_behind: what a broker before has left in it.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        journal: Journal | None = None,
        left_behind: Iterable[Entry] = (),
    ) -> None:
        self.limits = limits
        self.clock = clock
        self.hub: Hub[Session] = Hub()
        self.events = Events()
        self.drops = Drops()
        self.tasks = Tasks()
        self.apps: dict[str, Application] = {}
        self.counts = Counts()
        self.turn = Turn()
        self.on_hook: Callable[[Event, HookResult], None] | None = None
        self._make_audience: Callable[[], Audience] = EachInTurn
        self.is_draining = False
        self.draining = asyncio.Event()
        self.journal = journal or MemoryJournal()
        self.closings = Closings(self, left_behind)
        self.connected = 0
        self.leaving = 0
        self._arriving = 0
        self._runtimes: set[Runtime] = set()
        self._farewells = Tasks()
        self._auth_deadlines: Deadlines[Session] = Deadlines(limits.auth_timeout)
        self.entrance = Entrance(limits, clock, self.drops)

    def use_audiences(self, make: Callable[[], Audience]) -> None:
        """Have others write what goes to all sockets of a host; before any socket comes."""
        self._make_audience = make
        for app in self.apps.values():
            app.audience = make()

    # Hosts

    def add_host(self, host: Host, runtime_for: RuntimeFor) -> None:
        """Serve a host; `runtime_for` is given the application it will work for."""
        app = self._application(host, runtime_for)
        self.apps[host.name] = app
        self.hub.add_host(host.name)
        self.closings.adopt(app)

    def change_host(self, host: Host, runtime_for: RuntimeFor) -> None:
        """Use other settings from the next hook on; its sockets stay.

        What runs or waits ends with the settings it began with.
        """
        app = self.apps[host.name]
        before, made = app.runtime, self._application(host, runtime_for)
        app.host, app.runtime, app.stale = host, made.runtime, ""
        made.runtime = None  # it refers to `made`, whose work is done
        self._retire(before)

    def remove_host(self, name: str) -> None:
        """Serve a host no longer: its sockets close, with their close hooks.

        Casts to it are an error from now on. Its app is ended when the last
        close hook is done.
        """
        app = self.apps.pop(name)
        for session in self.hub.remove_host(name):
            session.end(CloseCode.HOST_REMOVED, "this host is not served any more")
        app.is_removed = True
        if not app.sessions:
            self._retire(app.runtime)

    def check_served(self, app: Application) -> None:
        """Whether an upgrade that waited for its app may still be opened.

        Raises:
            RequestError: 421, the host was removed; 503, the broker is stopping.
        """
        if app.is_removed:
            raise RequestError(f"host {app.host.name!r} is not served any more", 421)
        if self.is_draining:
            raise self.refusal("the broker is stopping")

    def _application(self, host: Host, runtime_for: RuntimeFor) -> Application:
        audience = self._make_audience()
        app = Application(host, None, self.drops, self.events, self._observe, audience)
        app.runtime = runtime_for(app)
        if app.runtime is not None:
            self._runtimes.add(app.runtime)
        return app

    def _observe(self, hook: Event, result: HookResult) -> None:
        if self.on_hook is not None:
            self.on_hook(hook, result)

    def _retire(self, runtime: Runtime | None) -> None:
        """End a runtime once the hooks that it was given are done."""
        if runtime is not None:
            self._farewells.spawn(self._see_off(runtime))

    async def _see_off(self, runtime: Runtime) -> None:
        await runtime.retire()
        self._runtimes.discard(runtime)

    async def renew(self, name: str, runtime_for: RuntimeFor) -> tuple[int, str]:
        """Replace a host's workers: new ones boot first, then the old ones end.

        Where they do not boot, all stays as it was.

        Returns:
            How many were replaced, and why none was ("" when nothing went wrong).
        """
        app = self.apps[name]
        async with app.renewal:
            if self.is_draining:
                return 0, "the broker is stopping"
            return await self._renew(app, runtime_for)

    async def _renew(self, app: Application, runtime_for: RuntimeFor) -> tuple[int, str]:
        before, host = app.runtime, app.host
        if before is None or host.is_url or host.runtime != "resident":
            return 0, ""
        made = self._application(host, runtime_for)
        fresh, made.runtime = made.runtime, None
        if fresh is None:
            return 0, ""
        count = before.worker_count
        problem = await app.try_out(fresh, max(count, bool(before.problem)))
        self._retire(fresh if problem else before)
        return (0, problem) if problem else (count, "")

    # Tasks

    async def run(
        self, app: Application, task: Task, on_line: Callable[[bytes], None] = lambda _line: None
    ) -> HookResult:
        """Run a task of an app, which a drain waits for.

        Raises:
            RequestError: 503, the broker is stopping; 400, the host has no app.
        """
        if self.is_draining:
            raise self.refusal("the broker is stopping")
        return await app.run(task, on_line)

    def apply_limits(self, limits: Limits) -> None:
        """Hold to other limits: what is counted or timed from now on."""
        self.limits = limits
        self._auth_deadlines.seconds = limits.auth_timeout
        self.entrance.apply(limits)

    # Connections

    def application(self, host_name: str) -> Application:
        """The app of a host.

        Raises:
            RequestError: 421, the host is not served here.
        """
        try:
            return self.apps[host_name]
        except KeyError:
            raise RequestError(f"host {host_name[:255]!r} is not served here", 421) from None

    def refusal(self, message: str) -> RequestError:
        """A 503 that says when to come back."""
        return self.entrance.refusal(message)

    def admit(self, app: Application, address: str = "") -> None:
        """Let one more socket in, before anything is started for it.

        Raises:
            RequestError: 503, the broker is stopping, or at one of its limits.
        """
        if self.is_draining:
            raise self.refusal("the broker is stopping")
        if app.is_recovering:
            self.drops.count("upgrade while sockets of before are closed")
            raise self.refusal(f"{app.host.name!r} is closing sockets from before a crash")
        self.entrance.check(app, address, self.connected + self._arriving)

    async def authenticate(self, app: Application, token: str, socket: str) -> HookResult:
        """Ask the app before the upgrade is answered (`auth = "upgrade"`)."""
        self._arriving += 1
        app.connected += 1
        try:
            return await app.call(Hook("auth", app.host.name, token, socket))
        finally:
            self._arriving -= 1
            app.connected -= 1

    def open(self, app: Application, socket: str, claim: str, peer: Peer) -> Session:
        """A socket was accepted; the caller starts the session after the 101.

        With `auth = "upgrade"` the claim has been verified and the socket is
        live at once.
        """
        session = Session(self, app, socket, claim, peer)
        self.connected += 1
        self.counts.connects += 1
        app.sessions += 1
        app.connected += 1
        self.hub.accept(app.host.name, session)
        if self.events.is_watched:
            fields = {"socket": socket, "address": peer.address, "agent": peer.agent}
            self.events.publish("open", app.host.name, fields, claim)
        if app.host.auth == "upgrade":
            session.token = claim
            self.on_authenticated(session)
        elif app.host.auth == "message" and not claim:
            self._auth_deadlines.add(session, self.clock())
        return session

    @staticmethod
    def new_socket_id() -> str:
        """16 hex characters from the system's randomness."""
        return token_hex(8)

    # What sessions report

    def on_authenticated(self, session: Session) -> None:
        """Casts find the session from now on."""
        self._auth_deadlines.discard(session)
        self.hub.authenticate(session.app.host.name, session)
        session.app.audience.join(session.peer)
        if self.events.is_watched:
            fields = {"socket": session.id}
            self.events.publish("auth", session.app.host.name, fields, session.token)

    def on_receive(self, session: Session, size: int) -> None:
        """A message came in; the first one answers the auth deadline."""
        self.counts.messages += 1
        if session.phase < Phase.OPEN:
            self._auth_deadlines.discard(session)
        if self.events.is_watched:
            fields = {"socket": session.id, "bytes": size}
            self.events.publish("receive", session.app.host.name, fields, session.claim)

    def on_left(self, session: Session, code: int, reason: str) -> None:
        """The socket is gone: out of the hub before its close hook runs."""
        self.connected -= 1
        self.leaving += 1
        session.app.connected -= 1
        self._auth_deadlines.discard(session)
        self.hub.remove(session.app.host.name, session)
        session.app.audience.leave(session.peer)
        if self.events.is_watched:
            fields = {"socket": session.id, "code": int(code), "reason": reason}
            self.events.publish("close", session.app.host.name, fields, session.claim)

    def on_finished(self, session: Session) -> None:
        """The close hook is done and nothing is left of the session."""
        self.leaving -= 1
        self.finish(session.app)

    def finish(self, app: Application) -> None:
        """A socket owes its app nothing any more; the last one of a removed host ends it."""
        app.sessions -= 1
        if app.is_removed and not app.sessions:
            self._retire(app.runtime)

    # Casts

    def cast(self, cast: Cast) -> Receipt:
        """Deliver a cast now; see casting for one that is to wait its turn.

        Raises:
            UnknownHostError: the host is not registered.
        """
        return casting.deliver(self, cast)

    def disconnect(self, host: str, target: Target, code: int, reason: str) -> int:
        """End the sockets in an audience; returns how many.

        Raises:
            UnknownHostError: the host is not registered.
        """
        members = self.hub.select(host, target, frozenset())
        for member in members:
            member.end(code, reason)
        return len(members)

    # Time

    def sweep(self) -> None:
        """Close sockets whose auth message is late; called on every tick."""
        for session in self._auth_deadlines.expired(self.clock()):
            limit = f"{self.limits.auth_timeout:g} s (limits.auth_timeout)"
            session.end(CloseCode.AUTH_TIMEOUT, f"no auth message within {limit}")

    # The end

    async def drain(self, seconds: float, hurry: asyncio.Event | None = None) -> int:
        """Let waiting events run, close every socket, run the close hooks.

        Args:
            seconds: for all of it; waiting events get half.
            hurry: once it is set, waiting events are dropped at once and
                close hooks get HURRIED seconds.

        Returns:
            How many sockets' hooks were not done at the end, and are cut.
        """
        self.is_draining = True
        self.draining.set()
        return await Drain(self, hurry or asyncio.Event()).run(seconds)

    async def stop(self) -> None:
        """End what still runs, process groups included."""
        for runtime in list(self._runtimes):
            await runtime.stop()
        await self.tasks.stop()
        await self._farewells.stop()
        self.drops.report()

    def sessions(self) -> list[Session]:
        """Every socket that is open, those that are not authenticated included."""
        return [session for host in self.hub.hosts for session, _ in self.hub.sockets(host)]
