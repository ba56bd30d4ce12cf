"""What a supervisor must know of this broker: program, user, folders, limits."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.systemd import STOP_MARGIN

if TYPE_CHECKING:
    from phlows_cli.config import Config

DESCRIPTORS: Final = 65536
"""Descriptors where nobody named a number of sockets."""

KEPT: Final = 1024
"""Descriptors over server.max_connections: 256 are kept, hooks have pipes."""

PROCESSES: Final = 4096
WEB_FOLDERS: Final = ("www", "public", "public_html", "htdocs", "html", "web", "webroot")
PHP_STATE: Final = "/var/lib/php"
"""Where Debian's PHP keeps its sessions."""

PRIVILEGED: Final = 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """One broker on one machine.

    `command` starts phlows; `state_dir` is what the file says, "" when it says
    nothing and the supervisor chooses.
    """

    config: Config
    path: Path
    name: str
    command: tuple[str, ...]
    user: str
    state_dir: str = ""
    writable: tuple[str, ...] = ()

    @property
    def serve(self) -> tuple[str, ...]:
        """The whole command line of the broker."""
        return (*self.command, "serve", "--config", str(self.path))

    @property
    def check(self) -> tuple[str, ...]:
        """The command that finds faults in its configuration."""
        return (*self.command, "config", "check", "--config", str(self.path))

    @property
    def state(self) -> str:
        """The folder with the key and the journal."""
        return self.state_dir or f"/var/lib/{self.name}"

    @property
    def stop_seconds(self) -> int:
        """How long a stop may take before it is cut."""
        return ceil(self.config.server.drain_timeout + STOP_MARGIN)

    @property
    def descriptors(self) -> int:
        """How many open files the broker needs."""
        wanted = self.config.limits.max_connections + KEPT
        return max(DESCRIPTORS, -(-wanted // KEPT) * KEPT)

    @property
    def processes(self) -> int:
        """How many processes and threads it and its apps may be."""
        return max(PROCESSES, 4 * self.config.limits.concurrency)

    @property
    def folders(self) -> list[Path]:
        """What the broker reads: programs, the configuration, apps."""
        interpreters = self.config.interpreters
        # The Python of this phlows is no matter to another one.
        python = interpreters.py if interpreters.py != sys.executable else ""
        programs = [*self.command[:1], interpreters.php, python]
        return [self.path, *map(Path, [*programs, *self.apps, *self.writable])]

    @property
    def apps(self) -> list[str]:
        """The apps that are files."""
        hosts = self.config.hosts.values()
        return sorted({host.app for host in hosts if host.app and not host.is_url})

    @property
    def has_php(self) -> bool:
        """Whether an app is a .php file."""
        return any(app.endswith(".php") for app in self.apps)

    @property
    def needs_port_right(self) -> bool:
        """Whether only root, or one with the capability, may bind the port."""
        has_tcp = any(not item.startswith("unix:") for item in self.config.server.listen)
        return has_tcp and 0 < self.config.server.port < PRIVILEGED

    def is_below(self, *roots: str) -> bool:
        """Whether something that the broker reads is below one of these."""
        return any(Path(root) in folder.parents for root in roots for folder in self.folders)

    def writable_folders(self) -> list[str]:
        """What apps and the broker write besides the state folder."""
        keys = [host.key_file for host in self.config.hosts.values() if host.key_file]
        keys.append(str(self.config.bridge.key_file))
        beside = {str(Path(key).parent) for key in keys} - {str(self.config.server.state_dir)}
        found = {*beside, *map(_project, self.apps), *self.writable}
        found |= {self.state_dir} if self.state_dir else set()
        found |= {PHP_STATE} if self.has_php else set()
        return sorted(found - {"/"})


def _project(app: str) -> str:
    """The folder of an app: the one above its www, if it has such."""
    folder = Path(app).parent
    return str(folder.parent if folder.name in WEB_FOLDERS else folder)


def this_command() -> tuple[str, ...]:
    """How this very phlows is started: its script, else its Python."""
    script = Path(sys.executable).parent / "phlows"
    return (str(script),) if script.is_file() else (sys.executable, "-m", "phlows_cli")


def default_user(config: Config) -> str:
    """Choose who runs the broker: the owner of the apps, if that is one user."""
    owners = {_owner(host.app) for host in config.hosts.values() if host.app and not host.is_url}
    owner = owners.pop() if len(owners) == 1 else ""
    return owner if owner not in ("", "root") else "phlows"


def _owner(app: str) -> str:
    try:
        return Path(app).owner()
    except (OSError, KeyError):
        return ""


def user_commands(user: str, state: str = "") -> list[str]:
    """The commands that make the user, and a folder of its own; none where it is."""
    from pwd import getpwnam

    commands = []
    try:
        getpwnam(user)
    except KeyError:
        commands.append(f"useradd --system --home-dir / --shell /usr/sbin/nologin {user}")
    if state:
        commands.append(f"install -d -m 0700 -o {user} {state}")
    return commands


def raw_state_dir(path: Path) -> str:
    """Read the folder that the file names, "" when it names none."""
    import tomllib

    server = tomllib.loads(path.read_text(encoding="utf-8")).get("server", {})
    named = server.get("state_dir", "")
    return str(path.parent / Path(named).expanduser()) if named else ""
