"""Runs a temporary broker, and ends it when who wanted it is gone.

`python -m phlows_cli.cli.load.keeper FOLDER`: serves FOLDER/phlows.toml until
stdin ends, which it does however the starting process ends; then the broker is
ended and the folder removed. The broker's log goes to stdout.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

GRACE: Final = 5.0
"""Seconds that the broker has to end by itself."""


def keep(folder: Path) -> int:
    """Serve until stdin ends; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The end of stdin is what counts. A handler, unlike SIG_IGN, is not the broker's too.
        signal.signal(number, lambda _number, _frame: None)
    command = [sys.executable, "-m", "phlows_cli", "serve", "--config", str(folder / "phlows.toml")]
    try:
        broker = subprocess.Popen(
            [*command, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=sys.stdout.fileno(),
        )
        # The broker alone holds the pipe now, so its end is seen at once.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        while os.read(sys.stdin.fileno(), 4096):
            pass
        _end(broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _end(broker: subprocess.Popen[bytes]) -> None:
    broker.terminate()
    try:
        broker.wait(GRACE)
    except subprocess.TimeoutExpired:
        broker.kill()
        broker.wait()


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
