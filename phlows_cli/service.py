"""The composition root: Config -> a running broker, from start to exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from phlows_cli import logs
from phlows_cli.address import bridge_url
from phlows_cli.banner import banner, problems
from phlows_cli.broker.broker import Broker
from phlows_cli.errors import PhlowsError
from phlows_cli.runtime.runtime import RuntimeSettings, runtime_for
from phlows_cli.runtime.slots import Slots
from phlows_cli.server.access import Access
from phlows_cli.server.bridge import Bridge
from phlows_cli.server.front import Front
from phlows_cli.server.key import load_key
from phlows_cli.server.listener import Listeners

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


def run(config: Config, routes: Mapping[str, Page] = NO_PAGES) -> int:
    """Serve until a signal ends it; returns the exit code.

    Args:
        config: as loaded.
        routes: public pages besides the bridge, path -> (content type, body).

    Raises:
        ListenError: an address cannot be bound.
        ConfigError: the key file cannot be read or made.
    """
    logs.configure(config.server.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(serve(config, routes))


async def serve(config: Config, routes: Mapping[str, Page] = NO_PAGES) -> int:
    """The same on a running event loop."""
    descriptors = _raise_descriptor_limit()
    config = replace(config, limits=_resolve(config.limits, descriptors))
    access = Access(config.server, config.bridge, load_key(config.bridge.key_file))
    broker = Broker(config.limits)
    tick = _tick_interval(config)
    front = Front(config, broker, Bridge(broker, access, routes), access, tick)
    # Inherited as ignored, it would take every hook's exit code away.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stopping = _stop_signals()
    listeners = Listeners()
    # Bound first: apps are told the port, which the system may have chosen.
    listeners.bind(config.server)
    try:
        _add_hosts(broker, config, bridge_url(config.server.listen, listeners.port))
        await listeners.open(front)
    except PhlowsError:
        await listeners.close()
        raise
    ticker = Ticker(tick, front.tick, broker.drops.report)
    _announce(config, listeners.addresses, descriptors)
    _quiet_garbage_collection()
    await stopping.get()
    code = await _drain(config, broker, front, stopping)
    await listeners.close()
    front.abort_all()
    await broker.stop()
    ticker.stop()
    return code


class Ticker:
    """Calls `every_tick` each interval and `every_second` once a second."""

    def __init__(
        self, interval: float, every_tick: Callable[[], None], every_second: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._interval = interval
        self._every_tick = every_tick
        self._every_second = every_second
        self._second = self._loop.time()
        self._timer = self._loop.call_later(interval, self._tick)

    def stop(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        # First of all the next one: what fails below is logged by the loop.
        self._timer = self._loop.call_later(self._interval, self._tick)
        if self._loop.time() - self._second >= 1.0:
            self._second = self._loop.time()
            self._every_second()
        self._every_tick()


async def _drain(config: Config, broker: Broker, front: Front, stopping: asyncio.Queue[str]) -> int:
    """Let everything end in its time; a second signal hurries."""
    timeout = config.server.drain_timeout
    log.info("stopping", extra={"sockets": broker.connected, "drain_timeout": timeout})
    draining = asyncio.ensure_future(_drain_all(config, broker, front))
    hurried = asyncio.ensure_future(stopping.get())
    await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not draining.done():
        draining.cancel()
        log.warning("stopped at once by a second signal", extra={"hooks": len(broker.tasks)})
        return 1
    return 1 if draining.result() else 0


async def _drain_all(config: Config, broker: Broker, front: Front) -> int:
    cut = await broker.drain(config.server.drain_timeout)
    # The front's deadlines end a channel after close_timeout at the latest.
    await front.wait_empty()
    return cut


def _add_hosts(broker: Broker, config: Config, url: str) -> None:
    settings = RuntimeSettings(
        interpreters=config.interpreters,
        queue=config.limits.queue,
        output=config.limits.output,
        url=url,
        slots=Slots(config.limits.concurrency),
    )
    for host in config.hosts.values():

        def runtime(app: Application) -> Runtime | None:
            return runtime_for(app.host, settings, app.on_stderr) if app.host.hooks else None

        broker.add_host(host, runtime)


def _announce(config: Config, addresses: list[str], descriptors: int) -> None:
    sockets = config.limits.max_connections
    if config.server.log_format == "text":
        sys.stderr.write(banner(config, addresses, descriptors, sockets) + "\n")
        sys.stderr.flush()
    else:
        facts = {"addresses": addresses, "hosts": len(config.hosts), "sockets": sockets}
        log.info("serving", extra=facts)
    for problem in problems(config):
        log.warning("%s", problem)


def _stop_signals() -> asyncio.Queue[str]:
    """The signals that ask the broker to stop, as they come."""
    loop = asyncio.get_running_loop()
    names: asyncio.Queue[str] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, names.put_nowait, number.name)
    return names


def _raise_descriptor_limit() -> int:
    """Use all descriptors that this process may have; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS caps it below what it names as hard
            return soft
    return wanted


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


def _quiet_garbage_collection() -> None:
    """What exists now stays: collections look at what came since."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
