"""What `pip install` brings besides the package: the manual and the completions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from phlows_cli.cli.shells import FILES

ROOT = Path(__file__).parents[1]
PARTS = ("phlows_cli", "man", "completions", "pyproject.toml", "README.md", "LICENSE")
PLACES = {
    "bash": "share/bash-completion/completions/phlows",
    "zsh": "share/zsh/site-functions/_phlows",
    "fish": "share/fish/vendor_completions.d/phlows.fish",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy to build in: what a build leaves behind would be in the next one."""
    copy = tmp_path_factory.mktemp("source")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    """The wheel of this checkout, with a page of the manual that was just added."""
    (source / "man" / "phlows-just-added.1").write_text(".TH X 1\n")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--wheel-dir"]
    subprocess.run([*command, folder, source], capture_output=True, text=True, check=True)
    (path,) = folder.glob("phlows-*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def shared(wheel):
    """The files that go to the environment's share/, by their paths from its root."""
    names = (name.partition(".data/data/")[2] for name in wheel.namelist())
    return {name for name in names if name}


def text(wheel, name):
    (found,) = (each for each in wheel.namelist() if each.endswith(f".data/data/{name}"))
    return wheel.read(found).decode()


def test_every_page_of_the_manual_is_in_it_and_one_that_is_added_is(wheel):
    pages = {path.name for path in (ROOT / "man").glob("*.1")}
    there = {name for name in shared(wheel) if name.startswith("share/man/man1/")}
    assert len(pages) > 20
    assert there == {f"share/man/man1/{name}" for name in {*pages, "phlows-just-added.1"}}


@pytest.mark.parametrize("shell", PLACES)
def test_the_completions_are_where_each_shell_looks(wheel, shell):
    script = (ROOT / "completions" / FILES[shell]).read_text()
    assert text(wheel, PLACES[shell]) == script


def test_nothing_else_is_put_into_share(wheel):
    others = {name for name in shared(wheel) if not name.startswith("share/man/man1/")}
    assert others == set(PLACES.values())


def test_the_package_is_whole(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "phlows_cli").rglob("*.py")}
    assert modules <= set(wheel.namelist())
    assert "phlows_cli/py.typed" in wheel.namelist()
    assert not [name for name in wheel.namelist() if name.startswith(("tests", "benchmarks"))]


def test_an_environment_has_them_once_it_is_installed(wheel, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    command += ["--disable-pip-version-check", "--prefix", str(tmp_path), wheel.filename]
    subprocess.run(command, capture_output=True, check=True)
    assert (tmp_path / PLACES["zsh"]).is_file()
    assert (tmp_path / "share/man/man1/phlows-cast.1").is_file()
    assert (tmp_path / "bin" / "phlows").is_file()
