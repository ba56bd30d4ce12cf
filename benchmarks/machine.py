"""What the figures were taken on; nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.tools import PACKAGES, ws_version
from phlows_cli import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = os.sysconf("SC_CLK_TCK")


class Load:
    """What the whole machine did, from where this is made."""

    def __init__(self) -> None:
        self._begin = perf_counter()
        self._all = _all_cores()

    def others(self, ours: float) -> float:
        """The share of all cores that something else than `ours` seconds took."""
        cores = (perf_counter() - self._begin) * (os.cpu_count() or 1)
        return max(0.0, (_all_cores() - self._all - ours) / cores)


def _all_cores() -> float:
    """Seconds that all cores were taken; idle and waiting are the 4th and 5th."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return (sum(map(int, fields)) - int(fields[3]) - int(fields[4])) / _TICKS


def description() -> dict[str, str]:
    """Cores, kernel and the versions of what takes part."""
    facts = {
        "cores": f"{len(os.sched_getaffinity(0))} of {_processor()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "phlows": __version__,
        "phlows' libraries": _versions([], ("uvloop", "httptools", "msgspec", "websockets")),
        "node": _said("node", "--version"),
        "ws": ws_version(),
        "nginx": _said("nginx", "-v").removeprefix("nginx version: "),
        "nchan": _nchan(),
        "peers in Python": _versions([str(PACKAGES)], ("websockets", "picows", "uvloop")),
        "php": _said("php", "-v").partition(" (")[0],
        "load generator": _said("cc", "--version").partition("\n")[0] or "Python: there is no cc",
    }
    return {name: value for name, value in facts.items() if value}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _versions(path: list[str], names: Sequence[str]) -> str:
    """Of installed distributions: of this environment, or of a folder of them."""
    found = importlib.metadata.distributions(**({"path": path} if path else {}))
    versions = {each.name: each.version for each in found if each.name in names}
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


def _said(*command: str) -> str:
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin:/sbin")
    if program is None:
        return ""
    done = subprocess.run(
        [program, *command[1:]], capture_output=True, text=True, timeout=30, check=False
    )
    return (done.stdout or done.stderr).strip()


def _nchan() -> str:
    said = _said("dpkg-query", "--show", "--showformat=${Version}", "libnginx-mod-nchan")
    return "" if "no packages found" in said else said
