from __future__ import annotations

from tests.runtime.conftest import gate, leaves_nothing_behind  # noqa: F401 - fixtures
