"""Figures as rows, as a table for a terminal, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OURS: Final = "phlows"
SOCKET_LAYER: Final = "phlows socket layer"
"""Ours as well: what is below its sessions, by itself."""
_COLUMNS: Final = (
    *("figure", "contender", "median", "min - max", "rounds", "phlows / it"),
    *("us each", "its core", "generator"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One contender's values, one a round."""

    contender: str
    values: tuple[float, ...]
    costs: tuple[float, ...] = ()
    """Microseconds of the contender's processor for each that was counted, a round."""
    cores: tuple[float, ...] = ()
    """The share of a core that it took."""
    busy: tuple[float, ...] = ()
    """The share of a core that the load generator took beside it."""

    @property
    def median(self) -> float:
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, for each contender; the first is ours."""

    key: str
    """What aims and plots find it by: "fanout.1000.32"."""
    title: str
    unit: str
    series: tuple[Series, ...]
    remarks: tuple[str, ...] = ()

    def of(self, contender: str) -> Series | None:
        """One contender's line, if it took part."""
        return next((each for each in self.series if each.contender == contender), None)

    def ratio(self, series: Series) -> float | None:
        """Our median over another's; none for our own line."""
        ours = self.series[0]
        if series is ours or ours.contender != OURS or not series.median:
            return None
        return ours.median / series.median


def is_ours(contender: str) -> bool:
    """Whether it is phlows, in one form or another."""
    return contender.startswith(OURS)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """A row for each contender of each figure."""
    return [_row(figure, series) for figure in figures for series in figure.series]


def table(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """The rows below their headings."""
    return [_COLUMNS, *rows(figures)]


def _row(figure: Figure, series: Series) -> tuple[str, ...]:
    ratio = figure.ratio(series)
    return (
        figure.title,
        series.contender,
        f"{number(series.median)} {figure.unit}",
        f"{number(min(series.values))} - {number(max(series.values))}",
        str(len(series.values)),
        "" if ratio is None else f"{ratio:.2f}",
        number(median(series.costs)) if series.costs else "",
        f"{median(series.cores):.0%}" if series.cores else "",
        f"{max(series.busy):.0%}" if series.busy else "",
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def text_table(figures: Sequence[Figure]) -> str:
    """Aligned columns for a terminal, remarks below."""
    lines_of = table(figures)
    widths = [max(len(row[column]) for row in lines_of) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines_of
    ]
    return "\n".join([*lines, "", *remarks(figures)])


def remarks(figures: Iterable[Figure]) -> list[str]:
    """What is to be said of each."""
    return [f"{figure.title}: {remark}" for figure in figures for remark in figure.remarks]


def as_json(machine: Mapping[str, str], figures: Iterable[Figure]) -> dict[str, Any]:
    """Everything, every round's value included."""
    return {"machine": dict(machine), "figures": [asdict(figure) for figure in figures]}
