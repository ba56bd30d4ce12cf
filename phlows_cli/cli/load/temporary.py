"""A broker of the run's own: nothing of it is left when the run has ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import phlows_cli
from phlows_cli.errors import BrokerUnreachableError, TimedOutError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST: Final = "bench.test"
APP: Final = Path(phlows_cli.__file__).parent / "assets" / "bench" / "app.py"
START_TIMEOUT: Final = 30.0
END_TIMEOUT: Final = 15.0
_LINES_KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What the temporary broker's host is to be like.

    Without an app it is a push-only host; `auth` as in phlows.toml.
    """

    app: Path | None = None
    runtime: str = "resident"
    auth: str = "none"
    token_cookie: str = "token"  # noqa: S105 - the cookie's name
    hooks: tuple[str, ...] | None = None


class Temporary(NamedTuple):
    """Where the temporary broker is, and its key."""

    url: str
    key: str


@contextlib.contextmanager
def temporary_broker(wish: Wish) -> Iterator[Temporary]:
    """Start one, and end it with its files.

    Raises:
        BrokerUnreachableError: it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="phlows-bench-"))
    try:
        keeper = _start(folder, wish)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # there is no keeper to do it
        raise
    log = _Log(keeper)
    try:
        url = log.address()
        yield Temporary(url, (folder / "state" / "key").read_text().strip())
    finally:
        _end(keeper)
        log.join()


def settings(folder: Path, wish: Wish) -> dict[str, object]:
    """What its phlows.toml says."""
    server = {
        "listen": "127.0.0.1",
        "port": 0,
        "state_dir": str(folder / "state"),
        "drain_timeout": 1.0,
        "log_format": "json",
    }
    host: dict[str, object] = {"auth": wish.auth, "token_cookie": wish.token_cookie}
    if wish.app is None:
        host = {"hooks": []}
    else:
        package = str(Path(phlows_cli.__file__).parents[1])
        host |= {"app": str(wish.app.absolute()), "runtime": wish.runtime}
        host |= {"env": {"PYTHONPATH": package}}
        host |= {} if wish.hooks is None else {"hooks": list(wish.hooks)}
    return {"server": server, "hosts": {HOST: host}}


def _start(folder: Path, wish: Wish) -> subprocess.Popen[bytes]:
    import tomli_w

    (folder / "state").mkdir()
    (folder / "phlows.toml").write_text(tomli_w.dumps(settings(folder, wish)), encoding="utf-8")
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PHLOWS_")}
    environ["PYTHONPATH"] = str(Path(phlows_cli.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-m", "phlows_cli.cli.load.keeper", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,  # Ctrl-C is for us, who then end it
    )


def _end(keeper: subprocess.Popen[bytes]) -> None:
    if keeper.stdin is not None:
        keeper.stdin.close()
    try:
        keeper.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.wait()


class _Log:
    """Reads the broker's log, so that it never waits for us; keeps the last lines."""

    def __init__(self, keeper: subprocess.Popen[bytes]) -> None:
        self._lines: deque[bytes] = deque(maxlen=_LINES_KEPT)
        self._address = ""
        self._known = threading.Event()
        self._keeper = keeper
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._keeper.stdout is None:
            return
        with self._keeper.stdout as lines:
            for line in lines:
                self._lines.append(line)
                if not self._address and b'"addresses"' in line:
                    self._address = str(json.loads(line)["addresses"][0])
                    self._known.set()
        self._known.set()

    def address(self) -> str:
        """Wait until it serves."""
        if not self._known.wait(START_TIMEOUT):
            raise TimedOutError(f"a temporary broker took over {START_TIMEOUT:g} s to start")
        if not self._address:
            said = b" ".join(self._lines).decode("utf-8", "replace").strip()
            raise BrokerUnreachableError(f"a temporary broker does not start: {said}")
        return self._address

    def join(self) -> None:
        """Wait for the end of what it says."""
        self._thread.join(END_TIMEOUT)
