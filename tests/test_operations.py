"""docs/operations.md names what there is: metrics, reasons of drops, log lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phlows_cli import settings
from phlows_cli.config import load_config
from phlows_cli.model import HOOK_NAMES, Outcome
from phlows_cli.server.metrics import Metrics
from tests.builders import Stage

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
SOURCES = [path.read_text("utf-8") for path in sorted((ROOT / "phlows_cli").rglob("*.py"))]


def section(heading):
    return TEXT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(heading):
    """What stands in backquotes in the first cell of each row."""
    lines = [line for line in section(heading).splitlines() if line.startswith("| `")]
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


def in_sources(pattern):
    return {found for source in SOURCES for found in re.findall(pattern, source)}


async def test_every_metric_is_described_with_its_type_and_labels():
    stage = Stage(automatic=HOOK_NAMES)
    metrics = Metrics(stage.broker, lambda: 0.0)
    stage.broker.on_hook = metrics.observe
    await stage.live()
    stage.broker.drops.count("bad message")
    text = metrics.render().decode()
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE))
    told = {
        name + labels_of(name, text): type_
        for name, type_ in types.items()
        if not name.endswith("_created")
    }
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|", section("Metrics"), re.MULTILINE)
    assert dict(rows) == told
    assert len(told) >= 12


def labels_of(name, text):
    """The labels of a metric's first sample, as the table writes them."""
    found = re.search(rf"^{name}(?:_count)?{{([^}}]*)}}", text, re.MULTILINE)
    return f"{{{','.join(re.findall(r'([a-z]+)=', found[1]))}}}" if found else ""


def test_every_reason_of_a_drop_is_described_and_no_other():
    counted = in_sources(r'drops\.count\(\s*"([^"]+)"')
    outcomes = set(Outcome) - {Outcome.ACCEPTED, Outcome.REFUSED}
    counted |= {f"{hook} {outcome}" for hook in (*HOOK_NAMES, "call") for outcome in outcomes}
    counted -= {"close overloaded"}  # close events are never refused
    assert set(first_cells("What is dropped where")) == counted


def test_every_log_line_that_is_described_is_written():
    written = in_sources(r'(?:log\.\w+|\.warn)\(\s*"([^"%]+)')
    for message in first_cells("Logs"):
        assert message.removesuffix(": ...") in {text.rstrip(": ") for text in written}, message


def test_every_outcome_is_named():
    assert all(f"`{outcome}`" in section("Metrics") for outcome in Outcome)


@pytest.mark.parametrize(
    "block", re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
)
def test_every_example_of_a_configuration_is_one(block, tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text(block)
    assert load_config(path).hosts


def test_every_setting_that_is_named_exists():
    known = {f"{name}.{s.name}" for name, table in settings.SECTIONS.items() for s in table}
    named = set(re.findall(r"`((?:server|limits|bridge)\.\w+)`", TEXT))
    assert named
    assert named <= known
