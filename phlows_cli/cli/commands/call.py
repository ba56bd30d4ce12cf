"""phlows call: let an app run one of its own functions, without a broker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli.options import config_option, json_option, registered_hosts, repeat_option
from phlows_cli.cli.output import EXIT_CODES, emit
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Container

HELP = """\
Example: phlows call app.example.com tasks::run

Let the app of a host run one of its own functions, as POST /dispatch and the
minute tick do, but without a broker. Shown are the command line, each line of
output, stderr, the result and the milliseconds.

An ARG is text; after := it is JSON, of a file with @FILE, of stdin with -.
HOST may be left out where PHLOWS_HOST names it.

The exit code is 0 when the call is done, 5 when it fails and 6 when it takes
too long.

\b
More examples:
  phlows call app.example.com reports::build 2026 := '{"draft":true}'
  phlows call app.example.com tasks::run --repeat 100
"""


@click.command(short_help="Let an app run one of its functions.", help=HELP)
@click.argument("host", shell_complete=registered_hosts)
@click.argument("target", required=False, metavar="TARGET")
@click.argument("args", nargs=-1)
@repeat_option
@config_option
@json_option(
    "an object with command, lines, stderr, result, outcome, reason, exit_code and ms;"
    " with --repeat: count, outcomes, reason and ms"
)
@click.pass_context
def call(
    ctx: click.Context,
    /,
    config_path: str | None,
    as_json: bool,
    repeat: int | None,
    **typed: Any,  # noqa: ANN401 - as click names them
) -> None:
    """Make the call, show what it does and exit with what it means."""
    from phlows_cli.cli.output import visible
    from phlows_cli.cli.rehearsal import Rehearsal, run_often, run_once, verdict
    from phlows_cli.config import find_config, load_config
    from phlows_cli.model import Task, normalise_host
    from phlows_cli.registry import no_such_host
    from phlows_cli.runtime.protocol import WORKER_COMMAND

    config = load_config(find_config(config_path))
    host, target, args = _asked(config.hosts, typed)
    name = normalise_host(host)
    found = config.hosts.get(name)
    if found is None:
        raise no_such_host(name, config.hosts, str(config.path or "phlows.toml"))
    if not found.app:
        raise UsageError(f"{found.name} has no app: it is only pushed to")
    if target == WORKER_COMMAND:
        raise UsageError(f"{WORKER_COMMAND} makes a worker of the app: it is no call")
    task = Task(found.name, target, tuple(_values(args)))
    if repeat is not None:
        ctx.exit(EXIT_CODES[run_often(found, task, config, repeat, as_json)])
    rehearsal = Rehearsal(found, task, config.interpreters, is_live=not as_json)
    result = run_once(rehearsal, config)
    mark = "result" if result.is_accepted else "error"
    shown = f"{mark:<8} {visible(result.result.decode())}\n" if result.result else ""
    emit(rehearsal.report(result), as_json, lambda: shown + verdict(result, "done"))
    ctx.exit(EXIT_CODES[result.outcome])


def _asked(hosts: Container[str], typed: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Host, target and arguments: a first word may be the target where a variable has the host.

    Raises:
        UsageError: there is no target.
    """
    host, target, args = typed["host"], typed["target"], typed["args"]
    usual = os.environ.get("PHLOWS_HOST")
    if usual and (target is None or ("::" in host and host not in hosts)):
        return usual, host, args if target is None else (target, *args)
    if target is None:
        raise click.UsageError("missing argument 'TARGET'", click.get_current_context())
    return host, target, args


def _values(args: tuple[str, ...]) -> list[object]:
    """Read the arguments: text, or JSON after a := of its own or before it.

    Raises:
        UsageError: what follows := is not JSON.
    """
    values: list[object] = []
    rest = iter(args)
    for arg in rest:
        if not arg.startswith(":="):
            values.append(arg)
            continue
        values.append(_json(arg[2:] or next(rest, "")))
    return values


def _json(text: str) -> object:
    from json import loads

    from phlows_cli.cli.items import read_argument

    try:
        return loads(read_argument(text), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UsageError(f"{text!r} after := is not JSON") from None


def _no_number(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and no app would."""
    raise ValueError(name)
