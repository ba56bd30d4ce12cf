"""A page made for the Node brokers, and a cast from a PHP page, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app.php_app import SDK, website
from tests.browser.conftest import ROOT, address

pytestmark = [pytest.mark.browser, pytest.mark.php]

HOST = "app.example.com"
PAGE = (Path(__file__).parent / "phlo_page.html").read_text()
ENGINE = ROOT / "tests" / "apps" / "phlo" / "www" / "chat.php"
ANN, BOB = "token%20of%20ann", "token%20of%20bob"

CASTING = f"""<?php
require '{SDK}';
$receipt = wsCast(
    wsHost: '{HOST}',
    wsPort: getenv('BROKER'),
    inner: ['#messages' => $_GET['text']],
);
// With an icon of its own the browser does not come again to ask for one.
echo '<link rel="icon" href="data:,"><p id="receipt">', json_encode($receipt);
"""


@pytest.fixture
def moved(start, tmp_path):
    """A broker with what docs/phlo.md says that the old setup becomes."""
    folder = tmp_path / "online"
    folder.mkdir()
    host = {
        "app": str(ENGINE),
        "hook_class": "websocket",
        "auth": "upgrade",
        "runtime": "resident",
        "env": {"ENGINE_STATE": str(folder)},
    }
    return start({HOST: host})


def test_a_page_of_the_node_broker_works_by_configuration_alone(moved, visit):
    ann = visit(address(moved, HOST), PAGE, cookie=ANN)
    ann.shows("#online-count", "1")
    bob = visit(address(moved, HOST), PAGE, cookie=BOB)
    ann.shows("#online-count", "2")
    bob.shows("#online-count", "2")
    bob.enters("#text", "hé <a>")
    ann.shows_all("#messages li", ["Bob: hé <a>"])
    ann.run("app.websocket.send({ type: 'ping' })")
    ann.shows("#pong", "number")
    bob.shows("#pong", "")
    bob.close()
    ann.shows("#online-count", "1")


def test_a_cast_is_applied_by_that_page(moved, visit):
    ann = visit(address(moved, HOST), PAGE, cookie=ANN)
    ann.shows("#online-count", "1")
    moved.cast(HOST, {"outer": {"#pong": "<i id=new>new</i>"}, "toast": "Hello", "path": "inbox"})
    ann.shows("#toasts", "Hello")
    ann.shows("#new", "new")
    ann.until("location.pathname === '/inbox'")


def test_that_page_comes_back_after_the_broker_was_away(moved, visit):
    ann = visit(address(moved, HOST), PAGE, cookie=ANN)
    ann.shows("#online-count", "1")
    ann.expects("WebSocket connection to .* failed")
    moved.process.kill()
    moved.start_again()
    ann.until("app.websocket.opened === 2")
    ann.enters("#text", "again")
    ann.shows_all("#messages li", ["Ann: again"])


def test_that_page_has_no_socket_without_a_login(moved, visit):
    eve = visit(address(moved, HOST), PAGE, cookie="token%20of%20eve", prepare=watch_sockets)
    eve.expects("WebSocket connection to .* failed: HTTP Authentication failed")
    eve.until("sockets.filter(socket => socket.readyState === 3).length === 2")
    assert eve.run("app.websocket.opened") == 0


def watch_sockets(page):
    page.add_init_script("""
      window.sockets = []
      window.WebSocket = class extends WebSocket {
        constructor (...given) { super(...given); sockets.push(this) }
      }
    """)


def test_a_cast_from_a_php_page_reaches_the_browser(moved, visit, tmp_path):
    page = tmp_path / "page.php"
    page.write_text(CASTING)
    ann = visit(address(moved, HOST), PAGE, cookie=ANN)
    ann.shows("#online-count", "1")
    with website(page, BROKER=str(moved.address[1])) as url:
        editor = visit(url + "?text=<b>from PHP</b>")
        receipt = json.loads(editor.page.inner_text("#receipt"))
    assert (receipt["status"], receipt["sent"]) == ("ok", 1)
    ann.shows("#messages b", "from PHP")
