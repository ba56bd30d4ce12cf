"""Who takes part: phlows, and the peers it stands beside."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from benchmarks.errors import BenchmarkError, MissingToolError
from benchmarks.process import HOST, Contender, free_port, running
from benchmarks.tools import PEERS, install_ws, node

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent


class Start(Protocol):
    """Starts one contender; with an app, its messages run that app."""

    def __call__(self, app: Path | None = None) -> contextlib.AbstractContextManager[Contender]: ...


@contextlib.contextmanager
def phlows(app: Path | None = None, *, in_flight: int = 10) -> Iterator[Contender]:
    """`phlows serve` as installed; a push-only host, or one for `app`."""
    if importlib.util.find_spec("phlows_cli.__main__") is None:
        raise MissingToolError("phlows_cli has no __main__: nothing to measure")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        config = Path(folder, "phlows.toml")
        config.write_text(_config(port, Path(folder, "state"), app, in_flight))
        command = [sys.executable, "-m", "phlows_cli", "serve", "--config", str(config)]
        with running(Contender("phlows", port), command, ROOT) as contender:
            yield contender


def _config(port: int, state: Path, app: Path | None, in_flight: int) -> str:
    server = f'[server]\nport = {port}\nstate_dir = "{state}"\n'
    host = f'[hosts."{HOST}"]\nauth = "none"\n'
    if app is None:
        return server + host + "hooks = []\n"
    limits = f"[limits]\nconcurrency = {in_flight}\n"
    hooks = f'app = "{app}"\nhooks = ["receive"]\nconcurrency = {in_flight}\n'
    return server + limits + host + hooks


@contextlib.contextmanager
def node_broker(app: Path | None = None) -> Iterator[Contender]:
    """The Node broker's shape: ws, one send a socket, execFile a message."""
    install_ws()
    port = free_port()
    command = [node(), "--expose-gc", "node_broker.js", str(port), *([str(app)] if app else [])]
    with running(Contender("node ws", port, collects=True), command, PEERS) as contender:
        yield contender


@contextlib.contextmanager
def node_http(app: Path | None = None) -> Iterator[Contender]:
    """A bridge on Node's own http server, with nobody behind it."""
    if app is not None:
        raise BenchmarkError("node http runs no app")
    port = free_port()
    command = [node(), "node_http.js", str(port)]
    with running(Contender("node http", port), command, PEERS) as contender:
        yield contender
