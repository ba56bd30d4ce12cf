"""phlows status: how the broker is doing."""

from __future__ import annotations

from typing import Any

import click

from phlows_cli.cli.options import config_option, json_option, url_option
from phlows_cli.cli.output import duration, emit, plural, table, visible

HELP = """\
Example: phlows status

Show how the broker is doing: its hosts with their authenticated sockets and
tokens, the hooks that run and wait, and what was dropped since it started.

The exit code is 3 when no broker answers.
"""


@click.command(short_help="Show how the broker is doing.", help=HELP)
@url_option
@config_option
@json_option("an object, the broker's answer to /health")
def status(url: str | None, config_path: str | None, as_json: bool) -> None:
    """Ask for /health and show it."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.config import find_config, load_config

    client = client_for(load_config(find_config(config_path)), url)
    health = client.get("/health")
    emit(health, as_json, lambda: render(health, client.url))


def render(health: dict[str, Any], url: str) -> str:
    """Write /health for people; what an older broker leaves out is left out."""
    parts = (
        _summary(health, url),
        _hosts(health),
        _apps(health),
        _problems(health),
        _dropped(health),
    )
    return "\n\n".join(part for part in parts if part)


def _summary(health: dict[str, Any], url: str) -> str:
    sockets = sum(host.get("sockets", 0) for host in health.get("hosts", {}).values())
    first = f"phlows {health.get('version', '')} at {url}, up {duration(health.get('uptime', 0))}"
    counts = [plural(sockets, "authenticated socket")]
    if "connections" in health:
        counts.append(f"{plural(health['connections'], 'socket')} in all")
    busy = sum(pool.get("busy", 0) for pool in health.get("pools", {}).values())
    counts.append(f"{busy} of {health.get('cap', 0)} hooks running")
    return visible(first) + "\n" + ", ".join(counts)


def _hosts(health: dict[str, Any]) -> str:
    hosts = health.get("hosts", {})
    names = sorted({*health.get("configured", ()), *hosts})
    rows = [
        (visible(name), hosts.get(name, {}).get("sockets", 0), hosts.get(name, {}).get("tokens", 0))
        for name in names
    ]
    return table(("HOST", "SOCKETS", "TOKENS"), rows) if rows else "no hosts: `phlows host add`"


def _apps(health: dict[str, Any]) -> str:
    rows = [
        (visible(app), pool.get("workers", 0), pool.get("busy", 0), pool.get("queued", 0))
        for app, pool in sorted(health.get("pools", {}).items())
    ]
    return table(("APP", "WORKERS", "BUSY", "QUEUED"), rows) if rows else ""


def _problems(health: dict[str, Any]) -> str:
    rows = [(visible(host), visible(why)) for host, why in health.get("problems", {}).items()]
    return table(("DOES NOT BOOT", "WHY"), rows) if rows else ""


def _dropped(health: dict[str, Any]) -> str:
    rows = [(visible(why), count) for why, count in sorted(health.get("dropped", {}).items())]
    return table(("DROPPED", "COUNT"), rows) if rows else ""
