"""Start a broker with the example chat and a page to see it in.

    python examples/demo/demo.py [--port 3001] [--app examples/php/app.php]

It writes nothing outside a temporary folder and listens on this machine only.
"""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import phlows_cli
from phlows_cli import logs, system
from phlows_cli.config import Config, load_config
from phlows_cli.errors import ConfigError, ListenError, PhlowsError
from phlows_cli.service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo until it is interrupted; returns the exit code."""
    options = parse(arguments)
    with (
        TemporaryDirectory(prefix="phlows-demo-") as folder,
        asyncio.Runner(loop_factory=system.loop_factory()) as runner,
    ):
        try:
            return runner.run(serve(options, Path(folder)))
        except ListenError as error:
            print(f"demo: {error}, as in `make demo PORT={options.port + 1}`", file=sys.stderr)
            return error.exit_code
        except PhlowsError as error:
            print(f"demo: {error}", file=sys.stderr)
            return error.exit_code


async def serve(options: Namespace, folder: Path) -> int:
    """Run the broker with the page; invite when it listens."""

    def read() -> Config:
        return demo_config(options.port, options.app, folder)

    config = read()
    logs.configure(config.server.log_format)
    page = {"/": ("text/html; charset=utf-8", (HERE / "index.html").read_bytes())}
    running = Service(config, page, read)
    await running.start()
    print(INVITATION.format(port=options.port), file=sys.stderr)
    try:
        return await running.wait()
    finally:
        await running.stop()


INVITATION = """
Open http://127.0.0.1:{port} in two tabs; Ctrl-C ends the demo.
(http://localhost:{port} is another host to the broker, and so another room.)
"""


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description="Start a broker with a chat to open in two tabs.")
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--app", type=Path, help="another app than examples/python/app.py")
    return parser.parse_args(arguments)


def demo_config(port: int, app: Path | None, folder: Path) -> Config:
    """Read phlows.toml beside this file, with this port, app and state folder.

    Raises:
        ConfigError: the app is not there.
    """
    if app and not app.is_file():
        raise ConfigError(f"app {app} is not there: name a file, as in APP=examples/php/app.php")
    config = load_config(HERE / "phlows.toml")
    # An app is given nothing of our environment: say where a phlows that is not installed is.
    env = {"PYTHONPATH": str(Path(phlows_cli.__file__).parents[1])}
    hosts = {
        name: replace(host, app=os.path.abspath(app or host.app), env=env)  # noqa: PTH100 (links stay as they are)
        for name, host in config.hosts.items()
    }
    server = replace(config.server, port=port, state_dir=folder)
    bridge = replace(config.bridge, key_file=folder / "key")
    return replace(config, server=server, bridge=bridge, hosts=hosts)


if __name__ == "__main__":
    sys.exit(main())
