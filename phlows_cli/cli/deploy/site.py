"""What a web server must know: the broker's address, the hosts, their sites."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.address import bridge_url
from phlows_cli.cli.deploy.deployment import WEB_FOLDERS
from phlows_cli.cli.deploy.files import plain
from phlows_cli.cli.deploy.private import Private, private_in, remark_on
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from phlows_cli.config import Config
    from phlows_cli.model import Host

LEAST_TIMEOUT: Final = 60
SCRIPTS: Final = ("phlows.js", "phlows.mjs", "phlows.d.ts")
"""What the broker serves below the path of the sockets."""

PHP_SOCKET: Final = "unix:/run/php/php-fpm.sock"
PRIVATE_ENDS: Final = (".localhost", ".local", ".test", ".internal", ".lan", ".home.arpa")
"""Names for which nobody outside gives out a certificate."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed; "" and 0 where nothing was."""

    upstream: str = ""
    php: str = ""
    root: str = ""
    certificate: str = ""
    key: str = ""
    listen: tuple[str, ...] = ()
    http_port: int = 80
    https_port: int = 443


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the broker is reached: host:port, or the path of a unix socket."""

    address: str
    is_unix: bool = False
    is_tls: bool = False

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """Read host:port, http(s)://host:port or unix:/path.

        Raises:
            UsageError: it is none of these.
        """
        if text.startswith("unix:/"):
            return cls(plain(text.removeprefix("unix:"), "the broker's address"), is_unix=True)
        scheme, _, rest = text.rpartition("://")
        host, _, port = rest.rpartition(":")
        if scheme not in ("", "http", "https") or not host or not port.isdecimal():
            raise UsageError(
                f"--upstream {text!r} is not host:port, https://host:port or unix:/path"
            )
        return cls(plain(host.strip("[]"), "host") and rest, is_tls=scheme == "https")

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0].strip("[]")


@dataclass(frozen=True, slots=True)
class Site:
    """One host: its certificate, and what of it is not the broker's.

    `root` is the folder of its files, "" when there is none that may be shown;
    `index` the PHP file that answers for all else, "" for a site without PHP;
    `origin` the site of an app that is a URL; `private` what is never shown.
    """

    name: str
    certificate: tuple[str, str] | None = None
    is_private: bool = False
    root: str = ""
    index: str = ""
    origin: str = ""
    private: Private = field(default_factory=Private)

    @property
    def address(self) -> str:
        """The name as a URL has it."""
        return f"[{self.name}]" if ":" in self.name else self.name


@dataclass(frozen=True, slots=True)
class Front:
    """Everything that goes into a web server's file."""

    upstream: Upstream
    paths: tuple[str, ...]
    sites: tuple[Site, ...]
    options: Options
    php: str
    ping_interval: float
    read_timeout: int
    is_php_known: bool = True
    remarks: tuple[str, ...] = field(default=())

    @property
    def php_remarks(self) -> tuple[str, ...]:
        """What to mind where php-fpm is called at an address that nobody named."""
        if self.is_php_known or not any(site.index for site in self.sites):
            return ()
        usual = f"no php-fpm was found in /run/php: the file has {self.php}, which is usual"
        return (f"{usual}; install it, or name its address with --php",)

    @property
    def scripts(self) -> list[str]:
        """Where the browser's side of phlows is fetched."""
        return [f"{path.rstrip('/')}/{script}" for path in self.paths for script in SCRIPTS]


def front(config: Config, names: Collection[str], options: Options) -> Front:
    """Gather what a web server's file is made of.

    Args:
        config: the broker's.
        names: the hosts that are wanted; all where none is named.
        options: what was typed.

    Raises:
        UsageError: there is no such host, or none; a value that no such file can hold.
    """
    hosts = _wanted(config, names)
    listen, port = config.server.listen, config.server.port
    upstream = Upstream.parse(options.upstream or _first(listen, port))
    sites = tuple(_site(host, config, options) for host in hosts)
    php = _php(options.php)
    return Front(
        upstream,
        _paths(config.server.paths),
        sites,
        options,
        php or PHP_SOCKET,
        config.server.ping_interval,
        _read_timeout(config, hosts),
        bool(php),
        tuple(_remarks(config, upstream, sites)),
    )


