"""`python -m benchmarks all`, or one figure by its name."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks import machine, report, results, tools
from benchmarks.errors import FAILURES, MissingToolError
from benchmarks.figures import FIGURES
from benchmarks.figures.plan import Plan
from phlows_cli.cli.options import Amount

_HERE = Path(__file__).resolve().parent
_QUICK = {"rounds": 1, "seconds": 0.5}


@click.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice([*FIGURES, "all"]))
@click.option("--sockets", type=click.IntRange(1, 18000), help="Instead of a figure's own number.")
@click.option("--rounds", type=click.IntRange(1, 50), help="Of each contender; by default 5.")
@click.option("--seconds", type=Amount(0.1, 10), help="Of a round; by default 2.")
@click.option("--quick", "is_quick", is_flag=True, help="A short form: few minutes, rough figures.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of results.md and its plots; by default benchmarks/, for a whole `all`.",
)
@click.option("--no-install", is_flag=True, help="Leave out what would have to be installed.")
@click.option("--peers-only", is_flag=True, help="Leave phlows out, to try the harness.")
def main(
    names: tuple[str, ...],
    json_file: Path | None,
    output: Path | None,
    no_install: bool,
    **amounts: Any,
) -> None:
    """Measure phlows beside its peers; everything runs on this machine."""
    if no_install:
        tools.install_nothing()
    plan = _plan(**amounts)
    if "all" in names:
        names = tuple(FIGURES)
        if output is None and plan == Plan():
            output = _HERE
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes are ended
    run = _Run(plan, output, json_file)
    run.measure(names)
    click.echo(report.text_table(run.figures))
    if run.problems:
        raise click.ClickException("\n".join(run.problems))


def _plan(**amounts: Any) -> Plan:
    """What was asked for, above the short form, above what is usual."""
    asked = {name: value for name, value in amounts.items() if value is not None}
    return replace(Plan(), **{**(_QUICK if asked["is_quick"] else {}), **asked})


class _Run:
    """One figure after the other; what there is is written after each."""

    def __init__(self, plan: Plan, output: Path | None, json_file: Path | None) -> None:
        self.figures: list[report.Figure] = []
        self.problems: list[str] = []
        self._plan = plan
        self._output = output
        self._json_file = json_file

    def measure(self, names: tuple[str, ...]) -> None:
        """Go on after a figure that fails: the others are true all the same."""
        for place, name in enumerate(names, 1):
            click.echo(f"{name} ({place} of {len(names)}) ...", err=True)
            try:
                self._take(FIGURES[name](self._plan))
            except MissingToolError as error:
                self._take([report.Figure(name, name, "", (), (f"left out: {error}",))])
            except FAILURES as error:
                told = "; ".join([f"{name}: {error}", *getattr(error, "__notes__", [])])
                self.problems.append(told)
                click.echo(told, err=True)
            self._write(is_whole=place == len(names))

    def _take(self, figures: list[report.Figure]) -> None:
        self.figures += figures
        click.echo(report.text_table(figures), err=True)

    def _write(self, *, is_whole: bool) -> None:
        facts = machine.description()
        if self._json_file:
            told = json.dumps(report.as_json(facts, self.figures), indent=1)
            self._json_file.write_text(told + "\n")
        if self._output:
            command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
            results.write(
                self._output, facts, command, self.figures, self.problems, is_whole=is_whole
            )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
