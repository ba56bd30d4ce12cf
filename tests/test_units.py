"""The systemd units of the examples: valid, and with time to drain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phlows_cli.config import load_config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "systemd"
UNITS = ("phlows.socket", "phlows.service")


@pytest.mark.systemd
def test_systemd_finds_no_fault_with_the_units(tmp_path):
    for name in UNITS:
        # What it starts must be there.
        text = (FOLDER / name).read_text().replace("/usr/local/bin/phlows", sys.executable)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [shutil.which("systemd-analyze"), "verify", "--man=no", *UNITS],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    faults = [line for line in done.stderr.splitlines() if "phlows" in line]
    assert (done.returncode, faults) == (0, [])


def test_the_service_has_time_to_drain():
    unit = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / "phlows.service").read_text(), re.MULTILINE))
    assert int(unit["TimeoutStopSec"]) > load_config(None).server.drain_timeout
    assert unit["Type"] == "notify"
    assert unit["KillMode"] == "mixed"
