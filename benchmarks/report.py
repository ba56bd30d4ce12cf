"""Figures as a table, as JSON, and as results.md."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_COLUMNS = ("figure", "contender", "median", "min - max", "rounds", "ratio")


@dataclass(frozen=True, slots=True)
class Series:
    """One contender's values, one a round."""

    contender: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, for each contender; the first is ours."""

    title: str
    unit: str
    series: tuple[Series, ...]
    remarks: tuple[str, ...] = ()

    def ratio(self, series: Series) -> float | None:
        """Our median over another's; none for our own line."""
        ours = self.series[0]
        if series is ours or ours.contender != "phlows" or not series.median:
            return None
        return ours.median / series.median


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """A row for each contender of each figure."""
    return [_row(figure, series) for figure in figures for series in figure.series]


def _row(figure: Figure, series: Series) -> tuple[str, ...]:
    ratio = figure.ratio(series)
    return (
        figure.title,
        series.contender,
        f"{_number(series.median)} {figure.unit}",
        f"{_number(min(series.values))} - {_number(max(series.values))}",
        str(len(series.values)),
        "" if ratio is None else f"phlows is {ratio:.2f}x",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def text_table(figures: Sequence[Figure]) -> str:
    """Aligned columns for a terminal, remarks below."""
    table = [_COLUMNS, *rows(figures)]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([*lines, "", *_remarks(figures)])


def _remarks(figures: Iterable[Figure]) -> list[str]:
    return [f"{figure.title}: {remark}" for figure in figures for remark in figure.remarks]


def markdown(machine: Mapping[str, str], figures: Sequence[Figure]) -> str:
    """The whole of results.md."""
    table = [_COLUMNS, ("---",) * len(_COLUMNS), *rows(figures)]
    return "\n".join(
        [
            "# Results",
            "",
            "Written by `python -m benchmarks all --write`; do not edit by hand. All contenders of",
            "a figure ran in turn, round by round, in one run on one machine, everything on",
            "loopback and on the same cores as the load generator: compare within a figure, never",
            "between machines. Median over the rounds; min - max is the noise. The load generator",
            "is not the limit where a contender takes about a whole core and the generator less.",
            "",
            *(f"- {name}: {value}" for name, value in machine.items()),
            "",
            *("| " + " | ".join(row) + " |" for row in table),
            "",
            *(f"- {remark}" for remark in _remarks(figures)),
            "",
        ]
    )


def as_json(machine: Mapping[str, str], figures: Iterable[Figure]) -> dict[str, Any]:
    """Everything, every round's value included."""
    return {"machine": dict(machine), "figures": [asdict(figure) for figure in figures]}
