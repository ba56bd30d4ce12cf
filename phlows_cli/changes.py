"""What differs between two configurations, and what of it can be applied."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from phlows_cli.config import Config

FIXED: Final = {
    "listen": "server.listen",
    "port": "server.port",
    "paths": "server.path",
    "state_dir": "server.state_dir",
    "journal": "server.journal",
}
"""Settings of [server] that only a restart changes."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The hosts and settings that a reload changes, by name."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    settings: tuple[str, ...]
    needs_restart: tuple[str, ...]

    def as_dict(self) -> dict[str, list[str]]:
        """The changes as the bridge tells them."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}


def changes_between(old: Config, new: Config) -> Changes:
    """Compare what runs with what a file says now."""
    settings = _settings(old, new)
    return Changes(
        added=tuple(sorted(new.hosts.keys() - old.hosts.keys())),
        removed=tuple(sorted(old.hosts.keys() - new.hosts.keys())),
        changed=_changed_hosts(old, new),
        settings=tuple(name for name in settings if not _is_fixed(name, old, new)),
        needs_restart=tuple(name for name in settings if _is_fixed(name, old, new)),
    )


def keep_fixed(running: Config, loaded: Config) -> Config:
    """A new configuration, but for what only a restart changes."""
    before = running.server
    server = replace(
        loaded.server,
        listen=before.listen,
        port=before.port,
        paths=before.paths,
        state_dir=before.state_dir,
        journal=before.journal,
    )
    if bool(before.tls_cert) != bool(server.tls_cert):  # renewed, but neither begun nor ended
        server = replace(server, tls_cert=before.tls_cert, tls_key=before.tls_key)
    return replace(loaded, server=server)


def _changed_hosts(old: Config, new: Config) -> tuple[str, ...]:
    """Hosts with other settings, or whose interpreter is another."""
    both = old.hosts.keys() & new.hosts.keys()
    return tuple(sorted(name for name in both if old.hosts[name] != new.hosts[name]))


def _settings(old: Config, new: Config) -> list[str]:
    """The changed settings outside of hosts, as they are written in the file."""
    changed = []
    for section in ("server", "bridge", "limits", "interpreters"):
        before, after = getattr(old, section), getattr(new, section)
        for field in fields(before):
            if getattr(before, field.name) != getattr(after, field.name):
                name = f"{section}.{field.name}"
                changed.append(FIXED.get(field.name, name) if section == "server" else name)
    return changed


def _is_fixed(name: str, old: Config, new: Config) -> bool:
    """Whether only a restart changes a setting: TLS can be renewed, not begun."""
    if name.startswith("server.tls_"):
        return bool(old.server.tls_cert) != bool(new.server.tls_cert)
    return name in FIXED.values()
