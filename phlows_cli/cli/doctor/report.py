"""Findings for people: grouped, a symbol and a word each, what to do below."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from phlows_cli.cli.doctor.check import Status
from phlows_cli.cli.output import plural, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.cli.doctor.check import Finding, Result

MARKS: Final = {
    Status.OK: ("✓", "green"),
    Status.WARN: ("!", "yellow"),
    Status.FAIL: ("✗", "red"),
    Status.SKIP: ("-", "bright_black"),
}


def overall(findings: Sequence[Finding]) -> Status:
    """The worst that was found; what was skipped is no matter."""
    found = {finding.result.status for finding in findings}
    return next((s for s in (Status.FAIL, Status.WARN) if s in found), Status.OK)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Write the whole as --json has it."""
    return {
        "status": str(overall(findings)),
        "checks": [finding.as_dict() for finding in findings],
    }


def render(findings: Sequence[Finding]) -> str:
    """Write it as text; colour only repeats what mark and word say."""
    lines: list[str] = []
    for group, of_group in groupby(findings, lambda finding: finding.check.group):
        lines += ["", click.style(group, bold=True)]
        for (subject, result), alike in groupby(of_group, _what_is_said):
            lines += _lines([finding.check.name for finding in alike], subject, result)
    return "\n".join([*lines[1:], "", _summary(findings)])


def _what_is_said(finding: Finding) -> tuple[str, Result]:
    return finding.subject, finding.result


def _lines(names: Sequence[str], subject: str, result: Result) -> list[str]:
    """Write one result; checks that say the same in a row are told once."""
    mark, colour = MARKS[result.status]
    head = click.style(f"{mark} {result.status:<4}", fg=colour)
    said = f"{subject}: {result.message}" if subject else result.message
    if len(names) > 1:
        said = f"{said} ({', '.join(names[1:])} too)"
    hint = [f"{'':<30}-> {visible(result.hint)}"] if result.hint else []
    return [f"  {head}  {names[0]:<18}  {visible(said)}", *hint]


def _summary(findings: Sequence[Finding]) -> str:
    counts = dict.fromkeys(Status, 0)
    for finding in findings:
        counts[finding.result.status] += 1
    parts = (
        f"{counts[Status.OK]} ok",
        plural(counts[Status.WARN], "warning"),
        f"{counts[Status.FAIL]} failed",
        f"{counts[Status.SKIP]} skipped",
    )
    return ", ".join(parts)
