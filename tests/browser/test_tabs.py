"""Tabs that see each other: chat, presence, and a broker that goes away and comes back."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.browser.conftest import ROOT, address, let_in
from tests.browser.pages import hurry, page
from tests.conformance.program import Program

pytestmark = pytest.mark.browser

HOST = "app.example.com"
ROOMS = [f"room{number}.example.com" for number in range(10)]
ROOM = ROOT / "tests" / "apps" / "room.py"
ANN, BOB = "token%20of%20ann", "token%20of%20bob"
BODY = """<b id="online-count">0</b><ol id="chat"></ol><ol id="messages"></ol>
<input id="text" aria-label="Message">"""
SAYS = """document.querySelector('#text').onchange = (event) =>
  app.websocket.send({ type: 'chat.send', text: event.target.value })"""
CONNECTS_ITSELF = page(BODY, SAYS, tag="")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A broker whose hosts tell everyone how many are there; each test takes one."""
    app = {"app": str(ROOM), "runtime": "resident", "auth": "upgrade"}
    app["env"] = {"PYTHONPATH": str(ROOT)}
    program = Program(tmp_path_factory.mktemp("rooms"), dict.fromkeys(ROOMS, app))
    yield program
    program.stop()


@pytest.fixture(scope="module")
def free_rooms():
    return iter(ROOMS)


@pytest.fixture
def host(free_rooms):
    return next(free_rooms)


@pytest.fixture
def ann_and_bob(rooms, host, visit):
    ann = visit(address(rooms, host), CONNECTS_ITSELF, cookie=ANN, prepare=hurry)
    ann.shows("#online-count", "1")
    bob = visit(address(rooms, host), CONNECTS_ITSELF, cookie=BOB, prepare=hurry)
    for tab in (ann, bob):
        tab.shows("#online-count", "2")
    return ann, bob


def test_two_visitors_see_each_other_and_their_chat(ann_and_bob):
    ann, bob = ann_and_bob
    ann.enters("#text", "<b>hello</b> é✓")
    bob.shows_all("#chat p", ["ann <b>hello</b> é✓"])
    ann.shows_all("#chat p", ["ann <b>hello</b> é✓"])
    assert ann.run("document.querySelector('#text').value") == ""
    bob.enters("#text", "hi")
    ann.shows_all("#chat p", ["ann <b>hello</b> é✓", "bob hi"])


def test_a_closed_tab_leaves_presence(ann_and_bob, rooms, host, visit):
    ann, bob = ann_and_bob
    second = visit(address(rooms, host), CONNECTS_ITSELF, cookie=BOB, prepare=hurry)
    ann.shows("#online-count", "3")
    second.close()
    ann.shows("#online-count", "2")
    bob.close()
    ann.shows("#online-count", "1")
    assert len(rooms.presence(host)) == 1


def test_a_page_that_is_left_leaves_presence(ann_and_bob):
    ann, bob = ann_and_bob
    bob.page.goto("about:blank")
    ann.shows("#online-count", "1")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_open_tabs_come_back_to_a_broker_that_was_away(ann_and_bob, rooms, end):
    for tab in ann_and_bob:
        tab.expects("WebSocket connection to .* failed")
        tab.do("document.querySelector('#online-count').textContent = 'stale'")
    rooms.signal(end)
    for tab in ann_and_bob:
        tab.until("app.websocket.state !== 'open'")
    rooms.start_again()
    for tab in ann_and_bob:
        tab.shows("#online-count", "2")
        tab.until("app.websocket.state === 'open'")
    ann, bob = ann_and_bob
    ann.enters("#text", "again")
    bob.shows_all("#chat p", ["ann again"])


@pytest.mark.php
def test_the_chat_in_php_works_with_a_token_of_the_page(start, visit, tmp_path):
    for file in ("examples/php/chat.php", "phlows_cli/assets/phlows.php"):
        shutil.copy(ROOT / file, tmp_path)
    chat = start({HOST: {"app": str(tmp_path / "chat.php"), "runtime": "resident"}})

    tabs = []
    for name in ("Ann", "Bob"):
        script = f"app = {{ websocket: phlows.connect({{ token: 'token of {name}' }}) }}; {SAYS}"
        tabs.append(visit(address(chat, HOST, f"/{name}"), page(BODY, script)))
        let_in(chat, len(tabs), HOST)
    tabs[0].enters("#text", "<hello>")
    for tab in tabs:
        tab.shows_all("#messages li", ["Ann <hello>"])
