"""What the figures were taken on; nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.tools import PEERS
from phlows_cli import __version__

_TICKS = os.sysconf("SC_CLK_TCK")


class Load:
    """What the whole machine did, from where this is made."""

    def __init__(self) -> None:
        self._begin = perf_counter()
        self._ran = process_time()
        self._all = _all_cores()

    def others(self, contender: float) -> float:
        """The share of all cores that neither we nor `contender` seconds took."""
        ours = process_time() - self._ran + contender
        cores = (perf_counter() - self._begin) * (os.cpu_count() or 1)
        return max(0.0, (_all_cores() - self._all - ours) / cores)


def _all_cores() -> float:
    """Seconds that all cores were taken; idle and waiting are the 4th and 5th."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return (sum(map(int, fields)) - int(fields[3]) - int(fields[4])) / _TICKS


def description() -> dict[str, str]:
    """Cores, kernel and the versions of what takes part."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "phlows": __version__,
        **{name: _distribution(name) for name in ("uvloop", "websockets", "httptools")},
        "node": _node(),
        "ws": _ws(),
    }
    return {name: value for name, value in facts.items() if value}


def _distribution(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        return ""
    return subprocess.run(
        [node, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()


def _ws() -> str:
    package = PEERS / "node_modules" / "ws" / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else ""
