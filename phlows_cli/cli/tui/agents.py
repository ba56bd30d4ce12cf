"""User agents, as short as people say them: "Chrome 142 / Linux"."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

BROWSERS: Final = (
    (r"\bEdg(?:e|A|iOS)?/(\d+)", "Edge"),
    (r"\b(?:OPR|Opera)/(\d+)", "Opera"),
    (r"\bVivaldi/(\d+)", "Vivaldi"),
    (r"\bSamsungBrowser/(\d+)", "Samsung"),
    (r"\b(?:Firefox|FxiOS)/(\d+)", "Firefox"),
    (r"\b(?:HeadlessChrome)/(\d+)", "Headless Chrome"),
    (r"\b(?:Chrome|CriOS|Chromium)/(\d+)", "Chrome"),
    (r"\bVersion/(\d+)\S* (?:Mobile/\S+ )?Safari/", "Safari"),
)
"""Patterns in order: a browser also names those that it is like."""

SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)


@lru_cache(2048)
def short_agent(agent: str) -> str:
    """Name the browser and the system; what is no browser stays as it is."""
    if not agent.startswith("Mozilla/"):
        return agent
    browser = next((f"{name} {found[1]}" for name, found in _found(agent) if found), "")
    system = next((name for word, name in SYSTEMS if word in agent), "")
    return " / ".join(filter(None, (browser, system))) or agent


def _found(agent: str) -> list[tuple[str, re.Match[str] | None]]:
    return [(name, re.search(pattern, agent)) for pattern, name in BROWSERS]
