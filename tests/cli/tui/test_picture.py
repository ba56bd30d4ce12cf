from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from phlows_cli.cli.tui.picture import svg
from tests.cli.tui.lively import lively

IMAGES = Path(__file__).parents[3] / "docs" / "images"


def test_the_picture_is_a_whole_svg_that_loads_nothing():
    drawn = svg(lively(), "a <title>")
    root = ET.fromstring(drawn)
    assert root.tag.endswith("svg")
    text = "".join(root.itertext()).replace("\xa0", " ")
    assert "a <title>" in text
    assert "● connected" in text
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", drawn)
    assert set(re.findall(r"https?://[\w./]+", drawn)) <= {
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
        "http://127.0.0.1",
    }


def test_the_picture_that_is_checked_in_shows_what_would_be_drawn(tmp_path):
    command = [sys.executable, IMAGES / "make_tail_picture.py", tmp_path / "tail.svg"]
    subprocess.run(command, check=True)
    assert words(tmp_path / "tail.svg") == words(IMAGES / "tail.svg")


def words(path):
    """What can be read in it; how it is drawn depends on the version of rich."""
    return "".join(ET.parse(path).getroot().itertext()).rpartition("}")[2].split()
