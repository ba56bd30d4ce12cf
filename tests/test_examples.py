"""The examples, run as a reader runs them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import tomli_w

from tests.conformance.client import ClosedError, WebSocket
from tests.ports import free_port
from tests.started import Started

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
APPS = ("python/app.py", pytest.param("php/app.php", marks=pytest.mark.php))


class Chat(Started):
    """`phlows serve` with one of the apps, on a free port."""

    def __init__(self, folder, app):
        self.port = free_port()
        host = {"app": str(EXAMPLES / app), "env": {"PYTHONPATH": str(ROOT)}}
        config = {
            "server": {"port": self.port, "state_dir": str(folder)},
            "hosts": {"127.0.0.1": host},
        }
        path = folder / "phlows.toml"
        path.write_text(tomli_w.dumps(config))
        super().__init__(folder, "serve", "--config", path, ready="listening")

    def visitor(self, name):
        return Visitor(self.port, name)


class Visitor:
    """A tab: it connects, says its name and reads what it is sent."""

    def __init__(self, port, name):
        self._socket = WebSocket.open(("127.0.0.1", port), "127.0.0.1")
        self._socket.authenticate(name)
        self.say(type="join")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.drop()

    def say(self, **message):
        self._socket.send(message)

    def until(self, fits):
        """The first message that fits, of those not looked at yet."""
        while not fits(message := self._socket.receive_json()):
            pass
        return message

    def sees(self, number, news=""):
        """Wait until the page is told of so many visitors, and why."""
        self.until(
            lambda message: (
                message.get("inner") == {"#online": str(number)}
                and news in message["append"]["#messages"]
            )
        )

    def html(self):
        """The next message of a visitor, as the page will show it."""
        message = self.until(lambda m: "<b>" in m.get("append", {}).get("#messages", ""))
        return message["append"]["#messages"]


@pytest.fixture(scope="module", params=APPS)
def chat(request, tmp_path_factory):
    chat = Chat(tmp_path_factory.mktemp("chat"), request.param)
    yield chat
    assert chat.stop() == 0, chat.lines.all()


def test_two_visitors_talk_and_see_each_other_come_and_go(chat):
    with chat.visitor("Ann") as ann:
        ann.sees(1, "Ann is here")
        with chat.visitor("Bob") as bob:
            ann.sees(2, "Bob is here")
            bob.sees(2, "Bob is here")
            bob.say(type="chat.send", text="hello there")
            assert ann.html() == '<li class="theirs"><b>Bob</b> <span>hello there</span></li>'
            assert bob.html() == '<li class="mine"><b>Bob</b> <span>hello there</span></li>'
        ann.sees(1, "Bob left")


def test_what_people_type_stays_text(chat):
    nasty = "<img src=x onerror=alert(1)> & \"quotes\" 'too' naïve ✓"
    with chat.visitor("<i>Eve</i>") as eve, chat.visitor("Ann") as ann:
        ann.sees(2)
        eve.say(type="chat.send", text=nasty)
        shown = ann.html()
    assert set(re.findall(r"<[^>]*>", shown)) == {
        '<li class="theirs">',
        "<b>",
        "</b>",
        "<span>",
        "</span>",
        "</li>",
    }
    assert "naïve ✓" in shown
    assert "&lt;i&gt;Eve&lt;/i&gt;" in shown


def test_a_message_that_is_too_long_is_told_to_its_author_only(chat):
    with chat.visitor("Ann") as ann, chat.visitor("Bob") as bob:
        ann.sees(2)
        bob.say(type="chat.send", text="é" * 501)
        assert "500" in bob.until(lambda message: "toast" in message)["toast"]
        bob.say(type="chat.send", text="é" * 500)
        assert "é" * 500 in ann.html()


@pytest.mark.parametrize("text", [" ", "", None, 7, {"a": 1}])
def test_a_message_without_text_is_shown_to_no_one(chat, text):
    with chat.visitor("Ann") as ann:
        ann.sees(1)
        ann.say(type="chat.send", text=text)
        ann.say(type="chat.send", text="after")
        assert "after" in ann.html()


@pytest.mark.parametrize("name", ["", "  ", "n" * 31, "line\nbreak"])
def test_a_name_that_is_none_is_refused_for_good(chat, name):
    with chat.visitor(name) as visitor, pytest.raises(ClosedError) as closed:
        visitor.until(lambda _: False)
    assert closed.value.code == 4501


@pytest.mark.php
def test_the_php_example_has_no_syntax_error():
    done = subprocess.run(
        ["php", "-l", EXAMPLES / "php/app.php"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_python_example_compiles_without_a_warning():
    files = sorted(EXAMPLES.rglob("*.py"))
    assert files
    for path in files:
        compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)
