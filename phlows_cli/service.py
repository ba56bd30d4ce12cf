"""The composition root: Config -> a running broker, from start to exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phlows_cli import logs, system
from phlows_cli.address import bridge_url
from phlows_cli.app_watch import AppWatches
from phlows_cli.banner import banner, problems, status
from phlows_cli.broker.broker import Broker
from phlows_cli.broker.minutes import Minutes
from phlows_cli.changes import Changes, changes_between, keep_fixed
from phlows_cli.config import load_config
from phlows_cli.errors import PhlowsError, RequestError, UnknownHostError
from phlows_cli.recovery import open_journal
from phlows_cli.runtime.command import with_key
from phlows_cli.runtime.runtime import RuntimeSettings, command_for, runtime_for
from phlows_cli.runtime.slots import Slots
from phlows_cli.server.access import Access
from phlows_cli.server.bridge import Bridge
from phlows_cli.server.front import RESERVED, Front
from phlows_cli.server.key import load_host_keys, load_key
from phlows_cli.server.listener import Listeners
from phlows_cli.server.metrics import Metrics
from phlows_cli.server.tls import Certificate
from phlows_cli.systemd import Supervisor, take_sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phlows_cli.broker.hooks import Application
    from phlows_cli.config import Config, Limits
    from phlows_cli.runtime.runtime import Runtime
    from phlows_cli.server.bridge import Page

log = logging.getLogger("phlows.service")

KEPT_DESCRIPTORS: Final = 256
"""Not given to sockets: for the bridge, hooks and the broker itself."""

NO_PAGES: Final[Mapping[str, Page]] = {}


def run(
    config: Config,
    routes: Mapping[str, Page] = NO_PAGES,
    reread: Callable[[], Config] | None = None,
) -> int:
    """Serve until a signal ends it; returns the exit code.

    Args:
        config: as loaded.
        routes: public pages besides the bridge, path -> (content type, body).
        reread: what a reload calls, so that options stay above the file; by
            default it loads the file again, if there is one.

    Raises:
        ListenError: an address cannot be bound.
        ConfigError: the key file cannot be read or made.
    """
    logs.configure(config.server.log_format)
    with asyncio.Runner(loop_factory=system.loop_factory()) as runner:
        return runner.run(serve(config, routes, reread))


async def serve(
    config: Config,
    routes: Mapping[str, Page] = NO_PAGES,
    reread: Callable[[], Config] | None = None,
) -> int:
    """The same on a running event loop."""
    service = Service(config, routes, reread)
    await service.start()
    try:
        return await service.wait()
    finally:
        await service.stop()


class Service:
    """A running broker and the configuration it runs with."""

    def __init__(
        self,
        config: Config,
        routes: Mapping[str, Page] = NO_PAGES,
        reread: Callable[[], Config] | None = None,
    ) -> None:
        self._supervisor = Supervisor()
        self._reread = reread or (lambda: load_config(config.path) if config.path else config)
        self._descriptors = system.raise_descriptor_limit()
        self._loaded = config
        self.config = self._resolved(config)
        self._slots = Slots(config.limits.concurrency)
        self._access = self._make_access(self.config)
        self._kept = open_journal(config.server, self._count_loss)
        self.broker = Broker(
            self.config.limits, journal=self._kept.journal, left_behind=self._kept.entries
        )
        self._metrics = Metrics(self.broker, lambda: self._ticker.lag)
        self.broker.on_hook = self._metrics.observe
        self._bridge = Bridge(self.broker, self._access, routes, self)
        tick = self._tick_interval(self.config)
        room = self._descriptors - KEPT_DESCRIPTORS + RESERVED
        self._front = Front(self.config, self.broker, self._bridge, self._access, tick, room)
        self._certificate = _certificate(config)
        self._listeners = Listeners(self._certificate)
        self._watch = system.FileWatch(config.path)
        self._minutes = Minutes(self.broker)
        self._apps = AppWatches(self._renew_one)
        self._asked_to_stop: asyncio.Queue[str] = asyncio.Queue()
        self._ticker = system.Ticker(tick, self._every_tick, self._every_second)

    async def start(self) -> None:
        """Listen, and say so.

        Raises:
            ListenError: an address cannot be bound.
            ConfigError: an app has no interpreter.
        """
        try:
            # Bound first: apps are told the port, which the system may have chosen.
            if inherited := take_sockets():
                self._listeners.adopt(inherited)
            else:
                self._listeners.bind(self.config.server)
            self._settings = self._runtime_settings(self.config)
            await self._kept.end_groups()
            for host in self.config.hosts.values():
                self.broker.add_host(host, self._make_runtime)
            self.broker.closings.shelve()
            self._apps.apply(self.config.hosts.values())
            await self._listeners.open(self._front)
        except PhlowsError:
            await self._listeners.close()
            await self._kept.stop()
            self._ticker.stop()
            self._supervisor.close()
            raise
        self._take_signals()
        self._announce()
        system.quiet_garbage_collection()
        self._supervisor.ready(status(self.config, self._listeners.addresses))

    async def wait(self) -> int:
        """Serve until a signal or a drain, and end in order; returns the exit code."""
        why = await self._asked_to_stop.get()
        timeout = self.config.server.drain_timeout
        facts = {"reason": why, "sockets": self.broker.connected, "drain_timeout": timeout}
        log.info("stopping", extra=facts)
        self._supervisor.stopping(timeout)
        hurry = asyncio.Event()
        watching = asyncio.ensure_future(self._hurry_on_signal(hurry))
        cut = await self.broker.drain(timeout, hurry)
        if self._listeners.is_inherited:
            # No hook is left to cast: what arrives from now on waits for the next broker.
            await self._listeners.close()
            await self._front.wait_answered(self.config.server.close_timeout)
        # The front's deadlines end a channel after close_timeout at the latest.
        await self._front.wait_empty()
        watching.cancel()
        return 1 if cut else 0

    async def stop(self) -> None:
        """End whatever still runs; the listeners close last."""
        await self._listeners.close()
        self._front.abort_all()
        await self.broker.stop()
        await self._kept.stop()
        self._ticker.stop()
        self._supervisor.close()

    # What the bridge and signals ask for

    def drain(self) -> None:
        """Stop as on SIGTERM."""
        self._asked_to_stop.put_nowait("drain")

    def metrics(self) -> bytes:
        """What Prometheus reads."""
        return self._metrics.render()

    async def renew(self, host: str) -> Mapping[str, Mapping[str, object]]:
        """Replace the workers of a host, or of all, one host after the other.

        Returns:
            `replaced`: how many, by host; `failed`: why none was, by host.

        Raises:
            UnknownHostError: there is no such host.
        """
        if host and host not in self.broker.apps:
            raise UnknownHostError(host)
        replaced: dict[str, int] = {}
        failed: dict[str, str] = {}
        for name in [host] if host else list(self.broker.apps):
            count, problem = await self._renew_one(name)
            if problem:
                failed[name] = problem
            elif count:
                replaced[name] = count
        return {"replaced": replaced, "failed": failed}

    async def _renew_one(self, name: str) -> tuple[int, str]:
        if name not in self.broker.apps:  # removed while others were replaced
            return 0, ""
        count, problem = await self.broker.renew(name, self._make_runtime)
        if problem:
            log.error("workers not replaced", extra={"host": name, "reason": problem})
        elif count:
            log.info("workers replaced", extra={"host": name, "count": count})
        return count, problem

    def reload(self) -> Mapping[str, list[str]]:
        """Read the config file again and apply it without dropping a socket.

        Raises:
            ConfigError: the file is wrong; nothing was changed.
            RequestError: 503, the broker is stopping.
        """
        if self.broker.is_draining:
            raise RequestError("the broker is stopping", 503)
        self._supervisor.reloading()
        try:
            return self._reload()
        finally:
            self._supervisor.ready(status(self.config, self._listeners.addresses))

    def _reload(self) -> Mapping[str, list[str]]:
        self._watch.accept()
        loaded = self._reread()
        changes = changes_between(self._loaded, loaded)
        config = self._resolved(keep_fixed(self.config, loaded))
        for host in config.hosts.values():
            if host.app and not host.is_url:
                command_for(host, config.interpreters)  # raises before anything is changed
        access = self._make_access(config)
        changes = self._with_rekeyed(changes, config, access)
        certificate = _certificate(loaded)
        if certificate is not None and self._certificate is not None:
            self._certificate.replace(certificate)
        self._apply(config, access, changes)
        self._loaded = keep_fixed(self._loaded, loaded)
        gc.collect()  # what was replaced, now: by itself it is looked for too seldom
        facts = changes.as_dict()
        shown = {name: ",".join(names) for name, names in facts.items() if names}
        log.info("reloaded", extra=shown)
        return facts

    def _apply(self, config: Config, access: Access, changes: Changes) -> None:
        """Put a checked configuration to work; nothing here may fail half-way."""
        logs.configure(config.server.log_format)
        self.config = config
        self._slots.resize(config.limits.concurrency)
        self._settings = self._runtime_settings(config)
        self.broker.apply_limits(config.limits)
        self._access = access
        self._bridge.access = access
        tick = self._tick_interval(config)
        self._ticker.interval = tick
        self._front.apply(config, access, tick)
        for name in changes.removed:
            self.broker.remove_host(name)
        for name in changes.added:
            self.broker.add_host(config.hosts[name], self._make_runtime)
        for name in self._hosts_to_change(changes):
            self.broker.change_host(config.hosts[name], self._make_runtime)
        self._apps.apply(self.config.hosts.values())

    def _with_rekeyed(self, changes: Changes, config: Config, access: Access) -> Changes:
        """A key file with another key changes its host: the app must be handed it."""
        stayed = config.hosts.keys() - set(changes.added)
        rekeyed = {name for name in stayed if self._access.key_of(name) != access.key_of(name)}
        return replace(changes, changed=tuple(sorted(rekeyed.union(changes.changed))))

    def _hosts_to_change(self, changes: Changes) -> list[str]:
        """Those with other settings; all, when what every runtime uses has changed."""
        shared = {"limits.queue", "limits.output", "interpreters.php", "interpreters.py"}
        if shared.isdisjoint(changes.settings):
            return list(changes.changed)
        return [name for name in self.config.hosts if name not in changes.added]

    def _reload_quietly(self, why: str) -> None:
        """Reload on a signal or a changed file: there is only the log to answer to."""
        try:
            self.reload()
        except PhlowsError as error:
            # The sentence is for the person who wrote the file: no traceback.
            log.warning("reload refused, nothing was changed: %s", error, extra={"cause": why})

    # Parts of the start

    def _make_runtime(self, app: Application) -> Runtime | None:
        if not app.host.app:
            return None
        host = with_key(app.host, self._access.key_of(app.host.name))
        return runtime_for(host, self._settings, app.on_stderr)

    def _runtime_settings(self, config: Config) -> RuntimeSettings:
        return RuntimeSettings(
            interpreters=config.interpreters,
            queue=config.limits.queue,
            output=config.limits.output,
            url=bridge_url(self._listeners.listen, self._listeners.port),
            slots=self._slots,
            groups=self._kept.groups,
        )

    def _count_loss(self, count: int) -> None:
        self.broker.drops.count("change that the journal lost", count)

    def _make_access(self, config: Config) -> Access:
        key = load_key(config.bridge.key_file)
        host_keys = load_host_keys(config.hosts.values(), key)
        return Access(config.server, config.bridge, key, host_keys)

    def _resolved(self, config: Config) -> Config:
        return replace(config, limits=_resolve(config.limits, self._descriptors))

    def _announce(self) -> None:
        config, addresses = self.config, self._listeners.addresses
        sockets = config.limits.max_connections
        if config.server.log_format == "text":
            where = [f"{a} (inherited)" if self._listeners.is_inherited else a for a in addresses]
            sys.stderr.write(banner(config, where, self._descriptors, sockets) + "\n")
            sys.stderr.flush()
        else:
            facts: dict[str, Any] = {"addresses": addresses, "hosts": len(config.hosts)}
            log.info("serving", extra=facts | {"sockets": sockets})
        if self._listeners.is_inherited:
            log.info(
                "listening at inherited sockets, not at server.listen and server.port",
                extra={"addresses": ",".join(addresses)},
            )
        for problem in problems(config):
            log.warning("%s", problem)

    def _take_signals(self) -> None:
        # Inherited as ignored, it would take every hook's exit code away.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop.put_nowait, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._reload_quietly, "SIGHUP")

    async def _hurry_on_signal(self, hurry: asyncio.Event) -> None:
        why = await self._asked_to_stop.get()
        log.warning("stopping at once", extra={"reason": why})
        hurry.set()

    def _every_tick(self) -> None:
        self._front.tick()
        # Last, so that a loop which is stuck, or whose work fails, is restarted.
        self._supervisor.beat()

    def _tick_interval(self, config: Config) -> float:
        """As the timeouts need it, and the watchdog."""
        beat = self._supervisor.beat_interval
        needed = _tick_interval(config)
        return min(needed, max(0.02, beat / 4)) if beat else needed

    def _every_second(self) -> None:
        self.broker.drops.report()
        self._minutes.look()
        if self._apps.is_due and not self.broker.is_draining:
            self.broker.tasks.spawn(self._apps.look())
        if not self.broker.is_draining and self._watch.has_changed():
            self._reload_quietly("the file was changed")


def _certificate(config: Config) -> Certificate | None:
    cert, key = config.server.tls_cert, config.server.tls_key
    return Certificate(Path(cert), Path(key)) if cert else None


def _resolve(limits: Limits, descriptors: int) -> Limits:
    """Fill in max_connections; one that descriptors do not allow is cut."""
    allowed = max(1, descriptors - KEPT_DESCRIPTORS)
    if limits.max_connections > allowed:
        told = {"max_connections": limits.max_connections, "allowed": allowed}
        log.warning("limits.max_connections exceeds the descriptor limit (ulimit -n)", extra=told)
    wanted = min(limits.max_connections or allowed, allowed)
    return replace(limits, max_connections=wanted)


def _tick_interval(config: Config) -> float:
    """A quarter of the shortest timeout, so that none is late by more; 1 s at most."""
    limits, server = config.limits, config.server
    shortest = min(
        limits.auth_timeout, limits.handshake_timeout, server.close_timeout, server.ping_interval
    )
    return min(1.0, max(0.02, shortest / 4))
