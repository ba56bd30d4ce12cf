"""Every effective setting, and where its value comes from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from phlows_cli import settings, toml_text
from phlows_cli.config_values import host_name
from phlows_cli.model import HOOK_NAMES, normalise_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from phlows_cli.config import Config
    from phlows_cli.model import Host

MASK: Final = "***"
"""What is shown of a host's environment: many of its values are keys."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as the broker uses it.

    `source` is "default", "derived", "file", "environment" or "command line",
    `where` says it for people: what it is derived from, or file:line.
    """

    table: str
    setting: settings.Setting
    value: object
    source: str
    where: str

    @property
    def name(self) -> str:
        """The setting's whole name, as errors and documents have it."""
        return f"{self.table}.{self.setting.name}"

    @property
    def is_changed(self) -> bool:
        """Whether somebody gave it another value than its default."""
        if self.source in ("default", "derived"):
            return False
        default = _plain(self.setting.value(self.setting.default, Path.cwd()))
        return _in_order(self.value) != _in_order(default)

    def as_json(self) -> dict[str, object]:
        """The setting as `--json` has it."""
        facts = {"name": self.name, "value": self.value, "source": self.source}
        return {**facts, "where": self.where, "default": self.setting.default}


@dataclass(frozen=True, slots=True)
class _Origins:
    """What a file says, and where in it."""

    path: Path | None
    root: Mapping[str, Any]
    statements: Sequence[toml_text.Statement]

    def table(self, keys: tuple[str, ...]) -> Mapping[str, Any]:
        found: Any = self.root
        for key in keys:
            found = found.get(key, {})
        return found  # type: ignore[no-any-return] # load_config has found tables in the file

    def place(self, keys: tuple[str, ...]) -> str:
        return f"{self.path}:{toml_text.line_of(self.statements, keys)}"


def shown_settings(config: Config, options: Mapping[str, str] | None = None) -> list[Shown]:
    """List every setting of a configuration, table by table, then the hosts.

    Args:
        config: as loaded, with the options of the command line over it.
        options: settings of [server] that were chosen outside of the file, each
            with its option or its "$VARIABLE".
    """
    origins = _origins(config.path)
    return [
        *_sections(config, origins, options or {}),
        *(shown for name in sorted(config.hosts) for shown in _host(config.hosts[name], origins)),
    ]


def _origins(path: Path | None) -> _Origins:
    text = toml_text.decode(path.read_bytes(), str(path)) if path else ""
    return _Origins(path, toml_text.parse(text, str(path)), toml_text.statements(text))


def _sections(config: Config, origins: _Origins, options: Mapping[str, str]) -> Iterator[Shown]:
    derived = _derivations(config)
    variables = _variables()
    for table, group in settings.SECTIONS.items():
        raw = origins.table((table,))
        for setting in group:
            name = f"{table}.{setting.name}"
            value = _section_value(config, table, setting.name)
            source, where = "default", "default"
            if table == "server" and setting.name in options:
                where = options[setting.name]
                source = "environment" if where.startswith("$") else "command line"
            elif name == "bridge.key_file" and os.environ.get("PHLOWS_KEY"):
                source, where = "environment", "$PHLOWS_KEY, which holds the key itself"
            elif raw.get(setting.name, setting.default) != setting.default:
                source, where = "file", origins.place((table, setting.name))
            elif name in variables:
                source, where = "environment", variables[name]
            elif name in derived:
                source, where = "derived", derived[name]
            elif setting.name in raw:
                source, where = "file", origins.place((table, setting.name))
            yield Shown(table, setting, value, source, where)


def _variables() -> dict[str, str]:
    """Settings whose default the environment changes."""
    if os.environ.get("STATE_DIRECTORY"):
        return {"server.state_dir": "$STATE_DIRECTORY"}
    if os.geteuid() and os.environ.get("XDG_STATE_HOME", "").startswith("/"):
        return {"server.state_dir": "$XDG_STATE_HOME"}
    return {}


def _derivations(config: Config) -> dict[str, str]:
    """What is worked out where nothing was said, and from what."""
    return {
        "server.state_dir": "derived from the user who runs it",
        "bridge.key_file": "derived from server.state_dir",
        "limits.max_connections": "derived at the start: the descriptor limit less 256",
        "limits.concurrency": f"derived: 4 x {_cores(config)}",
        "interpreters.php": "derived: the first of php-zts, php on PATH",
        "interpreters.py": "derived: the interpreter that runs phlows",
    }


def _cores(config: Config) -> str:
    cores = config.limits.concurrency // 4
    return f"{cores} core{'' if cores == 1 else 's'}"


def _section_value(config: Config, table: str, name: str) -> object:
    if table == "bridge" and name == "allow":
        unix = ["unix"] if config.bridge.allow_unix else []
        return [str(network) for network in config.bridge.allow] + unix
    value = getattr(getattr(config, table), "paths" if name == "path" else name)
    return _plain(value)


def _in_order(value: object) -> object:
    """Make sets of names alike, which were listed in different orders."""
    return sorted(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    """Turn a value of the broker's into one that JSON and TOML know."""
    if isinstance(value, tuple | frozenset):
        items = [str(item) for item in value]
        return items if isinstance(value, tuple) else sorted(items)
    return str(value) if isinstance(value, Path) else value


def _host(host: Host, origins: _Origins) -> Iterator[Shown]:
    key = _key_of(host, origins)
    raw = origins.table(("hosts", key))
    for setting in settings.HOST:
        source, where = "default", "default"
        if setting.name in raw and not (setting.name == "concurrency" and not raw["concurrency"]):
            source, where = "file", origins.place(("hosts", key, setting.name))
        elif setting.name == "concurrency":
            source, where = "derived", "derived: the larger of 4 and twice the cores"
        elif setting.name == "auth" and host.auth != setting.default:
            source, where = "derived", "derived: hooks has no auth"
        yield Shown(f'hosts."{host.name}"', setting, _host_value(host, setting.name), source, where)


def _key_of(host: Host, origins: _Origins) -> str:
    """How the file writes a host's name, which is normalised here."""
    return next(key for key in origins.table(("hosts",)) if host_name(key) == host.name)


def _host_value(host: Host, name: str) -> object:
    if name == "hooks":
        return [hook for hook in HOOK_NAMES if hook in host.hooks]
    if name == "env":
        return dict.fromkeys(sorted(host.env), MASK)
    return host.shown_app if name == "app" else _plain(getattr(host, name))


def matching(shown: Sequence[Shown], name: str) -> list[Shown]:
    """Find one setting by its name, or those of one table.

    A host's table is `hosts.<name>` with or without quotes, or its name alone.
    """
    wanted = name.replace('"', "")
    return [item for item in shown if wanted in _spellings(item)]


def _spellings(item: Shown) -> tuple[str, ...]:
    table = item.table.replace('"', "")
    host = table.removeprefix("hosts.") if table.startswith("hosts.") else table
    names = (table, f"{table}.{item.setting.name}", host, f"{host}.{item.setting.name}")
    return (*names, "hosts") if table != host else names


def names_like(shown: Sequence[Shown], name: str) -> str:
    """Say which settings may have been meant, as the end of a sentence."""
    from difflib import get_close_matches

    known = {spelling for item in shown for spelling in _spellings(item)}
    lone = [item.name for item in shown if item.setting.name == name]
    near = lone[:3] or get_close_matches(normalise_host(name) or name, sorted(known), 1)
    tables = dict.fromkeys(item.table for item in shown)
    return f"did you mean {' or '.join(near)}?" if near else f"tables are {', '.join(tables)}"
