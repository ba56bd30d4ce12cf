"""phlows.toml and the environment -> Config.

Source: docs/protocol.md, "Configuration". The settings are in settings.py.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from phlows_cli import config_values, settings, toml_text
from phlows_cli.errors import ConfigError
from phlows_cli.model import Host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from phlows_cli.config_values import Network

FILE_NAME: Final = "phlows.toml"
SYSTEM_FILE: Final = Path("/etc/phlows") / FILE_NAME
SIZE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a config file: a hundred thousand hosts; beyond is a wrong file."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the broker listens, and its times (seconds)."""

    listen: tuple[str, ...]
    port: int
    paths: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    ping_interval: float
    drain_timeout: float
    close_timeout: float
    state_dir: Path
    journal: str
    tls_cert: str
    tls_key: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """Who may cast, and how much at once (bytes)."""

    allow: tuple[Network, ...]
    allow_unix: bool
    names: frozenset[str]
    key_file: Path
    body_limit: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker holds and runs at most.

    `max_connections` 0 is derived from the descriptor limit at start;
    `concurrency` is never 0 here. Rates are a second; 0 is no limit.
    """

    max_connections: int
    max_message: int
    send_buffer: int
    send_total: int
    pending_events: int
    message_rate: float
    handshake_rate: float
    per_address: float
    handshake_timeout: float
    auth_timeout: float
    concurrency: int
    queue: int
    output: int


@dataclass(frozen=True, slots=True)
class Interpreters:
    """Programs that run .php and .py apps; `php` is "" where there is none."""

    php: str
    py: str


@dataclass(frozen=True, slots=True)
class Config:
    """Everything phlows.toml says, with each gap filled."""

    path: Path | None
    server: Server
    bridge: Bridge
    limits: Limits
    interpreters: Interpreters
    hosts: Mapping[str, Host]


def find_config(explicit: str | None) -> Path | None:
    """Choose the config file: the one named, else the first there is.

    A named file is returned whether it exists or not.
    """
    places = config_places(explicit)
    # Only one that is named comes alone.
    if len(places) == 1:
        return places[0][1]
    return next((place for _, place in places if place.is_file()), None)


def config_places(explicit: str | None) -> list[tuple[str, Path]]:
    """List where the config file is looked for, each with its name, in order."""
    variable = os.environ.get("PHLOWS_CONFIG")
    named = explicit or variable
    if named:
        return [("$PHLOWS_CONFIG" if named == variable else "--config", Path(named))]
    from click import get_app_dir

    return [
        ("the working folder", default_config_path()),
        ("the user's folder", Path(get_app_dir("phlows")) / FILE_NAME),
        ("the system's folder", SYSTEM_FILE),
    ]


def default_config_path() -> Path:
    """Say where a new config file is made: in the working folder."""
    return Path.cwd() / FILE_NAME


def load_config(path: Path | None) -> Config:
    """Read a config file; None is a broker with every default and no host.

    Raises:
        ConfigError: the first problem of the file; of its table, an unknown key
            goes first, since the rest may come from it.
    """
    document = _Document(path)
    config = document.config()
    if document.problems:
        raise document.first_problem()
    return config


def check_config(path: Path) -> list[ConfigError]:
    """Every problem of a config file, in the order of its lines."""
    try:
        document = _Document(path)
    except ConfigError as error:
        return [error]
    document.config()
    return document.problems_by_line()


def read_host(name: str, table: Mapping[str, object], path: Path) -> Host:
    """Read the host that a table makes, as if it stood in `path`.

    Raises:
        ConfigError: the first problem of the table.
    """
    document = _Document(None, path.absolute().parent)
    host = document.host(name, dict(table))
    if host is None or document.problems:
        raise document.problems[0]
    return host


class _Document:
    """One file as it is read: its meaning, and the problems found so far."""

    def __init__(self, path: Path | None, folder: Path | None = None) -> None:
        self.path = path
        self.folder = folder or (path.absolute().parent if path else Path.cwd())
        self.problems: list[ConfigError] = []
        self._unknown: dict[tuple[str, ...], ConfigError] = {}
        self._tables: dict[ConfigError, tuple[str, ...]] = {}
        self.text = _read_text(path) if path else ""
        self.root = toml_text.parse(self.text, str(path))
        self._statements: Sequence[toml_text.Statement] | None = None

    def config(self) -> Config:
        """Read it all, with the default wherever there is a problem."""
        known = (*settings.SECTIONS, "hosts")
        self._report_unknown((), self.root, known)
        server, bridge, limits, interpreters = (
            self._section((name,), self.root.get(name, {}), table)
            for name, table in settings.SECTIONS.items()
        )
        if bool(server["tls_cert"]) != bool(server["tls_key"]):
            lone = "tls_cert" if server["tls_cert"] else "tls_key"
            self._report(("server", lone), "is set alone: tls_cert and tls_key belong together")
        state_dir = Path(server.pop("state_dir") or self._state_dir())
        return Config(
            self.path,
            Server(paths=server.pop("path"), state_dir=state_dir, **server),
            _bridge(bridge, state_dir),
            Limits(concurrency=limits.pop("concurrency") or 4 * _cores(), **limits),
            _interpreters(**interpreters),
            MappingProxyType(self._hosts()),
        )

    def host(self, key: str, raw: object) -> Host | None:
        """Read one host's table; None when its name is not a host's."""
        keys = ("hosts", key)
        table = self._section(keys, raw, settings.HOST)
        if not isinstance(raw, dict):
            return None
        self._settle_auth(keys, raw, table)
        if table["hooks"] and not raw.get("app"):
            self._report(keys, "has hooks but no app: name its app, or write hooks = []")
        if table["tick"] and not raw.get("app"):
            self._report((*keys, "tick"), "is set, but no app to run it: name its app")
        concurrency = table.pop("concurrency") or max(4, 2 * _cores())
        try:
            return Host(config_values.host_name(key), concurrency=concurrency, **table)
        except ValueError as error:
            self._report(keys, str(error), named=False)
            return None

    def _settle_auth(
        self, keys: tuple[str, ...], raw: Mapping[str, object], table: dict[str, Any]
    ) -> None:
        """Without an auth hook, no token is ever accepted: "none" it is."""
        if "auth" in table["hooks"]:
            return
        if "auth" in raw and table["auth"] != "none":
            sentence = f'is {table["auth"]!r}, but hooks has no auth: write "none"'
            self._report((*keys, "auth"), sentence)
        table["auth"] = "none"

    def problems_by_line(self) -> list[ConfigError]:
        """List what was found wrong, from the top of the file down."""
        return sorted(self.problems, key=lambda problem: problem.line)

    def first_problem(self) -> ConfigError:
        """The topmost problem, or the unknown key that may be its cause."""
        first = self.problems_by_line()[0]
        return self._unknown.get(self._tables[first], first)

    def _hosts(self) -> dict[str, Host]:
        raw = self.root.get("hosts", {})
        if not isinstance(raw, dict):
            self._report(("hosts",), f"must be a table, not {config_values.type_name(raw)}")
            return {}
        hosts: dict[str, Host] = {}
        keys: dict[str, str] = {}
        for key, table in raw.items():
            host = self.host(key, table)
            if host is None:
                continue
            if host.name in hosts:
                line = self._line(("hosts", keys[host.name]))
                self._report(("hosts", key), f"is the same host as in line {line}: keep one")
            hosts[host.name] = host
            keys[host.name] = key
        return hosts

    def _section(
        self, keys: tuple[str, ...], raw: object, table: Iterable[settings.Setting]
    ) -> dict[str, Any]:
        if not isinstance(raw, dict):
            self._report(keys, f"must be a table, not {config_values.type_name(raw)}")
            raw = {}
        self._report_unknown(keys, raw, [setting.name for setting in table])
        return {
            setting.name: self._value(keys, setting, raw.get(setting.name, setting.default))
            for setting in table
        }

    def _value(self, keys: tuple[str, ...], setting: settings.Setting, raw: object) -> object:
        try:
            return setting.value(raw, self.folder)
        except ValueError as error:
            sentence, *inner = error.args
            self._report((*keys, setting.name, *inner), sentence)
            return setting.value(setting.default, self.folder)

    def _report_unknown(
        self, keys: tuple[str, ...], raw: Mapping[str, object], known: Sequence[str]
    ) -> None:
        for key in raw:
            if key not in known:
                sentence = f"unknown key {_dotted((*keys, key))}{_nearest(key, known)}"
                problem = self._report((*keys, key), sentence, named=False)
                self._unknown.setdefault(keys, problem)

    def _report(self, keys: tuple[str, ...], sentence: str, *, named: bool = True) -> ConfigError:
        sentence = f"{_dotted(keys)} {sentence}" if named else sentence
        problem = ConfigError(sentence, str(self.path or ""), self._line(keys))
        self.problems.append(problem)
        self._tables[problem] = keys[: 2 if keys[0] == "hosts" else 1]
        return problem

    def _line(self, keys: tuple[str, ...]) -> int:
        if self._statements is None:
            self._statements = toml_text.statements(self.text)
        return toml_text.line_of(self._statements, keys)

    def _state_dir(self) -> Path | str:
        try:
            return _default_state_dir()
        except RuntimeError:
            self._report(("server", "state_dir"), "has no default without a home: set it")
            return ""


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such config file", str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", str(path)) from None
    if len(content) > SIZE_LIMIT:
        raise ConfigError(f"is over {SIZE_LIMIT} bytes: not a config file", str(path))
    return toml_text.decode(content, str(path))


def _bridge(table: dict[str, Any], state_dir: Path) -> Bridge:
    peers = table.pop("allow")
    return Bridge(
        allow=tuple(peer for peer in peers if peer != "unix"),
        allow_unix="unix" in peers,
        key_file=Path(table.pop("key_file") or state_dir / "key"),
        **table,
    )


def _interpreters(php: str, py: str) -> Interpreters:
    from shutil import which

    php = php or which("php-zts") or which("php") or ""
    return Interpreters(str(Path(php).absolute()) if php else "", py or sys.executable)


def _default_state_dir() -> Path:
    """Choose where the key is kept unless the config says so."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/phlows")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "phlows"
    state = os.environ.get("XDG_STATE_HOME", "")
    return Path(state if state.startswith("/") else Path.home() / ".local" / "state") / "phlows"


def _cores() -> int:
    """Count the processor cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _dotted(keys: Iterable[str]) -> str:
    """Write keys as TOML does, quoted where it needs that."""
    from json import dumps

    return ".".join(
        key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else dumps(key)
        for key in keys
    )


def _nearest(key: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, known, 1)
    return f": did you mean {near[0]}?" if near else f": known are {', '.join(known)}"
