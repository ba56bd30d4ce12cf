from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _nothing_fails_in_the_background(no_error_is_logged):
    pass
