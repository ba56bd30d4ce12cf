"""Whether an app is there and parses. Its code is never run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import PhlowsError, TimedOutError

if TYPE_CHECKING:
    from phlows_cli.config import Interpreters

LINT_TIMEOUT: Final = 30.0
"""Seconds to parse one file: a cold interpreter needs one."""

_PHP_TO_STDERR: Final = ("-d", "display_errors=stderr", "-d", "log_errors=0", "-d", "html_errors=0")
_COMPILE: Final = """
import sys
try:
    with open(sys.argv[1], "rb") as file:
        compile(file.read(), sys.argv[1], "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    sys.exit(f"{error}")
"""


class AppError(PhlowsError):
    """An app cannot be run as it is."""

    exit_code = 2


def check_app(app: str, interpreters: Interpreters, timeout: float = 0.0) -> None:
    """Check that an app is a readable file and that it parses.

    Args:
        app: its absolute path; .php and .py go through their interpreter's
            parser, anything else must be executable.
        interpreters: those of the config.
        timeout: seconds that its parser may take; 0: LINT_TIMEOUT.

    Raises:
        AppError: it cannot be run; with what to do.
        TimedOutError: its parser took longer.
    """
    timeout = timeout or LINT_TIMEOUT
    _check_file(Path(app))
    kind = Path(app).suffix.lower()
    if kind == ".php":
        _check_php(app, interpreters.php, timeout)
    elif kind == ".py":
        _check_source(app, [interpreters.py, "-I", "-W", "ignore", "-c", _COMPILE, app], timeout)
    elif not os.access(app, os.X_OK):
        raise AppError(f"{app}: is not executable: run chmod +x, or name a .php or .py file")


def _check_file(path: Path) -> None:
    try:
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:  # a folder on the way is closed to this user
        raise AppError(f"{path}: cannot be reached: {error.strerror}") from None
    if not is_there:
        raise AppError(f"{path}: there is no such file: name the app's file")
    if not is_file:
        raise AppError(f"{path}: is not a file: name the app's file")


def _check_php(app: str, php: str, timeout: float) -> None:
    if not php:
        raise AppError(
            f"{app}: there is no PHP on PATH to run it: install PHP's command line "
            "(Debian: apt install php-cli; macOS: brew install php), or name it in interpreters.php"
        )
    _check_source(app, [php, *_PHP_TO_STDERR, "-l", app], timeout)


def _check_source(app: str, command: list[str], timeout: float) -> None:
    import subprocess

    if not os.access(app, os.R_OK):
        raise AppError(f"{app}: cannot be read: give its reader permission, as with chmod +r")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TimedOutError(
            f"{app}: {command[0]} took over {timeout:g} seconds to parse it: "
            "--no-check leaves that out"
        ) from None
    except OSError as error:
        raise AppError(f"{command[0]}: cannot be started: {error.strerror}") from None
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).decode(errors="replace").split())
        raise AppError(f"{app}: does not parse: {said or f'exit code {done.returncode}'}")
