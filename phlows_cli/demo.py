"""The demo: a broker, an app and a page to see them in, for as long as it runs.

Everything it keeps is in a temporary folder, and it listens on this machine only.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import webbrowser
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import phlows_cli
from phlows_cli import logs, system
from phlows_cli.config import load_config
from phlows_cli.demo_job import JobServer
from phlows_cli.errors import UsageError
from phlows_cli.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlows_cli.config import Config
    from phlows_cli.server.bridge import Page

log = logging.getLogger("phlows.demo")

FILES: Final = Path(__file__).parent / "assets" / "demo"
HOSTS: Final = ("127.0.0.1", "localhost")
"""Two names of this machine are two hosts to the broker, and so two rooms."""

LANGUAGES: Final[Mapping[str, tuple[str, str]]] = {
    "python": ("app.py", "Python"),
    "php": ("app.php", "PHP"),
}
DRAIN_TIMEOUT: Final = 3.0
"""Seconds that the end may take: a person waits for it."""

INVITATION: Final = """\
Open {url} in two tabs; Ctrl-C ends the demo.
From another terminal:
  phlows cast --url {port} --host 127.0.0.1 --toast 'Hello, tabs'
  phlows tail --config {config}
"""


def run(port: int, language: str, is_to_open: bool, log_format: str) -> int:
    """Run the demo until it is interrupted; returns the exit code.

    Args:
        port: where the page is; the job has the next one, or one that is free.
        language: a key of LANGUAGES.
        is_to_open: whether a browser is told to show the page.
        log_format: "text" or "json", as server.log_format.

    Raises:
        ListenError: the port is taken.
        UsageError: there is no PHP for the PHP app.
    """
    with (
        TemporaryDirectory(prefix="phlows-demo-") as folder,
        asyncio.Runner(loop_factory=system.loop_factory()) as runner,
    ):
        config = configure(port, language, Path(folder), log_format)
        return runner.run(_serve(config, language, is_to_open))


async def _serve(config: Config, language: str, is_to_open: bool) -> int:
    logs.configure(config.server.log_format)
    port = config.server.port
    with JobServer(origins_of(port), port + 1) as job:
        service = Service(config, pages(port, language, job.url))
        # What a broker says of itself at its start is for those who run one.
        with contextlib.redirect_stderr(io.StringIO()):
            await service.start()
        url = f"http://{HOSTS[0]}:{port}"
        _invite(config, url)
        if is_to_open:
            await asyncio.to_thread(webbrowser.open, url)
        try:
            return await service.wait()
        finally:
            await service.stop()


def _invite(config: Config, url: str) -> None:
    if config.server.log_format == "json":
        log.info("open the page", extra={"url": url, "config": str(config.path)})
        return
    facts = {"url": url, "port": config.server.port, "config": config.path}
    sys.stderr.write(INVITATION.format(**facts))
    sys.stderr.flush()


def configure(port: int, language: str, folder: Path, log_format: str = "text") -> Config:
    """Write the demo's phlows.toml into a folder, and load it.

    Raises:
        UsageError: there is no PHP for the PHP app.
    """
    import tomli_w

    path = folder / "phlows.toml"
    document = settings(port, language, folder, log_format)
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    config = load_config(path)
    if language == "php" and not config.interpreters.php:
        raise UsageError(
            "--lang php needs PHP, and neither php-zts nor php is on PATH:"
            " install php-cli, or leave --lang away"
        )
    return config


def settings(port: int, language: str, folder: Path, log_format: str) -> dict[str, object]:
    """What phlows.toml says for a demo in a folder."""
    server = {
        "listen": HOSTS[0],
        "port": port,
        "state_dir": str(folder),
        "drain_timeout": DRAIN_TIMEOUT,
        "log_format": log_format,
    }
    # An app is given nothing of our environment: say where a phlows that is not installed is.
    package = str(Path(phlows_cli.__file__).parents[1])
    host = {
        "app": str(FILES / LANGUAGES[language][0]),
        "runtime": "resident",
        "token_cookie": "",  # cookies of other sites on this machine are none of ours
        "env": {"DEMO_FOLDER": str(folder), "PYTHONPATH": package},
    }
    return {"server": server, "hosts": dict.fromkeys(HOSTS, host)}


def origins_of(port: int) -> tuple[str, ...]:
    """The origins that the page may have been loaded from."""
    return tuple(f"http://{host}:{port}" for host in HOSTS)


def pages(port: int, language: str, job: str) -> dict[str, Page]:
    """The page and its files, path -> (content type, body)."""
    facts = {
        "job": job,
        "sockets": " ".join(f"ws://{host}:{port}" for host in HOSTS),
        "language": LANGUAGES[language][1],
        "version": phlows_cli.__version__,
        "folder": str(FILES),
    }
    page = (FILES / "index.html").read_text(encoding="utf-8")
    for name, value in facts.items():
        page = page.replace("{{" + name + "}}", escape(value))
    return {
        "/": ("text/html; charset=utf-8", page.encode()),
        "/demo.css": ("text/css; charset=utf-8", (FILES / "demo.css").read_bytes()),
        "/demo.js": ("text/javascript; charset=utf-8", (FILES / "demo.js").read_bytes()),
    }
