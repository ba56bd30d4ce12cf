"""One hook or task called many times, and how long that took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.progress import counted
from phlows_cli.errors import UsageError
from phlows_cli.model import Outcome
from phlows_cli.runtime.runtime import runtime_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.model import Event, HookResult, Host
    from phlows_cli.runtime.runtime import RuntimeSettings

PERCENTILES: Final = (50, 90, 99)
WORST: Final = (Outcome.TIMEOUT, Outcome.FAILED, Outcome.OVERLOADED, Outcome.REFUSED)


async def repeat(
    host: Host, event: Event, settings: RuntimeSettings, count: int
) -> list[HookResult]:
    """Call it so many times, one after the other; workers boot before the first.

    Raises:
        UsageError: the workers do not boot.
    """
    runtime = runtime_for(host, settings, lambda _event, _line: None)
    try:
        problem = await runtime.warm(1)
        if problem:
            raise UsageError(f"{host.name}: the app does not boot: {problem}")
        turns = counted(range(count), count, f"calling {host.name}")
        return [await runtime.call(event, lambda _line: None) for _ in turns]
    finally:
        await runtime.stop()


def summary(results: Sequence[HookResult]) -> dict[str, Any]:
    """Count the outcomes; the times in milliseconds."""
    times = sorted(result.seconds * 1000 for result in results)
    named = {f"p{share}": _percentile(times, share) for share in PERCENTILES}
    ms = {"min": times[0], **named, "max": times[-1]}
    return {
        "count": len(results),
        "outcomes": dict(Counter(str(result.outcome) for result in results)),
        "reason": next((result.reason for result in results if result.reason), ""),
        "ms": {name: round(value, 3) for name, value in ms.items()},
    }


def worst(results: Sequence[HookResult]) -> Outcome:
    """The outcome that the exit code stands for."""
    outcomes = {result.outcome for result in results}
    return next((outcome for outcome in WORST if outcome in outcomes), Outcome.ACCEPTED)


def render(told: dict[str, Any]) -> str:
    """Write a summary for people."""
    outcomes = ", ".join(f"{count} {name}" for name, count in told["outcomes"].items())
    times = "  ".join(f"{name} {value:.2f}" for name, value in told["ms"].items())
    reason = f"\nthe first reason: {told['reason']}" if told["reason"] else ""
    return f"{outcomes}\nms: {times}{reason}"


def _percentile(ordered: Sequence[float], share: int) -> float:
    """The least time that so many in a hundred do not exceed."""
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]
