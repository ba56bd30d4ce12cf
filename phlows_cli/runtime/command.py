"""An app's command line and environment, and why a start failed."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import ConfigError

if TYPE_CHECKING:
    from phlows_cli.config import Interpreters
    from phlows_cli.model import Event, Host

ARGUMENT_LIMIT: Final = 131_072
"""Bytes of one argument, its closing NUL included: what Linux takes."""

INHERITED: Final = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""All that an app sees of the broker's environment."""

_ADVICE: Final = {
    errno.ENOEXEC: "is neither a program for this machine nor begins with a #! line",
    errno.ETXTBSY: "is being written: put a new version in place by renaming it",
    errno.E2BIG: "was given more arguments and environment than the system takes",
    errno.EMFILE: "got no descriptor: raise the limit (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "got no descriptor: raise the system's limit (fs.file-max)",
    errno.EAGAIN: "got no process: raise the limit (ulimit -u, TasksMax=)",
    errno.ENOMEM: "got no memory",
}


def setting_of(host: Host, key: str) -> str:
    """Name a host's setting as it is written in phlows.toml."""
    return f'hosts."{host.name}".{key}'


def command_for(host: Host, interpreters: Interpreters) -> list[str]:
    """Return what comes before the hook: interpreter and app, or the app.

    Raises:
        ConfigError: the host has no app, or there is no PHP to run it.
    """
    if not host.app:
        raise ConfigError(f"host {host.name} has no app: set {setting_of(host, 'app')}")
    suffix = Path(host.app).suffix.lower()
    if suffix == ".php" and not interpreters.php:
        raise ConfigError(
            f"no php found to run {host.app}: install it (Debian: apt install php-cli) "
            "or set interpreters.php"
        )
    interpreter = {".php": interpreters.php, ".py": interpreters.py}.get(suffix)
    return [interpreter, host.app] if interpreter else [host.app]


def environment_for(host: Host, url: str) -> dict[str, str]:
    """Make the whole environment of a host's processes."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "PHLOWS_URL": url, "PHLOWS_HOST": host.name, **host.env}


def with_key(host: Host, key: str) -> Host:
    """The host as its app is run: handed its key, unless its env says otherwise."""
    return replace(host, env={"PHLOWS_KEY": key, **host.env}) if key else host


def encode_argument(text: str) -> bytes:
    """Text as the app gets it: UTF-8, escaped bytes as the bytes they were.

    A lone surrogate, which no UTF-8 can hold, goes the way WTF-8 writes it, so
    that it is the app that says no to it.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def unfit_arguments(hook: Event) -> str:
    """Why no process can be given these arguments; "" when one can."""
    arguments = [encode_argument(text) for text in hook.args()]
    longest = max(map(len, arguments), default=0)
    if longest >= ARGUMENT_LIMIT:
        return (
            f"argument of {longest} bytes exceeds {ARGUMENT_LIMIT - 1}, the most that a one-shot "
            "app can be given (limits.max_message)"
        )
    if any(b"\0" in argument for argument in arguments):
        return "an argument holds a NUL, which no process can be given"
    return ""


def unreadable_app(host: Host) -> str:
    """Why an interpreter could not read the app; "" when it can."""
    if os.access(host.app, os.R_OK):
        return ""
    what = "is not readable by this user" if Path(host.app).exists() else "does not exist"
    return f"app {host.app} {what}: correct {setting_of(host, 'app')}"


def why_not_started(error: OSError | ValueError, program: str, host: Host) -> str:
    """Say why a start failed: which file, and what to do about it."""
    if isinstance(error, ValueError):
        return f"{program} could not be started: {error}: correct {setting_of(host, 'env')}"
    if error.errno in _ADVICE:
        return f"{program} {_ADVICE[error.errno]}"
    if error.errno in (errno.ENOENT, errno.EACCES):
        return _not_found(error, program, host)
    return f"{program} could not be started: {error.strerror}"


def _not_found(error: OSError, program: str, host: Host) -> str:
    """Which of folder, program and #! line the system did not find or allow."""
    setting = setting_of(host, "app") if program == host.app else "interpreters"
    if error.filename == str(Path(host.app).parent):
        return f"folder {error.filename}: {error.strerror}: correct {setting_of(host, 'app')}"
    if not Path(program).exists():
        return f"{program} does not exist: correct {setting}"
    if error.errno == errno.ENOENT:
        return f"{program} names a program in its #! line that does not exist"
    return f"{program} may not be run by this user: chmod +x it, or correct {setting}"
