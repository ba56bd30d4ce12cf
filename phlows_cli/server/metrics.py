"""What Prometheus reads. Counted where it happens, collected when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from phlows_cli.broker.broker import Broker
    from phlows_cli.model import Event, HookResult

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds: from a resident worker's answer to the default timeout."""


class Metrics:
    """The metrics of one broker; reading them costs the reader's request only.

    `lag` tells by how many seconds the event loop is late.
    """

    def __init__(self, broker: Broker, lag: Callable[[], float]) -> None:
        self._broker = broker
        self._lag = lag
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._hooks = Histogram(
            "phlows_hook_seconds",
            "Time of a hook call, its wait included.",
            ("host", "hook", "outcome"),
            buckets=BUCKETS,
            registry=self._registry,
        )

    def observe(self, hook: Event, result: HookResult) -> None:
        """Count one hook call."""
        self._hooks.labels(hook.host, hook.name, str(result.outcome)).observe(result.seconds)

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
