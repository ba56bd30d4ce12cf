"""The table of settings: each with its default, unit, bounds and reason.

It is the one place that knows them: phlows.toml is read and checked with it,
and the documentation is written from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from phlows_cli import config_values as values
from phlows_cli.model import AUTH_MODES, HOOK_NAMES, RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of phlows.toml.

    `default` is as TOML would hold it. `low` and `high` are both allowed;
    they and `unit` mean something for numbers only.
    """

    name: str
    read: values.Reader
    default: object
    reason: str
    unit: str = ""
    low: float = 0
    high: float = 0

    def value(self, raw: object, folder: Path) -> object:
        """Read what the file says into what the broker uses.

        Raises:
            ValueError: as the readers of config_values do.
        """
        value = self.read(raw, folder)
        if isinstance(value, int | float) and self.high and not self.low <= value <= self.high:
            raise ValueError(f"is {_figure(value)}: it must be {self.bounds}")
        return value

    @property
    def bounds(self) -> str:
        """The least and the greatest value, with their unit."""
        return f"{_figure(self.low)} to {_figure(self.high)} {self.unit}".rstrip()


def _figure(value: float) -> str:
    """Write a number without needless fraction; one beyond reason is cut."""
    whole = int(value)
    figure = str(whole if value == whole else value)
    return figure if len(figure) <= 20 else f"{figure[:20]}..."


_KIB: Final = 1024
_MIB: Final = 1024 * 1024

SERVER: Final = (
    Setting("listen", values.listen, "127.0.0.1", 'an address, "unix:/path", or a list of them'),
    Setting(
        "port",
        values.whole,
        3001,
        "the TCP port of every address; 0: a free one, for tests",
        high=65535,
    ),
    Setting("path", values.paths, "/websocket", 'the URL path of upgrades, or a list; "*" is any'),
    Setting(
        "trusted_proxies",
        values.networks,
        ["127.0.0.1", "::1"],
        "who may set X-Forwarded-*; peers on a unix socket always may",
    ),
    Setting(
        "ping_interval",
        values.number,
        25.0,
        "a socket that has not answered by the next ping is gone; proxies often cut at 60",
        "seconds",
        0.1,
        3600,
    ),
    Setting(
        "drain_timeout",
        values.number,
        30.0,
        "how long a stop waits for events and close hooks",
        "seconds",
        0,
        3600,
    ),
    Setting(
        "close_timeout",
        values.number,
        1.0,
        "how long the other side's close frame is waited for",
        "seconds",
        0,
        60,
    ),
    Setting(
        "state_dir",
        values.file,
        "",
        "where the key is kept; default $STATE_DIRECTORY, else /var/lib/phlows for root, "
        "else the user's state folder",
    ),
    Setting(
        "journal",
        values.choice("sqlite", "memory"),
        "sqlite",
        '"sqlite": close hooks are run after a crash, too; "memory": only while the broker lives',
    ),
    Setting("tls_cert", values.file, "", "a PEM chain: wss:// without a proxy; a reload reads it"),
    Setting("tls_key", values.file, "", "the PEM key of tls_cert; both or neither"),
    Setting("log_format", values.choice("text", "json"), "text", "how log lines are written"),
)

BRIDGE: Final = (
    Setting(
        "allow",
        values.peers,
        ["127.0.0.0/8", "::1/128"],
        'direct peers that may cast without the key; "unix" adds those on a unix socket',
    ),
    Setting(
        "names",
        values.names,
        [],
        "Host names, besides addresses and localhost, that a request without the key may use",
    ),
    Setting(
        "key_file",
        values.file,
        "",
        "the key of the bridge, made at first start; default <state_dir>/key",
    ),
    Setting(
        "body_limit",
        values.whole,
        _MIB,
        "a request to the bridge is held in memory whole",
        "bytes",
        _KIB,
        64 * _MIB,
    ),
)

