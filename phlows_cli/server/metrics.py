"""What Prometheus reads. Counted where it happens, collected when asked."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from phlows_cli.broker.broker import Broker
    from phlows_cli.model import Event, HookResult

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds: from a resident worker's answer to the default timeout."""


_BOUNDS: Final = (*(str(float(bound)) for bound in BUCKETS), "+Inf")


class _Times:
    """How long the calls of one kind took: how many in each bucket, and in all."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as they are told: each counts those below it, too."""
        return list(zip(_BOUNDS, map(float, accumulate(self.counts)), strict=True))


class Metrics:
    """The metrics of one broker; reading them costs the reader's request only.

    `lag` tells by how many seconds the event loop is late.
    """

    def __init__(self, broker: Broker, lag: Callable[[], float]) -> None:
        self._broker = broker
        self._lag = lag
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._hooks: dict[tuple[str, str, str], _Times] = {}

    def observe(self, hook: Event, result: HookResult) -> None:
        """Count one hook call."""
        kind = (hook.host, hook.name, result.outcome)
        times = self._hooks.get(kind)
        if times is None:
            times = self._hooks[kind] = _Times()
        times.counts[bisect_left(BUCKETS, result.seconds)] += 1
        times.total += result.seconds

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The figures that the broker keeps anyway."""
        broker = self._broker
        counts = broker.counts
        yield _gauge("phlows_connections", "Sockets from accept on.", broker.connected)
        yield _gauge("phlows_max_connections", "Bound of sockets.", broker.limits.max_connections)
        yield _gauge("phlows_loop_lag_seconds", "How late the event loop is.", self._lag())
        yield self._sockets()
        yield from self._queues()
        yield _counter("phlows_casts", "Casts taken.", counts.casts)
        yield _counter("phlows_deliveries", "Frames of casts given to sockets.", counts.deliveries)
        yield _counter("phlows_messages", "Messages received from clients.", counts.messages)
        yield _counter("phlows_connects", "Sockets accepted.", counts.connects)
        dropped = CounterMetricFamily("phlows_dropped", "Dropped, by reason.", labels=("reason",))
        for reason, total in broker.drops.totals.items():
            dropped.add_metric((reason,), total)
        yield dropped
        yield self._hook_times()

    def _hook_times(self) -> Metric:
        family = HistogramMetricFamily(
            "phlows_hook_seconds",
            "Time of a hook call, its wait included.",
            labels=("host", "hook", "outcome"),
        )
        for (host, hook, outcome), times in self._hooks.items():
            family.add_metric((host, hook, str(outcome)), times.cumulative(), times.total)
        return family

    def _sockets(self) -> Metric:
        sockets = GaugeMetricFamily(
            "phlows_sockets", "Authenticated sockets, by host.", labels=("host",)
        )
        for host in self._broker.hub.hosts:
            sockets.add_metric((host,), self._broker.hub.count(host))
        return sockets

    def _queues(self) -> Iterator[Metric]:
        queued = GaugeMetricFamily("phlows_events_queued", "Events waiting.", labels=("host",))
        running = GaugeMetricFamily("phlows_hooks_running", "Hooks running.", labels=("host",))
        workers = GaugeMetricFamily("phlows_workers", "Resident workers.", labels=("host",))
        for name, app in self._broker.apps.items():
            if app.runtime is not None:
                queued.add_metric((name,), app.runtime.queued)
                running.add_metric((name,), app.runtime.busy)
                workers.add_metric((name,), app.runtime.worker_count)
        yield queued
        yield running
        yield workers


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
