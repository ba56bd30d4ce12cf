"""Who takes part: phlows, and the peers it stands beside."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from benchmarks.dialects import Channels
from benchmarks.errors import BenchmarkError, MissingToolError
from benchmarks.process import HOST, PROBE_HOST, Contender, free_port, running
from benchmarks.report import OURS, SOCKET_LAYER
from benchmarks.tools import (
    PEERS,
    compile_floor,
    install_python_peer,
    install_ws,
    nchan_module,
    nginx,
    node,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
PING: Final = 25
"""Seconds between two pings where their cost is the figure."""

RARELY: Final = 600
"""Seconds between two pings elsewhere: sockets wait longer for their round than a pong may take."""


FLOOR: Final = "C epoll"
"""No broker, and no aim: what the kernel alone takes."""


class Start(Protocol):
    """Starts one contender; with an app, its messages run that app."""

    def __call__(self, app: Path | None = None) -> contextlib.AbstractContextManager[Contender]: ...


@contextlib.contextmanager
def phlows(
    app: Path | None = None,
    *,
    in_flight: int = 10,
    host: str = "",
    ping: int = RARELY,
    name: str = OURS,
    program: tuple[str, ...] = ("-m", "phlows_cli"),
) -> Iterator[Contender]:
    """`phlows serve` as installed; a push-only host, or one for `app`.

    Args:
        app: run by `receive`, unless `host` says otherwise.
        in_flight: hooks side by side.
        host: the host's settings as TOML lines, instead of those.
        ping: seconds between two pings of a socket.
        name: as the table has it.
        program: what Python runs; by default the command as it is.
    """
    if importlib.util.find_spec("phlows_cli.__main__") is None:
        raise MissingToolError("phlows_cli has no __main__: nothing to measure")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        state, config = Path(folder, "state"), Path(folder, "phlows.toml")
        config.write_text(_config(port, state, ping, host or _host(app, in_flight), in_flight))
        command = [sys.executable, *program, "serve", "--config", str(config)]
        contender = Contender(name, port, lists_sockets=True)
        python = {"PYTHONPATH": str(ROOT)}
        with running(contender, command, ROOT, python) as contender:
            contender.key = (state / "key").read_bytes().strip()
            yield contender


def _config(port: int, state: Path, ping: int, host: str, in_flight: int) -> str:
    server = f'[server]\nport = {port}\nstate_dir = "{state}"\nping_interval = {ping}.0\n'
    limits = f"[limits]\nconcurrency = {in_flight}\n"
    return f'{server}{limits}[hosts."{HOST}"]\n{host}'


def _host(app: Path | None, in_flight: int) -> str:
    if app is None:
        return "hooks = []\n"
    return f'app = "{app}"\nhooks = ["receive"]\nconcurrency = {in_flight}\n'


def phlows_with_close(app: Path) -> contextlib.AbstractContextManager[Contender]:
    """With a close hook that every socket is owed: the journal holds each."""
    return phlows(host=f'app = "{app}"\nhooks = ["close"]\n', ping=PING)


def phlows_with_tokens(app: Path) -> contextlib.AbstractContextManager[Contender]:
    """With tokens that the app has accepted, as a real host has them."""
    return phlows(host=f'app = "{app}"\nauth = "upgrade"\nhooks = ["auth"]\n')


def phlows_echo(app: Path | None = None) -> contextlib.AbstractContextManager[Contender]:
    """With the app's place taken by an echo, and a second host for the probe."""
    if app is not None:
        raise BenchmarkError("the echo takes the app's place")
    host = 'app = "/bin/true"\nhooks = ["receive"]\n'
    program = (str(PEERS / "phlows_echo.py"),)
    return phlows(host=f'{host}[hosts."{PROBE_HOST}"]\n{host}', program=program)


def phlows_socket_layer(app: Path | None = None) -> contextlib.AbstractContextManager[Contender]:
    """With the session's place taken by an echo: nothing above the connection has a part."""
    if app is not None:
        raise BenchmarkError("the echo takes the session's place")
    return phlows(name=SOCKET_LAYER, program=(str(PEERS / "phlows_socket.py"),))


@contextlib.contextmanager
def node_broker(app: Path | None = None, *, more: tuple[str, ...] = ()) -> Iterator[Contender]:
    """The Node broker's shape: ws, one send a socket, execFile a message."""
    install_ws()
    port = free_port()
    ran = ["--app", str(app)] if app else []
    command = [node(), "--expose-gc", "node_broker.js", str(port), *ran, *more]
    contender = Contender("node ws", port, collects=True, lists_sockets=True)
    with running(contender, command, PEERS) as contender:
        yield contender


node_echo: Start = partial(node_broker, more=("--echo",))
node_pinging: Start = partial(node_broker, more=("--ping", str(PING)))


@contextlib.contextmanager
def node_http(app: Path | None = None) -> Iterator[Contender]:
    """A bridge on Node's own http server, with nobody behind it."""
    if app is not None:
        raise BenchmarkError("node http runs no app")
    port = free_port()
    command = [node(), "node_http.js", str(port)]
    with running(Contender("node http", port), command, PEERS) as contender:
        yield contender


@contextlib.contextmanager
def floor(app: Path | None = None) -> Iterator[Contender]:
    """The least that a program can do: a bare epoll loop in C, no checks and no limits."""
    if app is not None:
        raise BenchmarkError("the epoll loop runs no app")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        command = [str(compile_floor(Path(folder))), str(port)]
        with running(Contender(FLOOR, port), command, PEERS) as contender:
            yield contender


@contextlib.contextmanager
def nchan(app: Path | None = None, *, ping: int = RARELY) -> Iterator[Contender]:
    """Nchan on nginx with one worker; a channel is the target."""
    if app is not None:
        raise BenchmarkError("nchan runs no app")
    program, module = nginx(), nchan_module()
    port = free_port()
    template = (PEERS / "nchan.conf").read_text()
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        config = Path(folder, "nginx.conf")
        config.write_text(
            template.replace("{module}", str(module))
            .replace("{folder}", folder)
            .replace("{port}", str(port))
            .replace("{ping}", str(ping))
        )
        command = [program, "-p", folder, "-c", str(config), "-e", "stderr"]
        with running(Contender("nchan", port, speech=Channels()), command, PEERS) as contender:
            yield contender


@contextlib.contextmanager
def _python_peer(
    name: str,
    module: str,
    app: Path | None = None,
    *,
    ping: int = RARELY,
    more: tuple[str, ...] = (),
) -> Iterator[Contender]:
    if app is not None:
        raise BenchmarkError(f"{name} runs no app")
    packages = install_python_peer(name)
    port, cast_port = free_port(), free_port()
    command = [sys.executable, str(PEERS / module), str(port), str(cast_port), str(ping), *more]
    python = {"PYTHONPATH": str(packages)}
    with running(Contender(name, port, cast_port=cast_port), command, PEERS, python) as contender:
        yield contender


websockets: Start = partial(_python_peer, "websockets", "websockets_server.py")
websockets_echo: Start = partial(
    _python_peer, "websockets", "websockets_server.py", more=("--echo",)
)
websockets_pinging: Start = partial(_python_peer, "websockets", "websockets_server.py", ping=PING)
picows: Start = partial(_python_peer, "picows", "picows_server.py")
picows_echo: Start = partial(_python_peer, "picows", "picows_server.py", more=("--echo",))
picows_pinging: Start = partial(_python_peer, "picows", "picows_server.py", ping=PING)
nchan_pinging: Start = partial(nchan, ping=PING)
