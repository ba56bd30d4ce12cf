"""The pages that the tests open, and phlows.js as it stands in the source."""

from __future__ import annotations

from tests.browser.conftest import ROOT

SOURCE = ROOT / "phlows_cli" / "assets" / "phlows.js"
NOWHERE = "http://page.example.com:8080/"
"""Where a page stands that talks to no broker; without a port the browser would try https first."""


def page(body, script="", tag='data-connect="false"'):
    """A page that includes phlows.js as a classic script, and does no more than it is told."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>a page</title><link rel="icon" href="data:,">
<script src="/phlows.js" {tag}></script></head>
<body>{body}<script>{script}</script></body></html>"""


def served(context, url):
    """Have the browser find phlows.js beside a page that no broker serves."""
    text = SOURCE.read_text()
    context.route(
        url + "phlows.js",
        lambda route: route.fulfill(content_type="text/javascript", body=text),
    )


def hurry(page):
    """Let a page try again soon: how long it waits is tested elsewhere."""
    page.add_init_script("Math.random = () => 0.1")
