"""phlows doctor: what is not as it should be, and what to do about it."""

from __future__ import annotations

import click

from phlows_cli.cli.options import Amount, config_option, json_option, registered_hosts, url_option
from phlows_cli.cli.output import emit

HELP = """\
Example: phlows doctor --public https://app.example.com

Look at everything that a broker needs: the machine, PHP, the apps, the way
through the proxy, who may do what, and the broker itself. What is not as it
should be is told with what to do about it. Nothing is changed, and no hook is
run; root is not needed.

The exit code is 1 when a check failed, and 2 when the configuration cannot be
used; the other checks are made with defaults then.

\b
More examples:
  phlows doctor --only apps --host app.example.com
  phlows doctor --patient --public https://push.example.com
  phlows doctor --strict --json
"""


@click.command(short_help="Say what is wrong, and what to do about it.", help=HELP)
@click.option(
    "--public",
    "publics",
    metavar="URL",
    multiple=True,
    help="An address at which visitors reach the broker. May be repeated.",
)
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="With --public: the certificates that visitors trust, if not the system's.",
)
@click.option(
    "--host",
    "hosts",
    metavar="NAME",
    multiple=True,
    shell_complete=registered_hosts,
    help="Look at this host only. May be repeated.",
)
@click.option(
    "--only",
    "groups",
    type=click.Choice(
        ["System", "PHP", "Apps", "Network", "Security", "Broker"], case_sensitive=False
    ),
    multiple=True,
    help="Make the checks of this group only. May be repeated.",
)
@click.option(
    "--patient",
    "is_patient",
    is_flag=True,
    help="Hold a silent socket until the next ping: see whether the proxy cuts it.",
)
@click.option("--strict", is_flag=True, help="Let a warning be exit code 1, too.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Amount(0.5, 600),
    default=10.0,
    show_default=True,
    help="How long a check may take.",
)
@url_option
@config_option
@json_option(
    "an object with status and checks, an array of group, name, subject, status, message and hint"
)
@click.pass_context
def doctor(  # noqa: PLR0913 - click's way to hand over options
    ctx: click.Context,
    /,
    *,
    publics: tuple[str, ...],
    ca: str | None,
    hosts: tuple[str, ...],
    groups: tuple[str, ...],
    is_patient: bool,
    strict: bool,
    timeout: float,
    url: str | None,
    config_path: str | None,
    as_json: bool,
) -> None:
    """Examine, show what was found, and say it in the exit code."""
    from dataclasses import replace

    from phlows_cli.cli.doctor.report import as_json as json_of
    from phlows_cli.cli.doctor.report import render
    from phlows_cli.cli.doctor.visit import case_of, exit_code, look
    from phlows_cli.cli.trust import trusting

    case = case_of(config_path, url, publics, hosts)
    case = replace(case, timeout=timeout, is_patient=is_patient, ca=ca)
    if ca is not None:
        trusting(ca)
    findings = look(case, groups)
    emit(json_of(findings), as_json, lambda: render(findings))
    ctx.exit(exit_code(case, findings, strict=strict))
