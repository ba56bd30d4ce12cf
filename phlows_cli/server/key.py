"""The bridge's key: made at the first start, read by the commands."""

from __future__ import annotations

import os
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY_VARIABLE: Final = "PHLOWS_KEY"


def load_key(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The key from the environment, else from its file, which is made if missing.

    Args:
        path: bridge.key_file; a new file gets mode 0600.
        environ: where PHLOWS_KEY is looked up.

    Raises:
        ConfigError: the file cannot be read or made, or is empty.
    """
    key = environ.get(KEY_VARIABLE, "").strip()
    if key:
        return key
    try:
        if not path.exists():
            _make_key(path)
        key = path.read_text("utf-8").strip()
    except OSError as error:
        why = f"key file {path}: {error.strerror}; set bridge.key_file or server.state_dir"
        raise ConfigError(f"{why} to a place this user can write") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"key file {path} is not text: set bridge.key_file") from error
    if not key:
        raise ConfigError(f"key file {path} is empty: remove it and a new key is made")
    return key


def _make_key(path: Path) -> None:
    """Write a new key, unless another process was quicker."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(token_urlsafe(32) + "\n")