LIMITS: Final = (
    Setting(
        "max_connections",
        values.whole,
        0,
        "0: what the descriptor limit allows, less 256 kept for the bridge and hooks",
        "connections",
        0,
        1_000_000,
    ),
    Setting(
        "max_message",
        values.whole,
        64 * _KIB,
        "a client's message is joined in memory; over it the socket closes with 1009",
        "bytes",
        64,
        16 * _MIB,
    ),
    Setting(
        "send_buffer",
        values.whole,
        256 * _KIB,
        "what may wait for one client; a frame more and it closes with 4000",
        "bytes",
        _KIB,
        64 * _MIB,
    ),
    Setting(
        "send_total",
        values.whole,
        256 * _MIB,
        "what may wait for all clients; over it the fullest are closed first",
        "bytes",
        _KIB,
        64 * _KIB * _MIB,
    ),
    Setting(
        "pending_events",
        values.whole,
        64,
        "messages of one socket waiting for its hook; reading it stops until half are done",
        "events",
        1,
        100_000,
    ),
    Setting(
        "message_rate",
        values.number,
        0.0,
        "messages of one socket, with a burst of twice that; over it 4003; 0: no limit",
        "messages a second",
        0,
        1_000_000,
    ),
    Setting(
        "handshake_rate",
        values.number,
        0.0,
        "upgrades of all clients, with a burst of twice that; over it 503; 0: no limit",
        "upgrades a second",
        0,
        1_000_000,
    ),
    Setting(
        "per_address",
        values.number,
        0.0,
        "the same for one client's address, or its IPv6 /64; not for unix sockets",
        "upgrades a second",
        0,
        1_000_000,
    ),
    Setting(
        "handshake_timeout",
        values.number,
        10.0,
        "how long a whole HTTP head and body may take",
        "seconds",
        0.1,
        300,
    ),
    Setting(
        "auth_timeout",
        values.number,
        10.0,
        "from accept to the auth message; over it the socket closes with 4001",
        "seconds",
        0.1,
        300,
    ),
    Setting(
        "concurrency",
        values.whole,
        0,
        "hooks running at once, all hosts; 0: four times the cores",
        "hooks",
        0,
        4096,
    ),
    Setting(
        "queue",
        values.whole,
        1000,
        "events of one host waiting for a hook; over it new ones are refused",
        "events",
        1,
        1_000_000,
    ),
    Setting(
        "output",
        values.whole,
        _MIB,
        "what a hook may print, a line or in all; the rest is dropped and counted",
        "bytes",
        _KIB,
        64 * _MIB,
    ),
)

INTERPRETERS: Final = (
    Setting("php", values.program, "", "for .php apps; default the first of php-zts, php on PATH"),
    Setting("py", values.program, "", "for .py apps; default the interpreter that runs phlows"),
)

HOST: Final = (
    Setting("app", values.app, "", "a .php or .py file, an executable, or http(s)://..."),
    Setting(
        "runtime",
        values.choice(*RUNTIMES),
        "oneshot",
        '"oneshot": a process for each event; "resident": workers that stay; no matter for a URL',
    ),
    Setting("hook_class", values.hook_class, "ws", "the command is `ws::receive`"),
    Setting(
        "hooks",
        values.hooks,
        list(HOOK_NAMES),
        "those the app has; one left out starts nothing; []: a push-only host",
    ),
    Setting(
        "auth",
        values.choice(*AUTH_MODES),
        "message",
        'when a token is checked; "none" is the default where hooks has no auth',
    ),
    Setting("token_cookie", values.cookie, "token", 'the cookie with the token; "" turns it off'),
    Setting(
        "origins",
        values.origins,
        [],
        'more sites whose pages may connect, "scheme://host[:port]"; "*" is any',
    ),
    Setting(
        "timeout",
        values.number,
        30.0,
        "one hook call, from its start; an event also waits no longer than this",
        "seconds",
        0.1,
        3600,
    ),
    Setting(
        "concurrency",
        values.whole,
        0,
        "processes, workers or requests of this host at once; 0: the larger of 4 and twice the "
        "cores",
        "processes",
        0,
        1024,
    ),
    Setting(
        "max_connections",
        values.whole,
        0,
        "sockets of this host at once; over it 503; 0: limits.max_connections alone",
        "connections",
        0,
        1_000_000,
    ),
    Setting(
        "max_jobs",
        values.whole,
        10_000,
        "a resident worker is replaced after so many; 1: single-use, booted ahead with spare",
        "jobs",
        1,
        1_000_000_000,
    ),
    Setting(
        "spare",
        values.whole,
        0,
        "workers kept booted and idle, besides those at work",
        "workers",
        0,
        256,
    ),
    Setting(
        "idle_timeout",
        values.number,
        60.0,
        "idle workers over spare are ended after it",
        "seconds",
        0.1,
        86_400,
    ),
    Setting(
        "watch_app",
        values.flag,
        False,
        "workers are replaced when a file of the app's folder changes; for development",
    ),
    Setting(
        "tick",
        values.target,
        "",
        'what the app is asked to run each minute, as in "tasks::run"; "" nothing',
    ),
    Setting(
        "key_file",
        values.file,
        "",
        "a key for this host alone, made at first start and handed to its app; no cast to it "
        "without",
    ),
    Setting("env", values.env, {}, "more environment of the app's processes"),
)

SECTIONS: Final[Mapping[str, tuple[Setting, ...]]] = MappingProxyType(
    {"server": SERVER, "bridge": BRIDGE, "limits": LIMITS, "interpreters": INTERPRETERS}
)
"""The tables of single settings; [hosts] holds a table of HOST for each host."""
