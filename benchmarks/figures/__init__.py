"""The figures, in the order in which they are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.figures import apps, casts, idle, lines, pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures.plan import Plan
    from benchmarks.report import Figure

FIGURES: Final[dict[str, Callable[[Plan], list[Figure]]]] = {
    "fanout": casts.fan_out,
    "sizes": casts.sizes,
    "targets": casts.targets,
    "curve": casts.curve,
    "latency": pace.latency,
    "crowds": pace.crowds,
    "bridge": lines.bridge_requests,
    "echo": lines.echoes,
    "handshakes": lines.handshakes,
    "oneshot": apps.one_shot,
    "resident": apps.resident,
    "runtimes": apps.runtimes_side_by_side,
    "idle": idle.memory,
    "keepalive": idle.keepalive,
    "help": apps.help_time,
}
