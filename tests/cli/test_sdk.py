from __future__ import annotations

import json
from pathlib import Path

import pytest

import phlows_cli

ASSETS = Path(phlows_cli.__file__).parent / "assets"
FILES = {"phlows.php": (), "composer.json": ("--composer",)}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_printed_as_it_is(phlows, name):
    text = (ASSETS / name).read_text()
    assert phlows("sdk", "php", *FILES[name]).stdout == text
    answer = json.loads(phlows("sdk", "php", *FILES[name], "--json").stdout)
    assert answer == {"language": "php", "file": name, "text": text}


def test_composer_finds_the_file_beside_its_json(phlows):
    package = json.loads(phlows("sdk", "php", "--composer").stdout)
    assert package["name"] == "phlows/phlows"
    assert package["require"] == {"php": ">=8.1"}
    assert all((ASSETS / name).is_file() for name in package["autoload"]["files"])


def test_a_language_without_a_file_is_a_usage_error(phlows):
    result = phlows("sdk", "cobol")
    assert result.exit_code == 2
    assert "php" in result.stderr
