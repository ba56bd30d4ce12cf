"""A visit of the doctor: what is examined, the examination, its exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from phlows_cli.cli.doctor.catalogue import CHECKS
from phlows_cli.cli.doctor.check import GROUPS, Case, Status
from phlows_cli.cli.doctor.programs import end_all
from phlows_cli.cli.doctor.report import overall
from phlows_cli.cli.doctor.ward import examine
from phlows_cli.cli.doctor.web import Address
from phlows_cli.cli.output import note
from phlows_cli.config import find_config, load_config
from phlows_cli.errors import ConfigError, UsageError
from phlows_cli.model import normalise_host

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from phlows_cli.cli.doctor.check import Finding
    from phlows_cli.config import Config

MOST_HOSTS: Final = 100
"""Hosts that are looked at in one visit, unless they are named."""


def case_of(
    config_path: str | None, url: str | None, publics: Sequence[str], hosts: Sequence[str]
) -> Case:
    """Put together what is examined; a bad configuration file is a finding.

    Raises:
        UsageError: an address is none, or a host is not registered.
    """
    for public in publics:
        Address.parse(public)
    path = find_config(config_path)
    config, problem = _loaded(path)
    names = tuple(normalise_host(host) for host in hosts)
    unknown = [name for name in names if name not in config.hosts]
    if unknown and not problem:
        known = ", ".join(sorted(config.hosts)[:5]) or "none"
        raise UsageError(f"host {unknown[0]!r} is not registered; there are: {known}")
    if not names:
        names = tuple(sorted(config.hosts))
        if len(names) > MOST_HOSTS:
            note(f"{len(names)} hosts: the first {MOST_HOSTS} are looked at; name others by --host")
    return Case(
        config=config,
        config_error=problem,
        url=url or "",
        publics=tuple(publics),
        hosts=tuple(name for name in names if name in config.hosts)[:MOST_HOSTS],
    )


def _loaded(path: Path | None) -> tuple[Config, str]:
    """Read the file; with its problem, and defaults, where it cannot be used."""
    from dataclasses import replace

    try:
        return load_config(path), ""
    except ConfigError as error:
        return replace(load_config(None), path=path), str(error)


def look(case: Case, groups: Sequence[str]) -> list[Finding]:
    """Examine; how far it is stands on stderr, if that is a terminal."""
    checks = [check for check in CHECKS if not groups or check.group in groups]
    shows = sys.stderr.isatty()

    def on_done(count: int, of: int) -> None:
        if shows:
            click.echo(f"\rlooking: {count} of {of} ", nl=False, err=True)

    try:
        return _by_subject(examine(checks, case, on_done))
    finally:
        end_all()
        if shows:
            click.echo("\r\x1b[K", nl=False, err=True)


def _by_subject(findings: list[Finding]) -> list[Finding]:
    """Let what is said of one host or address stand together, within its group."""
    return sorted(findings, key=lambda found: (GROUPS.index(found.check.group), found.subject))


def exit_code(case: Case, findings: Sequence[Finding], *, strict: bool) -> int:
    """Say in a number what the findings come to."""
    if case.config_error:
        return ConfigError.exit_code
    worst = overall(findings)
    return 1 if worst is Status.FAIL or (strict and worst is Status.WARN) else 0
