"""Programs that contenders need from elsewhere: node, ws, a C compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks.errors import MissingToolError

PEERS: Final = Path(__file__).resolve().parent / "peers"
_INSTALL: Final = 180.0


def node() -> str:
    """Where Node is."""
    return _found("node", "there is no node to stand beside")


def _found(name: str, otherwise: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise MissingToolError(otherwise)
    return program


def install_ws() -> None:
    """Fetch `ws` from the registry once, into peers/node_modules."""
    if (PEERS / "node_modules" / "ws" / "package.json").exists():
        return
    npm = _found("npm", "there is no npm to install ws")
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=PEERS, capture_output=True, text=True, timeout=_INSTALL, check=False
    )
    if done.returncode:
        raise MissingToolError(f"npm could not install ws: {done.stderr[-300:]}")


def compile_answer(folder: Path) -> Path:
    """The tiny app of the one-shot figure, compiled."""
    compiler = _found("cc", "there is no C compiler for the app")
    program = folder / "answer"
    command = [compiler, "-O2", "-o", str(program), str(PEERS / "answer.c")]
    subprocess.run(command, check=True, timeout=60)
    return program
