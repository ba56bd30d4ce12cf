"""`python -m benchmarks fanout|bridge|oneshot|runtimes|idle|help|all`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks import machine, report
from benchmarks.errors import BenchmarkError, MissingToolError
from benchmarks.figures import FIGURES, Plan

_RESULTS = Path(__file__).resolve().parent / "results.md"


@click.command()
@click.argument("figure", type=click.Choice([*FIGURES, "all"]))
@click.option("--sockets", type=click.IntRange(1, 18000), help="1000 (fanout) or 5000 (idle).")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(0.1, 10), default=3.0, show_default=True)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--write", is_flag=True, help="Write benchmarks/results.md (with `all` only).")
@click.option("--peers-only", is_flag=True, help="Leave phlows out, to try the harness.")
def main(figure: str, json_file: Path | None, write: bool, **amounts: Any) -> None:
    """Measure phlows beside its peers; everything runs on this machine."""
    plan = Plan(**amounts)
    if write and (figure != "all" or plan.peers_only):
        raise click.UsageError("--write needs `all` with phlows: results.md holds every figure")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes are ended
    figures = _measure(list(FIGURES) if figure == "all" else [figure], plan)
    click.echo(report.text_table(figures))
    facts = machine.description()
    if json_file:
        json_file.write_text(json.dumps(report.as_json(facts, figures), indent=1) + "\n")
    if write:
        _RESULTS.write_text(report.markdown(facts, figures))


def _measure(names: list[str], plan: Plan) -> list[report.Figure]:
    figures: list[report.Figure] = []
    for name in names:
        click.echo(f"{name} ...", err=True)
        try:
            figures += FIGURES[name](plan)
        except MissingToolError as error:
            figures.append(report.Figure(name, "", (), (f"left out: {error}",)))
        except BenchmarkError as error:
            told = [f"{name}: {error}", *getattr(error, "__notes__", [])]
            raise click.ClickException("\n".join(told)) from error
    return figures


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
