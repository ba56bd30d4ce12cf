from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # tests/ is not installed

from tests.chaos.process import IS_VISIBLE


def pytest_collection_modifyitems(items):
    """All of this looks into /proc."""
    if not IS_VISIBLE:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="there is no /proc here"))
