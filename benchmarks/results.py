"""results.md and its plots, written anew after each figure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from benchmarks import aims, plot, report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.report import Figure

_ABOUT: Final = """# Results

Written by `make bench`; do not edit by hand. All contenders of a figure ran in turn, round by
round and every other round backwards, in one run on one machine over loopback: compare within
a figure, never between machines. Each value is the median of the rounds; min - max is the
noise. The load generator counts every delivery at every socket and checks its bytes and its
order; a round with one delivery lost, doubled, altered or out of order is no round.
"""
_HOW: Final = """## How it was measured

- Contenders of the socket figures run on the first core, the generator on the last one, all
  alike; apps (one-shot, resident, runtimes) and `phlows --help` have all cores.
- phlows runs as `phlows serve` with its journal, metrics and limits, as installed. Only for
  `echo` and `crowds` a line of Python in the broker stands in the app's place
  (peers/phlows_echo.py): server, session, hooks and limits are the real ones, the worker
  process is not there. The peers' echo is an event handler of their server, and beside that
  stands "phlows socket layer": the connection answers by itself (peers/phlows_socket.py).
- node ws: the shape of the Node broker, one `send` for each socket (peers/node_broker.js).
  With `resident`: one queue and one worker, the same PHP app (peers/node_resident.js).
- nchan: nginx with one worker, 64 messages kept (peers/nchan.conf). It sends the published
  body as one text frame, like the others; a channel takes the place of a target.
- websockets: its asyncio server with broadcast() on uvloop, without compression
  (peers/websockets_server.py). picows: Cython on uvloop, about the ceiling of one send for
  each socket in Python (peers/picows_server.py). Neither has a bridge: casts come through
  the smallest HTTP there is, on a port of its own (peers/publisher.py).
- C epoll: the least that a program can do on this kernel, one loop in C without a broker's
  checks, limits, hosts or tokens (peers/floor.c). It writes each cast to each socket as it
  comes, so it takes part with 1 outstanding only: casts that wait together go out together.
- A peer whose round fails is left out of the figure, and the remarks say why; when phlows
  fails, there is no figure.
- A cast is outstanding until it is answered and its last delivery is read.
- "us each" is processor time of the contender and its children for each delivery, answer or
  event, "its core" the share of a core that it took; "generator" is the same of the load
  generator at most: it would be the limit where it has a whole core and the contender has not.
- At 32 outstanding, 32 connections cast side by side; with long messages fewer, so that at
  most 128 KiB are outstanding for one socket.
"""


def write(
    folder: Path,
    machine: Mapping[str, str],
    command: str,
    figures: Sequence[Figure],
    problems: Sequence[str],
    *,
    is_whole: bool,
) -> None:
    """What there is so far: results.md, results.json and the plots."""
    drawn = plots(figures)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    for name, picture in drawn.items():
        (folder / "plots" / f"{name}.svg").write_text(picture)
    told = [*problems, *([] if is_whole else ["the run is not finished: more figures follow"])]
    (folder / "results.md").write_text(_markdown(machine, command, figures, told, list(drawn)))
    facts = json.dumps(report.as_json(machine, figures), indent=1)
    (folder / "results.json").write_text(facts + "\n")


def _markdown(
    machine: Mapping[str, str],
    command: str,
    figures: Sequence[Figure],
    problems: Sequence[str],
    drawn: Sequence[str],
) -> str:
    parts = [_ABOUT, *(f"**{problem}**\n" for problem in problems)]
    facts = [f"- {name}: {value}" for name, value in {**machine, "command": f"`{command}`"}.items()]
    parts.append("\n".join(["## The machine", "", *facts, ""]))
    heading = ("aim", "wanted", "measured", "")
    parts.append("\n".join(["## Aims", "", *_table(heading, aims.table(figures)), ""]))
    if drawn:
        pictures = [f"![{name}](plots/{name}.svg)" for name in drawn]
        parts.append("\n".join(["## Plots", "", *pictures, ""]))
    table = report.table(figures)
    parts.append("\n".join(["## Figures", "", *_table(table[0], table[1:]), ""]))
    parts.append(
        "\n".join(["## Remarks", "", *(f"- {each}" for each in report.remarks(figures)), ""])
    )
    return "\n".join([*parts, _HOW])


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    all_rows = [heading, ["---"] * len(heading), *rows]
    return ["| " + " | ".join(row) + " |" for row in all_rows]


def plots(figures: Sequence[Figure]) -> dict[str, str]:
    """Name -> SVG, of what has been measured."""
    drawn = {}
    figures = [each for each in figures if each.series]  # one that is left out has none
    for window in (1, 32):
        curve = [each for each in figures if _is_of(each, "curve", window)]
        if curve:
            title = f"Deliveries a second, 128 B, {window} outstanding"
            drawn[f"curve-rate-{window}"] = _curve(title, "deliveries/s", curve, "values")
            title = f"Processor time of a delivery, 128 B, {window} outstanding"
            drawn[f"curve-cost-{window}"] = _curve(title, "microseconds", curve, "costs")
        sizes = [each for each in figures if _is_of(each, "fanout", window)]
        if sizes:
            title = f"Deliveries a second to all sockets, 128 B, {window} outstanding"
            drawn[f"fanout-{window}"] = plot.bars(title, "deliveries/s", _groups(sizes, 1))
    for key, title in _SINGLE.items():
        found = [each for each in figures if each.key == key]
        if found:
            drawn[key.replace(".", "-")] = plot.bars(title, found[0].unit, _groups(found, None))
    return drawn


_SINGLE: Final = {
    "latency.last.p99": "20 casts a second: until the last socket has it, p99",
    "idle": "Memory of an idle socket",
    "handshakes": "Handshakes a second",
    "echo.64.1": "Messages echoed a second, 64 sockets",
}


def _is_of(figure: Figure, name: str, window: int) -> bool:
    return figure.key.startswith(f"{name}.") and figure.key.endswith(f".{window}")


def _curve(title: str, unit: str, figures: Sequence[Figure], values: str) -> str:
    lines: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        for series in figure.series:
            middle = report.middle(getattr(series, values))
            lines.setdefault(series.contender, []).append((_sockets(figure), middle))
    return plot.lines(title, unit, "sockets", lines)


def _sockets(figure: Figure) -> int:
    return int(figure.key.split(".")[1])


def _groups(figures: Sequence[Figure], part: int | None) -> dict[str, dict[str, float]]:
    return {
        figure.title if part is None else f"{_sockets(figure):,} sockets": {
            series.contender: series.median for series in figure.series
        }
        for figure in figures
    }
