"""What a run has found, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.output import table, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.cli.load.findings import Findings
    from phlows_cli.cli.load.latency import Latencies

SHOWN: Final = 5
"""Findings that people are shown; --json has more."""

_RARE: Final = ("ignored_messages", "other_sockets_reached")
"""Figures that are shown only when there is something to show."""


@dataclass(slots=True)
class Result:
    """Figures of one run. It failed when a message was not as it had to be."""

    bench: str
    findings: Findings
    figures: dict[str, Any] = field(default_factory=dict)
    latencies: dict[str, Latencies] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    is_interrupted: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ok(self) -> bool:
        """Whether everything was as it had to be, as far as it went."""
        return self.findings.is_clean

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON knows it."""
        return {
            "bench": self.bench,
            "ok": self.is_ok,
            "interrupted": self.is_interrupted,
            "config": dict(self.config),
            "figures": self.figures,
            "latency_ms": {name: times.summary() for name, times in self.latencies.items()},
            "errors": {**self.findings.counts, "examples": self.findings.examples},
            "refusals": self.refusals,
            "machine": self.machine,
            "warnings": self.warnings,
        }

    def render(self) -> str:
        """Write it for people."""
        shown = {name: v for name, v in self.figures.items() if v or name not in _RARE}
        plain = [
            (name.replace("_", " "), _amount(value))
            for name, value in shown.items()
            if not isinstance(value, dict)
        ]
        nested = [_rows(value) for value in shown.values() if isinstance(value, dict)]
        parts = (self._title(), _pairs(plain), *nested, self._times(), self._refused())
        return "\n\n".join([*filter(None, parts), self._verdict()])

    def _title(self) -> str:
        typed = {name: value for name, value in self.config.items() if value}
        broker = visible(str(typed.pop("broker", "")))
        where = "a temporary broker" if broker == "temporary" else broker
        asked = ", ".join(f"{name} {visible(str(value))}" for name, value in typed.items())
        end = ", interrupted" if self.is_interrupted else ""
        return f"phlows bench {self.bench}: {where}{end}\n{asked}"

    def _times(self) -> str:
        rows = [
            (name, *(f"{value:.2f}" for value in times.summary().values()))
            for name, times in self.latencies.items()
            if times.count
        ]
        return table(("MILLISECONDS", "P50", "P90", "P99", "MAX"), rows) if rows else ""

    def _refused(self) -> str:
        rows = [(visible(why), count) for why, count in self.refusals.items()]
        return table(("REFUSED", "COUNT"), rows) if rows else ""

    def _verdict(self) -> str:
        if self.is_ok:
            end = ", as far as it went" if self.is_interrupted else ""
            return f"ok: {self._checked()}{end}"
        counts = [f"{count} {kind}" for kind, count in self.findings.counts.items() if count]
        lines = [f"  {_example(found)}" for found in self.findings.examples[:SHOWN]]
        rest = sum(self.findings.counts.values()) - len(lines)
        lines += [f"  and {rest} more"] if rest else []
        return "\n".join([f"FAILED: {', '.join(counts)}", *lines])

    def _checked(self) -> str:
        if self.bench in ("fanout", "echo"):
            return "nothing lost, duplicated, reordered or damaged"
        waves = self.figures.get("waves", {}).values()
        was_reached = any(wave["reached_after"] for wave in waves)
        return "every socket got in" + (" and was reached by a cast" if was_reached else "")


def _amount(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def _rows(nested: Mapping[str, Mapping[str, object]]) -> str:
    """Write what has several figures each: a line for each."""
    names = list(next(iter(nested.values()), {}))
    rows = [
        (key, *(_amount(values.get(name, "")) for name in names)) for key, values in nested.items()
    ]
    header = ("", *(name.replace("_", " ").upper() for name in names))
    return table(header, rows) if rows else ""


def _pairs(rows: list[tuple[str, str]]) -> str:
    name, amount = (max((len(row[at]) for row in rows), default=0) for at in (0, 1))
    return "\n".join(f"{row[0]:<{name}}  {row[1]:>{amount}}" for row in rows)


def _example(found: Mapping[str, object]) -> str:
    where = [f"{name} {found[name]}" for name in ("socket", "number") if name in found]
    why = f": {visible(str(found['why']))}" if "why" in found else ""
    return f"{found['kind']}  {', '.join(where)}{why}"
