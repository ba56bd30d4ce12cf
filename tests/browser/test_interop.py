"""A page made for the Node brokers, and a cast from a PHP page, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app.php_app import SDK, website
from tests.browser.conftest import ROOT, address
from tests.conformance.program import Program

pytestmark = [pytest.mark.browser, pytest.mark.php]

HOSTS = [f"app{number}.example.com" for number in range(5)]
PAGE = (Path(__file__).parent / "phlo_page.html").read_text()
ENGINE = ROOT / "tests" / "apps" / "phlo" / "www" / "chat.php"
ANN, BOB = "token%20of%20ann", "token%20of%20bob"

CASTING = f"""<?php
require '{SDK}';
$receipt = wsCast(
    wsHost: getenv('HOST'),
    wsPort: getenv('BROKER'),
    inner: ['#messages' => $_GET['text']],
);
// With an icon of its own the browser does not come again to ask for one.
echo '<link rel="icon" href="data:,"><p id="receipt">', json_encode($receipt);
"""


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A broker with what docs/phlo.md says that the old setup becomes; each test takes a host."""
    folder = tmp_path_factory.mktemp("moved")
    program = Program(folder / "broker", {name: moved_host(folder / name, name) for name in HOSTS})
    yield program
    program.stop()


def moved_host(folder, name):
    folder.mkdir()
    return {
        "app": str(ENGINE),
        "hook_class": "websocket",
        "auth": "upgrade",
        "runtime": "resident",
        "env": {"ENGINE_STATE": str(folder), "ENGINE_HOST": name},
    }


@pytest.fixture(scope="module")
def free_hosts():
    return iter(HOSTS)


@pytest.fixture
def host(free_hosts):
    return next(free_hosts)


@pytest.fixture
def ann(moved, host, visit):
    ann = visit(address(moved, host), PAGE, cookie=ANN)
    ann.shows("#online-count", "1")
    return ann


def test_a_page_of_the_node_broker_works_by_configuration_alone(moved, host, visit, ann):
    bob = visit(address(moved, host), PAGE, cookie=BOB)
    ann.shows("#online-count", "2")
    bob.shows("#online-count", "2")
    bob.enters("#text", "hé <a>")
    ann.shows_all("#messages li", ["Bob: hé <a>"])
    ann.run("app.websocket.send({ type: 'ping' })")
    ann.shows("#pong", "number")
    bob.shows("#pong", "")
    bob.close()
    ann.shows("#online-count", "1")


def test_a_cast_is_applied_by_that_page(moved, host, ann):
    moved.cast(host, {"outer": {"#pong": "<i id=new>new</i>"}, "toast": "Hello", "path": "inbox"})
    ann.shows("#toasts", "Hello")
    ann.shows("#new", "new")
    ann.until("location.pathname === '/inbox'")


def test_that_page_comes_back_after_the_broker_was_away(moved, ann):
    ann.expects("WebSocket connection to .* failed")
    moved.process.kill()
    moved.start_again()
    ann.until("app.websocket.opened === 2")
    ann.enters("#text", "again")
    ann.shows_all("#messages li", ["Ann: again"])


def test_that_page_has_no_socket_without_a_login(moved, host, visit):
    eve = visit(address(moved, host), PAGE, cookie="token%20of%20eve", prepare=watch_sockets)
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


def test_a_cast_from_a_php_page_reaches_the_browser(moved, host, visit, ann, tmp_path):
    page = tmp_path / "page.php"
    page.write_text(CASTING)
    with website(page, BROKER=str(moved.address[1]), HOST=host) as url:
        editor = visit(url + "?text=<b>from PHP</b>")
        receipt = json.loads(editor.page.inner_text("#receipt"))
    assert (receipt["status"], receipt["sent"]) == ("ok", 1)
    ann.shows("#messages b", "from PHP")
