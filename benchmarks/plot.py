"""Plain SVG: lines over a logarithmic axis, and bars. Nothing to install."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 20, 60, 60
_COLOURS: Final = ("#0b6e99", "#d9730d", "#6940a5", "#448361", "#9f6b53", "#787774")
"""Distinct in grey, too; the first is ours."""
_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
    'role="img" font-family="sans-serif" font-size="12"><title>{title}</title>'
    '<rect width="{w}" height="{h}" fill="white"/>'
    '<text x="{x}" y="22" font-size="15" font-weight="bold">{title}</text>'
)


@dataclass(frozen=True, slots=True)
class Axis:
    """Values to pixels, straight or logarithmic."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high, value = (
            (math.log10(each) for each in (self.low, self.high, max(value, self.low)))
            if self.is_log
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return self.begin + share * (self.end - self.begin)


def lines(
    title: str, unit: str, over: str, series: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """A line for each of `series`, name -> points; the horizontal axis is logarithmic."""
    points = [point for line in series.values() for point in line]
    across = Axis(
        min(x for x, _ in points), max(x for x, _ in points), _LEFT, _WIDTH - _RIGHT, is_log=True
    )
    up = _upright(max(y for _, y in points))
    parts = [_head(title), *_grid(up, unit)]
    below = _HEIGHT - _BOTTOM + 18
    parts += [_text(across.at(x), below, f"{x:,g}", "middle") for x in {x for x, _ in points}]
    parts.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 14, over, "middle"))
    for index, (name, line) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [_dot(across.at(x), up.at(y), colour) for x, y in line]
        parts.append(_key(index, name, colour))
    return "".join([*parts, "</svg>\n"])


def bars(title: str, unit: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """A group of bars for each of `groups`, label -> name -> value."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    up = _upright(max(value for group in groups.values() for value in group.values()))
    parts = [_head(title), *_grid(up, unit)]
    room = (_WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    for place, (label, group) in enumerate(groups.items()):
        first = _LEFT + place * room + room * 0.1
        width = room * 0.8 / len(names)
        parts.append(_text(first + room * 0.4, _HEIGHT - _BOTTOM + 18, label, "middle"))
        for index, name in enumerate(names):
            if name in group:
                parts.append(_bar(first + index * width, width, up.at(group[name]), index))
    parts += [
        _key(index, name, _COLOURS[index % len(_COLOURS)]) for index, name in enumerate(names)
    ]
    return "".join([*parts, "</svg>\n"])


def _head(title: str) -> str:
    return _HEAD.format(w=_WIDTH, h=_HEIGHT, x=_LEFT, title=escape(title))


def _upright(most: float) -> Axis:
    step = _step(most)
    return Axis(0.0, step * math.ceil(most / step) if most else 1.0, _HEIGHT - _BOTTOM, _TOP)


def _step(most: float) -> float:
    """About five lines, at round numbers."""
    if most <= 0:
        return 1.0
    rough = most / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * each for each in (1, 2, 5, 10) if power * each >= rough)


def _grid(up: Axis, unit: str) -> list[str]:
    step = _step(up.high)
    parts = [_text(8, _TOP - 14, unit, "start")]
    for number in range(round(up.high / step) + 1):
        y = up.at(number * step)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{number * step:,g}", "end"))
    return parts


def _bar(x: float, width: float, top: float, index: int) -> str:
    height, colour = _HEIGHT - _BOTTOM - top, _COLOURS[index % len(_COLOURS)]
    return (
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{width * 0.9:.1f}" height="{height:.1f}" '
        f'fill="{colour}"/>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _key(index: int, name: str, colour: str) -> str:
    x = _LEFT + 110 * index + 60
    return f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>' + _text(
        x + 17, 42, name, "start"
    )
