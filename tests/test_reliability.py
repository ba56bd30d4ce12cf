"""docs/reliability.md names a test for each promise, and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "reliability.md").read_text("utf-8")
LINES = [
    line
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| fault", "| change"))
]


def test_there_are_promises():
    assert len(LINES) > 20


@pytest.mark.parametrize("line", LINES)
def test_each_promise_has_a_test_that_exists(line):
    fault, promise, shown = (cell.strip() for cell in line.strip("|").split("|"))
    assert fault
    assert promise
    file, name = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown).groups()
    source = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
