"""How a registered host is shown: as JSON, in a list, setting by setting."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.output import table, visible
from phlows_cli.model import HOOK_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.model import Host


_AS_THEY_ARE: Final = (
    "runtime", "max_jobs", "spare", "idle_timeout", "watch_app", "tick", "max_connections",
    "key_file",
)  # fmt: skip


def as_json_value(host: Host) -> dict[str, object]:
    """Make what `--json` prints of a host: its settings as phlows.toml has them."""
    return {
        "host": host.name,
        "app": host.app,
        "hooks": _hooks(host),
        "hook_class": host.hook_class,
        "auth": host.auth,
        "token_cookie": host.token_cookie,
        "origins": list(host.origins),
        "timeout": host.timeout,
        "concurrency": host.concurrency,
        "env": dict(host.env),
        **{name: getattr(host, name) for name in _AS_THEY_ARE},
    }


def settings_table(host: Host) -> str:
    """Write one line a setting, several values side by side."""
    values = as_json_value(host)
    values["timeout"] = f"{host.timeout:g} seconds"
    values["concurrency"] = f"{host.concurrency} processes at once"
    values["idle_timeout"] = f"{host.idle_timeout:g} seconds"
    values["watch_app"] = "yes" if host.watch_app else "no"
    values["max_connections"] = host.max_connections or "no limit of its own"
    values["env"] = [f"{name}={value}" for name, value in host.env.items()]
    return table(("SETTING", "VALUE"), [(key, _words(value)) for key, value in values.items()])


def overview(hosts: Sequence[Host]) -> str:
    """Write one line a host; "" when there is none."""
    columns = ("HOST", "APP", "AUTH", "HOOKS")
    rows = [(host.name, _words(host.app), host.auth, _words(_hooks(host))) for host in hosts]
    if not rows:
        return ""
    return _drawn(columns, rows) if sys.stdout.isatty() else table(columns, rows)


def _hooks(host: Host) -> list[str]:
    return [name for name in HOOK_NAMES if name in host.hooks]


def _words(value: object) -> str:
    words = " ".join(value) if isinstance(value, list) else str(value)
    return visible(words) or "-"


def _drawn(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Draw the table as wide as the terminal; long paths are folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawing = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        drawing.add_row(*(Text(cell, overflow="fold") for cell in row))
    console = Console()
    with console.capture() as drawn:
        console.print(drawing)
    return drawn.get().rstrip("\n")
