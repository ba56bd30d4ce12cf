"""What the figures were taken on; nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess

from benchmarks.tools import PEERS


def description() -> dict[str, str]:
    """Cores, kernel and the versions of what takes part."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _distribution(name) for name in ("phlows", "uvloop", "websockets", "httptools")},
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
