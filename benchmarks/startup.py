"""How long `phlows --help` takes, beside importing click alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.contenders import ROOT
from benchmarks.errors import ContenderError

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNS: Final = 20
IMPORT_CLICK: Final[Sequence[str]] = (sys.executable, "-c", "import click")


def phlows_help() -> Sequence[str]:
    """The installed command beside this interpreter, else the module."""
    command = Path(sys.executable).parent / "phlows"
    if command.exists():
        return (str(command), "--help")
    return (sys.executable, "-m", "phlows_cli", "--help")


def milliseconds(command: Sequence[str]) -> float:
    """One run from start to exit."""
    begin = perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=30, check=False)
    elapsed = perf_counter() - begin
    if done.returncode:
        raise ContenderError(f"exit {done.returncode}: {done.stderr[-500:].decode()}")
    return elapsed * 1000
