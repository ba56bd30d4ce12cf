"""Who starts the broker: one service manager, with enough descriptors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from phlows_cli.cli.doctor.check import Case, Check, Result, fail, ok, skip, warn
from phlows_cli.cli.doctor.system import KEPT_DESCRIPTORS, room_for_sockets

GROUP: Final = "System"

UNIT_FOLDERS: Final = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
)
SUPERVISOR_FOLDERS: Final = ("/etc/supervisor/conf.d", "/etc/supervisord.d", "/etc/supervisor.d")
TEXT_LIMIT: Final = 1024 * 1024
FILES_READ: Final = 200


def managers(root: Path, home: Path) -> dict[str, list[Path]]:
    """Which service managers have a file that starts phlows, and the files."""
    units = _that_start(root, UNIT_FOLDERS, "*.service")
    units += _that_start(home, (".config/systemd/user",), "*.service")
    found = {
        "systemd": units,
        "supervisor": _that_start(root, SUPERVISOR_FOLDERS, "*.*"),
        "pm2": _that_start(home, (".pm2",), "dump.pm2"),
    }
    return {name: files for name, files in found.items() if files}


def _that_start(root: Path, folders: tuple[str, ...], pattern: str) -> list[Path]:
    files = [file for name in folders for file in sorted((root / name.lstrip("/")).glob(pattern))]
    return [file for file in files[:FILES_READ] if "phlows" in _text(file)]


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(TEXT_LIMIT)
    except OSError:
        return ""


def _managers(_case: Case, _subject: str) -> Result:
    return judge(managers(Path("/"), Path.home()))


def judge(found: dict[str, list[Path]]) -> Result:
    """Two managers fight over the port, each restarting what the other started."""
    if not found:
        return skip("no systemd unit, supervisor or pm2 file starts phlows")
    names = ", ".join(f"{name} ({', '.join(map(str, files))})" for name, files in found.items())
    if len(found) == 1:
        return ok(f"started by {names}")
    return warn(f"started by more than one: {names}", "keep one, disable the others")


def _unit_descriptors(case: Case, _subject: str) -> Result:
    from phlows_cli.cli.doctor.programs import run

    units = managers(Path("/"), Path.home()).get("systemd", [])
    program = shutil.which("systemctl")
    if not units or program is None:
        return skip("no systemd unit starts phlows here")
    told = run([program, "show", "--property=LimitNOFILE", "--value", units[0].name], case.timeout)
    return judge_unit(case, units[0].name, told.stdout.strip())


def judge_unit(case: Case, unit: str, told: str) -> Result:
    """Whether a unit's LimitNOFILE is enough for the configured sockets."""
    if told == "infinity":
        return ok(f"{unit} has no limit of descriptors")
    if not told.isdecimal():
        return skip(f"systemd does not tell the limit of {unit}")
    _, wanted = room_for_sockets(case)
    need = (wanted or 1024) + KEPT_DESCRIPTORS
    if int(told) >= need:
        return ok(f"{unit} has LimitNOFILE={told}")
    return fail(
        f"{unit} has LimitNOFILE={told}, but {need} are needed",
        f"`systemctl edit {unit}`: [Service] LimitNOFILE={need}, then restart it",
    )


CHECKS: Final = (
    Check(GROUP, "service-managers", _managers),
    Check(GROUP, "unit-descriptors", _unit_descriptors),
)
