"""SECURITY.md names tests that there are, and a test for each of its lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))
THREATS = (
    "Who can reach the port",
    "A hostile web page",
    "A hostile client",
    "A hostile local user",
    "A compromised app of another host",
)


def section(heading):
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_is_named_exists(file, name):
    source = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)


@pytest.mark.parametrize("heading", THREATS)
def test_every_line_has_its_test_and_every_table_what_it_does_not_stop(heading):
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 5
    for line in lines:
        attempt, stop, shown = (cell.strip() for cell in line.strip("|").split("|"))
        assert attempt
        assert stop
        assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", shown), line
    assert "\nNot stopped: " in section(heading)


def test_a_fault_is_told_to_no_address_that_nobody_reads():
    assert "privately to the maintainers of the repository" in section("Reporting a fault")
    assert not re.search(r"\S@\S|https?://", TEXT)
