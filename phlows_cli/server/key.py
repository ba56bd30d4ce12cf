"""The bridge's key: made at the first start, read by the commands."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import ConfigError
from phlows_cli.server.access import key_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from phlows_cli.model import Host

log = logging.getLogger("phlows.key")

KEY_VARIABLE: Final = "PHLOWS_KEY"

OTHERS: Final = 0o077
"""Mode bits that let group or others at a file."""


def load_host_keys(hosts: Iterable[Host], bridge_key: str) -> dict[str, str]:
    """The keys of the hosts that have one, by host; files are made if missing.

    Raises:
        ConfigError: as `load_key`; or a host has the broker's own key.
    """
    keys = {
        host.name: load_key(Path(host.key_file), {}, key_setting(host.name))
        for host in hosts
        if host.key_file
    }
    for host, key in keys.items():
        if key == bridge_key:
            problem = "holds the broker's own key, which opens every host: name another file"
            raise ConfigError(f"{key_setting(host)} {problem}")
    return keys


def load_key(
    path: Path,
    environ: Mapping[str, str] = os.environ,
    setting: str = "bridge.key_file or server.state_dir",
) -> str:
    """The key from the environment, else from its file, which is made if missing.

    Args:
        path: bridge.key_file, or a host's; a new file gets mode 0600.
        environ: where PHLOWS_KEY is looked up.
        setting: what to mend when it cannot be used.

    Raises:
        ConfigError: the file cannot be read or made, or is empty; or the key
            has a character that no header can carry.
    """
    key = _key_in(environ)
    if key:
        return _sendable(key, f"the key in {KEY_VARIABLE}")
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_text("utf-8").strip()
        _warn_of_readers(path)
    except OSError as error:
        why = f"key file {path}: {error.strerror}; set {setting}"
        raise ConfigError(f"{why} to a place this user can write") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"key file {path} is not text: set {setting}") from error
    if not key:
        raise ConfigError(f"key file {path} is empty: remove it and a new key is made")
    return _sendable(key, f"the key in {path}")


def key_place(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """Where `load_key` finds the key, for people."""
    return KEY_VARIABLE if _key_in(environ) else str(path)


def _key_in(environ: Mapping[str, str]) -> str:
    return environ.get(KEY_VARIABLE, "").strip()


def _sendable(key: str, where: str) -> str:
    """The key, if an Authorization header can carry it."""
    if key.isascii() and key.isprintable() and " " not in key:
        return key
    raise ConfigError(f"{where} must be printable ASCII without blanks: set another one")


def _warn_of_readers(path: Path) -> None:
    """A key that others can read is told, not refused: groups may be meant."""
    mode = path.stat().st_mode & 0o777
    if mode & OTHERS:
        told = {"file": str(path), "mode": f"{mode:04o}"}
        log.warning("the key file can be used by other users: chmod 600", extra=told)


def _make_key(path: Path) -> None:
    """Write a new key, unless another process was quicker."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        _write_key(descriptor)
    except OSError:  # a full disk: an empty file would be taken for a key
        path.unlink(missing_ok=True)
        raise


def _write_key(descriptor: int) -> None:
    with os.fdopen(descriptor, "w") as file:
        file.write(token_urlsafe(32) + "\n")
