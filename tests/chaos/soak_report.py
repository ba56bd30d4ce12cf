"""A soak in words and figures, and its memory as a curve."""

from __future__ import annotations

import platform
import statistics


def report(soak, seed, bound):
    """The run as Markdown: what it did, the curve, the table."""
    last, after = soak.samples[-1]
    lives = ", ".join(f"{count:,} {name}" for name, count in sorted(soak.lives.items()))
    lines = [
        "# Soak",
        "",
        "Written by `make soak`: clients come, talk, misbehave and go, while memory,",
        "descriptors and processes are looked at. Each accepted socket must have had its",
        "close hook, each client everything in order, and after the first fifth of the run",
        f"memory must not grow by more than {bound >> 20} MiB.",
        "",
        f"- {soak.seconds / 60:g} minutes, seed {seed}, Python {platform.python_version()}",
        f"- {soak.load}",
        f"- lives: {lives}",
        f"- {last['hooks']:,} hooks, {last['casts']:,} casts",
        f"- {last['dropped']:,} dropped, and counted",
        f"- memory after the warm-up to the end: {soak.growth / 1024:+,.0f} KiB",
        f"- the journal was {soak.journal / 1024:,.0f} KiB at most; rows in the end: {soak.rows}",
        f"- descriptors {soak.before.descriptors} before, {after.descriptors} after",
        f"- workers {soak.before.children} before, {after.children} after",
        f"- found wrong: {len(soak.wrong) or 'nothing'}",
        "",
        "```",
        *curve([seen.memory / 2**20 for _, seen in soak.samples], soak.seconds / 60),
        "```",
        "",
        "| minute | memory, MiB | descriptors | threads | processes | sockets | hooks | dropped |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
        *map(row, thinned(soak.samples)),
        "",
    ]
    return "\n".join(lines)


def row(taken):
    seen, process = taken
    cells = [
        f"{seen['second'] / 60:.1f}", f"{process.memory / 2**20:.1f}", process.descriptors,
        process.threads, process.children, seen["connections"], f"{seen['hooks']:,}",
        f"{seen['dropped']:,}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def thinned(samples, rows=24):
    """About so many of them, the first and the last included."""
    step = max(1, len(samples) // rows)
    kept = samples[::step]
    return kept if kept[-1] is samples[-1] else [*kept, samples[-1]]


def curve(values, minutes, columns=60, height=8):
    """A plot in text: memory in MiB over the run."""
    top = 10 * (int(max(values)) // 10 + 1)
    groups = [
        values[n * len(values) // columns :][: max(1, len(values) // columns)]
        for n in range(columns)
    ]
    levels = [round(statistics.mean(group) / top * height) for group in groups if group]
    lines = []
    for level in range(height, 0, -1):
        bar = "".join("#" if reached >= level else " " for reached in levels)
        lines.append(f"{top * level / height:6.1f} |{bar.rstrip()}")
    lines.append("   MiB +" + "-" * columns)
    lines.append(" " * 8 + f"0{'minutes':^{columns - 8}}{minutes:>6g}")
    return lines
