"""What a command of this checkout prints."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.started import DEADLINE, ROOT


def phlows_output(*args):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PHLOWS")}
    done = subprocess.run(
        [sys.executable, "-m", "phlows_cli", *args],
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
