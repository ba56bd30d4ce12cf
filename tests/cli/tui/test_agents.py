from __future__ import annotations

import pytest

from phlows_cli.cli.tui.agents import short_agent
from tests.cli.tui.lively import AGENTS

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "short"),
    [
        *zip(
            AGENTS,
            (
                "Chrome 142 / Linux",
                "Safari 26 / macOS",
                "Firefox 145 / Windows",
                "Safari 26 / iPhone",
                "kiosk/7.2",
            ),
            strict=True,
        ),
        (f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge 142 / Windows"),
        (f"{WINDOWS} HeadlessChrome/142.0.0.0 Safari/537.36", "Headless Chrome 142 / Windows"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:145.0) Firefox/145.0", "Firefox 145 / Android"),
        ("Mozilla/5.0 (compatible; Somebot/1.0)", "Mozilla/5.0 (compatible; Somebot/1.0)"),
        ("", ""),
    ],
)
def test_agents_are_named_as_people_do(agent, short):
    assert short_agent(agent) == short
