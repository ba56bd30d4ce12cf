"""Tests that need a program say so, and are never skipped unseen where all must run."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from tests import conftest
from tests.conftest import MODULES, PROGRAMS, pytest_runtest_setup


def setup(*markers):
    item = SimpleNamespace(get_closest_marker=lambda name: True if name in markers else None)
    pytest_runtest_setup(item)


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("PHLOWS_REQUIRE_ALL", raising=False)


@pytest.mark.parametrize("marker", PROGRAMS)
def test_a_missing_program_skips_its_tests_and_says_what_to_install(nothing_installed, marker):
    package = PROGRAMS[marker][1]
    with pytest.raises(pytest.skip.Exception, match=f"is missing: apt install {package}$"):
        setup(marker)


@pytest.mark.parametrize("marker", PROGRAMS)
def test_where_all_must_run_a_missing_program_is_a_failure(nothing_installed, monkeypatch, marker):
    monkeypatch.setenv("PHLOWS_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="allows no skipping"):
        setup(marker)


@pytest.mark.parametrize("marker", MODULES)
def test_a_missing_module_is_told_in_the_same_way(monkeypatch, marker):
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/it")
    monkeypatch.setattr(conftest, "find_spec", lambda _: None)
    monkeypatch.delenv("PHLOWS_REQUIRE_ALL", raising=False)
    module = MODULES[marker]
    with pytest.raises(pytest.skip.Exception, match=f"is missing: pip install {module}$"):
        setup(marker)


def test_a_test_without_such_a_marker_runs_anywhere(nothing_installed):
    setup()
    setup("parametrize")


def test_one_of_several_names_of_a_program_is_enough(nothing_installed, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/php" if name == "php" else None)
    setup("php")
