"""`phlows serve` with a wall clock that jumps: at each SIGUSR2 to what a file says.

    CLOCK=file python -m tests.chaos.jumping serve --config phlows.toml

The file holds the seconds by which time.time() is wrong. The machine's own clock is
everybody's, and stays.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

CLOCK = Path(os.environ["CLOCK"])
true_time = time.time
wrong_by = [0.0]


def jump(*_):
    wrong_by[0] = float(CLOCK.read_text())


def jumping_time():
    return true_time() + wrong_by[0]


if __name__ == "__main__":
    time.time = jumping_time  # before anything else has taken it
    signal.signal(signal.SIGUSR2, jump)
    jump()

    from phlows_cli.__main__ import main

    sys.exit(main())
