"""phlows workers: the resident workers of a running broker."""

from __future__ import annotations

import json
from typing import Any

import click

from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option, registered_hosts, url_option
from phlows_cli.cli.output import duration, emit, note, plural, table, visible

HELP = """\
Example: phlows workers

List the resident workers of a running broker: host, process id, state, jobs
done, age and memory.
"""

RELOAD_HELP = """\
Example: phlows workers reload app.example.com

Replace the workers of a host, or of all hosts, by new ones that run the code
as it is now. The new ones boot first; the old ones finish what they do. No
event and no socket is lost. Where the new ones do not boot, the old ones stay,
and the exit code is 1.
"""

RELOAD_TIMEOUT = 300.0
"""Seconds for all hosts: each may take its timeout to boot."""


@click.group(
    cls=Group,
    short_help="List the resident workers, or replace them.",
    help=HELP,
    invoke_without_command=True,
)
@url_option
@config_option
@json_option("an array of workers, each with host, pid, state, jobs, age and memory")
@click.pass_context
def workers(ctx: click.Context, url: str | None, config_path: str | None, as_json: bool) -> None:
    """List the workers, unless a subcommand was named."""
    if ctx.invoked_subcommand is None:
        from phlows_cli.cli.client import client_for
        from phlows_cli.config import find_config, load_config

        found = client_for(load_config(find_config(config_path)), url).get("/workers")["workers"]
        emit(found, as_json, lambda: _listed(found))
        if not (found or as_json):
            note('no worker is resident: a host has some with runtime = "resident"')


@workers.command("reload", short_help="Replace workers by new ones.", help=RELOAD_HELP)
@click.argument("host", required=False, default="", shell_complete=registered_hosts)
@url_option
@config_option
@json_option("an object with replaced and failed, by host")
@click.pass_context
def reload(
    ctx: click.Context, host: str, url: str | None, config_path: str | None, as_json: bool
) -> None:
    """Replace workers, and tell how many."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.progress import waiting
    from phlows_cli.config import find_config, load_config

    client = client_for(load_config(find_config(config_path)), url)
    body = json.dumps({"host": host} if host else {}).encode()
    with waiting("new workers boot, and the old ones finish"):
        done = client.post("/workers/reload", body, timeout=RELOAD_TIMEOUT)
    emit(done, as_json, lambda: _replaced(done))
    ctx.exit(1 if done["failed"] else 0)


def _listed(found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    columns = ("HOST", "PID", "STATE", "JOBS", "AGE", "MEMORY")
    rows = [
        (
            worker["host"],
            worker["pid"],
            worker["state"],
            worker["jobs"],
            duration(worker["age"]),
            "-" if worker["memory"] is None else f"{worker['memory'] / 2**20:.1f} MiB",
        )
        for worker in found
    ]
    return table(columns, rows)


def _replaced(done: dict[str, Any]) -> str:
    lines = [
        f"{host}: {plural(count, 'worker')} replaced" for host, count in done["replaced"].items()
    ]
    lines += [f"{host}: not replaced: {visible(why)}" for host, why in done["failed"].items()]
    return "\n".join(lines) or "no worker to replace"