def _wanted(config: Config, names: Collection[str]) -> list[Host]:
    from phlows_cli.model import normalise_host
    from phlows_cli.registry import no_such_host

    if not config.hosts:
        raise UsageError(f"no host is registered in {config.path}: `phlows host add` registers one")
    wanted = [normalise_host(name) for name in names] or sorted(config.hosts)
    for name in wanted:
        if name not in config.hosts:
            raise no_such_host(name, config.hosts, str(config.path))
    return [config.hosts[name] for name in dict.fromkeys(wanted)]


def _first(listen: Sequence[str], port: int) -> str:
    """The address that the file names first, which may be a unix socket."""
    if not port and not listen[0].startswith("unix:"):
        raise UsageError("server.port is 0, another one at each start: give --upstream")
    return listen[0] if listen[0].startswith("unix:") else bridge_url(listen, port)


def _paths(paths: Sequence[str]) -> tuple[str, ...]:
    named = [path for path in paths if path not in ("*", "/")]
    if "/" in paths and not named:
        raise UsageError(
            'server.path is "/", which a site has, too: name another path there for its sockets'
        )
    return tuple(plain(path, "server.path") for path in named or ["/websocket"])


def _php(given: str) -> str:
    """Where php-fpm listens: what was typed, else what is here, else ""."""
    if given:
        return plain(given, "--php")
    found = sorted(Path("/run/php").glob("php*-fpm.sock"))
    return f"unix:{found[-1]}" if found else ""


def _read_timeout(config: Config, hosts: Sequence[Host]) -> int:
    """Seconds of silence: two pings, and the longest auth before an upgrade."""
    upgrades = [host.timeout for host in hosts if host.auth == "upgrade"]
    silences = (2 * config.server.ping_interval, *upgrades)
    return max(LEAST_TIMEOUT, ceil(max(silences)) + 10)


def _site(host: Host, config: Config, options: Options) -> Site:
    certificate = (options.certificate, options.key)
    if not all(certificate):
        certificate = (config.server.tls_cert, config.server.tls_key)
    root = _root(host, options.root)
    for text in (*certificate, root):
        plain(text or "-", "path")
    index = _index(root, host.app)
    return Site(
        host.name,
        certificate if all(certificate) else None,
        is_private(host.name),
        root,
        index,
        _origin(host),
        private_in(root, config, has_php=bool(index)) if root else Private(),
    )


def is_private(name: str) -> bool:
    """Whether no authority gives out a certificate for a name."""
    try:
        ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(PRIVATE_ENDS)
    return True


def _root(host: Host, given: str) -> str:
    """The folder that visitors may see; an app's own folder is none by itself."""
    if given:
        return os.path.abspath(given)  # noqa: PTH100 - resolve() would follow a release's symlink
    if host.is_url or not host.app:
        return ""
    folder = Path(host.app).parent
    if folder.name in WEB_FOLDERS:
        return str(folder) if host.app.endswith(".php") else ""
    below = (folder / name for name in WEB_FOLDERS)
    return next((str(each) for each in below if each.is_dir()), "")


def _index(root: str, app: str) -> str:
    """The PHP file that answers what is no file: index.php, else the app."""
    if not root or not app.endswith(".php"):
        return ""
    if (Path(root) / "index.php").is_file():
        return "index.php"
    return plain(Path(app).name, "app") if str(Path(app).parent) == root else ""


def _origin(host: Host) -> str:
    if not host.is_url:
        return ""
    from urllib.parse import urlsplit

    parts = urlsplit(host.app)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{plain(place.replace('[', '').replace(']', ''), 'app') and place}"


def _remarks(config: Config, upstream: Upstream, sites: Sequence[Site]) -> list[str]:
    remarks = []
    if not upstream.is_unix and not _is_trusted(config, upstream.host):
        remarks.append(
            "the broker believes X-Forwarded-* of server.trusted_proxies only: "
            "add the address there that the web server connects from"
        )
    if "*" in config.server.paths:
        remarks.append(
            'server.path is "*": the file passes /websocket; change it where clients open another'
        )
    remarks += [
        f"{site.name}: the folder of its site is not known, so the site is left out: "
        "name it with --root"
        for site in sites
        if not site.root and not site.origin
    ]
    remarks += filter(None, (remark_on(site.root, config, site.name) for site in sites))
    return remarks


def _is_trusted(config: Config, host: str) -> bool:
    from phlows_cli.server.access import is_within

    address = "127.0.0.1" if host == "localhost" else host
    return is_within(address, config.server.trusted_proxies)
