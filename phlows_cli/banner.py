"""What `phlows serve` says when it is up: the facts a person looks for first."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import phlows_cli
from phlows_cli.server.key import key_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.config import Config
    from phlows_cli.model import Host

HOSTS_SHOWN: Final = 20
VERSION_TIMEOUT: Final = 10.0


def banner(config: Config, addresses: Sequence[str], descriptors: int, sockets: int) -> str:
    """The start-up text.

    Args:
        config: as loaded.
        addresses: where the broker listens.
        descriptors: the process's limit.
        sockets: how many it allows.
    """
    rows = [
        ("listening", f"{', '.join(addresses)}  (sockets at {', '.join(config.server.paths)})"),
        *(("hosts" if n == 0 else "", text) for n, text in enumerate(_hosts(config))),
        ("php", php_version(config.interpreters.php)),
        ("may cast", _casters(config)),
        ("sockets", f"{sockets:,} at most, of {descriptors:,} descriptors"),
        ("config", str(config.path) if config.path else "none: every setting is its default"),
    ]
    lines = [f"  {name:<10} {text}" for name, text in rows]
    return "\n".join([f"phlows {phlows_cli.__version__}", *lines])


def status(config: Config, addresses: Sequence[str]) -> str:
    """One line for those who ask the supervisor of the service."""
    count = len(config.hosts)
    return f"serving {count} host{'' if count == 1 else 's'} at {', '.join(addresses)}"


def php_version(php: str) -> str:
    """The interpreter and its version, or what to do about its absence."""
    if not php:
        return "not found: install php-cli, or set interpreters.php (only .php apps need it)"
    command = [php, "-n", "-r", "echo PHP_VERSION;"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=VERSION_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{php} does not run ({type(error).__name__}): mend interpreters.php"
    return f"{php} ({done.stdout.strip()[:40]})"


def problems(config: Config) -> list[str]:
    """What is not as it was meant though the configuration is valid."""
    missing = [
        f"host {host.name}: app {host.app} is missing, its hooks will fail"
        for host in config.hosts.values()
        if host.app and not host.is_url and not Path(host.app).is_file()
    ]
    idle = [
        f"host {host.name}: spare and watch_app have no effect without resident workers"
        for host in config.hosts.values()
        if (host.spare or host.watch_app) and (host.is_url or host.runtime != "resident")
    ]
    return missing + idle


def _hosts(config: Config) -> list[str]:
    if not config.hosts:
        return ["none yet: `phlows host add app.example.com /path/to/app.php`"]
    hosts = list(config.hosts.values())
    shown = [_host(host) for host in hosts[:HOSTS_SHOWN]]
    return shown if len(hosts) <= HOSTS_SHOWN else [*shown, f"and {len(hosts) - HOSTS_SHOWN} more"]


def _host(host: Host) -> str:
    runs = ", resident" if host.app and host.runtime == "resident" and not host.is_url else ""
    return f"{host.name} -> {host.shown_app or 'push only'}  (auth: {host.auth}{runs})"


def _casters(config: Config) -> str:
    allowed = [str(network) for network in config.bridge.allow]
    allowed += ["unix peers"] if config.bridge.allow_unix else []
    keyless = f"{', '.join(allowed)} without a key; " if allowed else ""
    return f"{keyless}anyone with the key in {key_place(config.bridge.key_file)}"
