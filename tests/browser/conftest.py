"""The browser, its tabs, and the brokers that they talk to.

A page is not fetched from anywhere: the browser is told what stands at its address, on the
origin of the broker, as a web server in front of both would have it. Names under example.com
lead to this machine; such a page is not a "secure context", and phlows.js must not need one.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # tests/ is not installed

from tests.browser.tab import Tab
from tests.conformance.conftest import start  # noqa: F401 - a fixture
from tests.conftest import PROGRAMS

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--host-resolver-rules=MAP *.example.com 127.0.0.1",
    # A page that came from nowhere counts as one from the internet, kept from this machine.
    "--disable-features=LocalNetworkAccessChecks",
]
PATIENCE = 20_000
"""Milliseconds after which what a page should come to is told as missing."""


@pytest.fixture(scope="package")
def chromium():
    """One browser for all tests of this folder.

    It ends with the folder: as long as Playwright is started, this thread counts as running an
    event loop, and the async tests of other folders could not begin theirs.
    """
    from playwright.sync_api import expect, sync_playwright

    command = next(path for name in PROGRAMS["browser"][0] if (path := shutil.which(name)))
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=command,
            args=FLAGS,
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def agents():
    """A name for each visitor of the run, by which the broker tells them apart."""
    return (f"visitor {number}" for number in itertools.count())


@pytest.fixture
def visit(chromium, agents):
    """Opens pages that are there for one test."""
    with visits(chromium, agents) as visit:
        yield visit


@contextmanager
def visits(chromium, agents):
    """Yields visit(url, html, cookie=None); at the end nothing went wrong in any tab.

    Visitors with the same cookie are tabs of one browser; another cookie is another browser.
    """
    contexts, tabs = {}, []

    def context_of(cookie, url, options):
        if cookie not in contexts:
            agent = next(agents)
            contexts[cookie] = chromium.new_context(user_agent=agent, **options), agent
            contexts[cookie][0].set_default_timeout(PATIENCE)
            if cookie is not None:
                contexts[cookie][0].add_cookies([{"name": "token", "value": cookie, "url": url}])
        return contexts[cookie]

    def opened(url, html=None, *, cookie=None, prepare=None, **options):
        context, agent = context_of(cookie, url, options)
        if html is not None:
            context.route(url, lambda route: route.fulfill(content_type="text/html", body=html))
        tab = Tab(context.new_page(), agent)
        tabs.append(tab)
        if prepare is not None:
            prepare(tab.page)
        tab.page.goto(url)
        return tab

    yield opened
    for context, _ in contexts.values():
        context.close()
    for tab in tabs:
        tab.check()


def address(program, host, path="/"):
    """The address of a page on a host of a broker."""
    return f"http://{host}:{program.address[1]}{path}"


def let_in(program, count, host):
    """Wait until so many sockets of a host have been authenticated in all."""

    def find(events):
        found = [event for event in events if (event["type"], event["host"]) == ("auth", host)]
        return len(found) >= count

    program.events.until(find)
