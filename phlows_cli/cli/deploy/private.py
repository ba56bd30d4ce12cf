"""What a site's folder may hold that no visitor is to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.files import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlows_cli.config import Config

ENDINGS: Final = (
    "toml", "ini", "py", "pyc", "phlo", "ndjson", "key", "pem", "db", "db-shm", "db-wal",
    "sqlite", "sqlite3",
)  # fmt: skip
"""Settings, source, recordings, keys and databases, wherever they lie in a site."""


@dataclass(frozen=True, slots=True)
class Private:
    """What a web server answers 404 for.

    `endings` are those of file names; `files` and `folders` are the broker's
    own that lie in the site's folder, as paths of a URL.
    """

    endings: tuple[str, ...] = ENDINGS
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def private_in(root: str, config: Config, *, has_php: bool) -> Private:
    """Look which files of the broker's are in a folder that visitors see.

    PHP that nothing runs would be read as text, so it is hidden, too.
    """
    files = tuple(dict.fromkeys(_inside(root, _files(config))))
    state = _inside(root, iter([config.server.state_dir]))
    endings = ENDINGS if has_php else (*ENDINGS, "php")
    return Private(endings, files, tuple(folder for folder in state if folder != "/."))


def _files(config: Config) -> Iterator[Path]:
    if config.path:
        yield config.path
    yield config.bridge.key_file
    if config.server.tls_key:
        yield Path(config.server.tls_key)
    for host in config.hosts.values():
        if host.key_file:
            yield Path(host.key_file)
        if host.app and not host.is_url and not host.app.endswith(".php"):
            yield Path(host.app)


def _inside(root: str, paths: Iterator[Path]) -> Iterator[str]:
    folder = Path(root).resolve()
    for path in paths:
        if path.resolve().is_relative_to(folder):
            yield plain(f"/{path.resolve().relative_to(folder).as_posix()}", "path")


def remark_on(root: str, config: Config, name: str) -> str:
    """Say that a site's folder holds the configuration; "" when it does not."""
    if not root or not config.path or not list(_inside(root, iter([config.path]))):
        return ""
    return (
        f"{name}: its folder {root} holds {config.path.name}: the file hides that, source and "
        "keys, and shows all else; name a folder for visitors alone with --root"
    )
