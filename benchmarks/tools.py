"""Programs that contenders need from elsewhere: installed once, or left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.errors import MissingToolError

PEERS: Final = Path(__file__).resolve().parent / "peers"
PACKAGES: Final = PEERS / "packages"
"""What pip installs for the Python peers, apart from phlows' own."""

_REQUIREMENTS: Final = PEERS / "requirements.txt"
_MODULES: Final = (
    "/usr/lib/nginx/modules/ngx_nchan_module.so",
    "/usr/lib64/nginx/modules/ngx_nchan_module.so",
    "/usr/share/nginx/modules/ngx_nchan_module.so",
)
_INSTALL: Final = 180.0


def node() -> str:
    """Where Node is."""
    return found("node", "there is no node to stand beside")


def nginx() -> str:
    """Where nginx is."""
    folders = "/usr/sbin:/usr/local/sbin:/sbin"
    program = shutil.which("nginx") or shutil.which("nginx", path=folders)
    if program is None:
        raise MissingToolError("there is no nginx (Debian: apt install libnginx-mod-nchan)")
    return program


def nchan_module() -> Path:
    """The module that nginx loads."""
    for module in map(Path, _MODULES):
        if module.exists():
            return module
    raise MissingToolError("nginx has no nchan (Debian: apt install libnginx-mod-nchan)")


def found(name: str, otherwise: str) -> str:
    """Where a program is; `otherwise` says what its lack means."""
    program = shutil.which(name)
    if program is None:
        raise MissingToolError(otherwise)
    return program


def install_ws() -> None:
    """Fetch `ws` from the registry once, into peers/node_modules."""
    if has_ws():
        return
    npm = found("npm", "there is no npm to install ws")
    _install("ws", [npm, "ci", "--no-audit", "--no-fund"])


def has_ws() -> bool:
    """Whether the `ws` is installed that package.json names."""
    wanted = json.loads((PEERS / "package.json").read_text())["dependencies"]["ws"]
    return ws_version() == str(wanted)


def ws_version() -> str:
    """Of the `ws` that is installed; "" when none is."""
    package = PEERS / "node_modules" / "ws" / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else ""


def install_python_peer(name: str) -> Path:
    """Fetch the Python peers from the registry once; returns their folder."""
    wanted = _REQUIREMENTS.read_text()
    mark = PACKAGES / ".installed"
    if not mark.exists() or mark.read_text() != wanted:
        _pip_install()
        (PACKAGES / ".gitignore").write_text("*\n")
        mark.write_text(wanted)
    if not (PACKAGES / name).is_dir():
        raise MissingToolError(f"pip has not installed {name}")
    return PACKAGES


def _pip_install() -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    where = ["--only-binary", ":all:", "--upgrade", "--target", str(PACKAGES)]
    _install("websockets and picows", [*pip, *where, "--requirement", str(_REQUIREMENTS)])


def install_nothing() -> None:
    """From now on, leave out what would have to be installed."""
    _Allowed.installing = False


class _Allowed:
    """What this run may do."""

    installing = True


def _install(what: str, command: list[str]) -> None:
    if not _Allowed.installing:
        raise MissingToolError(f"{what} would have to be installed")
    try:
        done = subprocess.run(
            command, cwd=PEERS, capture_output=True, text=True, timeout=_INSTALL, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MissingToolError(f"{what} was not installed in {_INSTALL:g} s") from error
    if done.returncode:
        raise MissingToolError(f"{what} cannot be installed: {done.stderr.strip()[-300:]}")


def compile_answer(folder: Path) -> Path:
    """The tiny app of the one-shot figure, compiled.

    Static where the system has the libraries for it: to load the others takes longer than
    all that a broker does to start a process.
    """
    try:
        return _compiled(folder, "the app", "-static", "answer.c")
    except MissingToolError:
        return _compiled(folder, "the app", "answer.c")


def compile_floor(folder: Path) -> Path:
    """The least that a program can do, compiled."""
    return _compiled(folder, "the epoll loop", "floor.c", "accept_key.c")


def _compiled(folder: Path, what: str, *arguments: str) -> Path:
    compiler = found("cc", f"there is no C compiler for {what}")
    sources = [each for each in arguments if each.endswith(".c")]
    options = [each for each in arguments if each not in sources]
    program = folder / Path(sources[0]).stem
    files = [str(PEERS / each) for each in sources]
    command = [compiler, "-O2", *options, "-o", str(program), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MissingToolError(f"{what} cannot be compiled: {done.stderr.strip()[-300:]}")
    return program
