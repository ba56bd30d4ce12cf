"""Where each shell looks for completion scripts of one user, and a script put there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from phlows_cli.errors import PhlowsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOADERS: Final = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/usr/local/etc/profile.d/bash_completion.sh",
)
"""The package bash-completion, without which bash looks nowhere by itself."""


class Installed(NamedTuple):
    """What was done: the file, whether it is new or changed, and what is left to do."""

    path: Path
    is_changed: bool
    next: str


def shell_of(environ: Mapping[str, str], known: tuple[str, ...]) -> str:
    """Name the user's shell.

    Raises:
        UsageError: it is none of ours.
    """
    name = Path(environ.get("SHELL", "")).name
    if name not in known:
        said = f"$SHELL is {name!r}" if name else "$SHELL is not set"
        raise UsageError(f"{said}: name the shell, one of {', '.join(known)}")
    return name


def install(shell: str, script: str, environ: Mapping[str, str]) -> Installed:
    """Write a script where its shell looks.

    Raises:
        PhlowsError: it cannot be written.
    """
    path, how = _PLACES[shell](environ)
    try:
        is_changed = _write(path, script)
    except OSError as error:
        where = error.filename or path
        raise PhlowsError(
            f"cannot write {path}: {where}: {error.strerror}: mend that, or save what"
            f" `phlows completion {shell}` prints yourself"
        ) from None
    return Installed(path, is_changed, how)


def _write(path: Path, script: str) -> bool:
    """Write the file whole, if it is not there as it should be."""
    if path.exists() and path.read_bytes() == script.encode():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(script, "utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _bash(environ: Mapping[str, str]) -> tuple[Path, str]:
    own = environ.get("BASH_COMPLETION_USER_DIR")
    folder = Path(own) if own else _data(environ) / "bash-completion"
    path = folder / "completions" / "phlows"
    if any(map(os.path.exists, LOADERS)):
        return path, "open a new shell"
    return path, f"add to ~/.bashrc: source {_quoted(path)}"


def _zsh(environ: Mapping[str, str]) -> tuple[Path, str]:
    folder = _zsh_folder(environ)
    if folder is not None:
        return folder / "_phlows", "open a new shell; if nothing is completed: rm -f ~/.zcompdump*"
    folder = _data(environ) / "zsh" / "site-functions"
    line = f"fpath=({_quoted(folder)} $fpath); autoload -Uz compinit; compinit"
    return folder / "_phlows", f"add to ~/.zshrc: {line}"


def _zsh_folder(environ: Mapping[str, str]) -> Path | None:
    """Find a folder of the user's that zsh looks into already: $FPATH, or oh-my-zsh's."""
    found = [entry for entry in environ.get("FPATH", "").split(":") if entry]
    if environ.get("ZSH"):
        found.append(os.path.join(environ["ZSH"], "completions"))  # noqa: PTH118 - a text, not yet a folder
    home = _home(environ)
    owned = (Path(entry) for entry in found if Path(entry).is_relative_to(home))
    return next((path for path in owned if path.is_dir() and os.access(path, os.W_OK)), None)


def _fish(environ: Mapping[str, str]) -> tuple[Path, str]:
    config = environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config"
    path = Path(config) / "fish" / "completions" / "phlows.fish"
    return path, "open a new shell"


def _data(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local" / "share")


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def _quoted(path: Path) -> str:
    from shlex import quote

    return quote(str(path))


_PLACES: Final[Mapping[str, Callable[[Mapping[str, str]], tuple[Path, str]]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
