"""The examples, run as a reader runs them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from phlows_cli.config import load_config
from tests.conformance.client import ClosedError, WebSocket
from tests.conformance.program import Growing, environment, free_port

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
APPS = ("python/app.py", pytest.param("php/app.php", marks=pytest.mark.php))
DEADLINE = 20.0
"""Seconds that anything may take: only a failure waits so long."""


class Demo:
    """`python examples/demo/demo.py` on a free port, with all it says."""

    def __init__(self, folder, app):
        self.port = free_port()
        command = [EXAMPLES / "demo/demo.py", "--port", str(self.port), "--app", EXAMPLES / app]
        folders = {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env={**environment(folder), **folders},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.lines = Growing()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._says("Open http://")

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                self.lines.add([line.rstrip("\n")])
        self.lines.add(["(the end)"])

    def _says(self, text):
        """Wait for a line of stderr."""
        self.lines.until(lambda lines: any(text in line or line == "(the end)" for line in lines))
        assert any(text in line for line in self.lines.all()), self.lines.all()

    def visitor(self, name):
        return Visitor(self.port, name)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


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
def demo(request, tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"), request.param)
    yield demo
    assert demo.stop() == 0, demo.lines.all()
    assert not [line for line in demo.lines.all() if "Traceback" in line], demo.lines.all()


def test_two_visitors_talk_and_see_each_other_come_and_go(demo):
    with demo.visitor("Ann") as ann:
        ann.sees(1, "Ann is here")
        with demo.visitor("Bob") as bob:
            ann.sees(2, "Bob is here")
            bob.sees(2, "Bob is here")
            bob.say(type="chat.send", text="hello there")
            assert ann.html() == '<li class="theirs"><b>Bob</b> <span>hello there</span></li>'
            assert bob.html() == '<li class="mine"><b>Bob</b> <span>hello there</span></li>'
        ann.sees(1, "Bob left")


def test_what_people_type_stays_text(demo):
    nasty = "<img src=x onerror=alert(1)> & \"quotes\" 'too' naïve ✓"
    with demo.visitor("<i>Eve</i>") as eve, demo.visitor("Ann") as ann:
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


def test_a_message_that_is_too_long_is_told_to_its_author_only(demo):
    with demo.visitor("Ann") as ann, demo.visitor("Bob") as bob:
        ann.sees(2)
        bob.say(type="chat.send", text="é" * 501)
        assert "500" in bob.until(lambda message: "toast" in message)["toast"]
        bob.say(type="chat.send", text="é" * 500)
        assert "é" * 500 in ann.html()


@pytest.mark.parametrize("text", [" ", "", None, 7, {"a": 1}])
def test_a_message_without_text_is_shown_to_no_one(demo, text):
    with demo.visitor("Ann") as ann:
        ann.sees(1)
        ann.say(type="chat.send", text=text)
        ann.say(type="chat.send", text="after")
        assert "after" in ann.html()


@pytest.mark.parametrize("name", ["", "  ", "n" * 31, "line\nbreak"])
def test_a_name_that_is_none_is_refused_for_good(demo, name):
    with demo.visitor(name) as visitor, pytest.raises(ClosedError) as closed:
        visitor.until(lambda _: False)
    assert closed.value.code == 4501


def test_the_page_is_served_and_needs_nothing_from_elsewhere(demo):
    with urllib.request.urlopen(f"http://127.0.0.1:{demo.port}/", timeout=DEADLINE) as answer:
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        page = answer.read().decode()
    assert page == (EXAMPLES / "demo/index.html").read_text(encoding="utf-8")
    elsewhere = re.findall(r"""(?:src|href|url|import)\W{1,3}((?:https?:)?//[^"')]+)""", page)
    assert elsewhere == []


def test_the_page_finds_every_element_that_it_and_the_apps_name(demo):
    page = (EXAMPLES / "demo/index.html").read_text(encoding="utf-8")
    ids = set(re.findall(r'\bid="(\w+)"', page))
    named = set(re.findall(r"\bpage\('(\w+)'\)", page))
    for app in ("python/app.py", "php/app.php"):
        named |= set(re.findall(r"""["']#(\w+)["']""", (EXAMPLES / app).read_text("utf-8")))
    assert named
    assert named <= ids


def test_the_demo_leaves_nothing_behind(tmp_path):
    demo = Demo(tmp_path, "python/app.py")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("phlows-demo-")]
    assert demo.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path, demo):
    command = [sys.executable, EXAMPLES / "demo/demo.py", "--port", str(demo.port)]
    folders = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command,
        env={**environment(tmp_path), **folders},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()  # and so no invitation, and no traceback
    assert line.startswith(f"demo: 127.0.0.1 port {demo.port} is in use: ")
    assert line.endswith(f"as in `make demo PORT={demo.port + 1}`")


def test_the_demo_invites_when_it_listens_and_names_its_app_without_detours(tmp_path):
    demo = Demo(tmp_path, "demo/../python/app.py")
    lines = demo.lines.all()
    assert demo.stop() == 0
    (banner,) = (n for n, line in enumerate(lines) if line.startswith("  listening "))
    (invitation,) = (n for n, line in enumerate(lines) if line.startswith("Open http://"))
    assert banner < invitation
    assert f"  hosts      127.0.0.1 -> {EXAMPLES / 'python/app.py'}  (auth: message)" in lines
    assert not [line for line in lines if ".." in line]


def test_an_app_that_is_not_there_ends_the_demo_with_an_error(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo/demo.py", "--port", "0", "--app", "nofile.php"],
        env={**environment(tmp_path), "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("demo: app nofile.php is not there: name a file, as in APP=")
    assert len(done.stderr.splitlines()) == 1


def test_the_demos_config_reads_without_a_problem():
    config = load_config(EXAMPLES / "demo/phlows.toml")
    assert set(config.hosts) == {"127.0.0.1", "localhost"}
    assert all(Path(host.app).is_file() for host in config.hosts.values())


@pytest.mark.php
def test_the_php_example_has_no_syntax_error():
    done = subprocess.run(
        ["php", "-l", EXAMPLES / "php/app.php"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_python_example_compiles_without_a_warning():
    files = sorted(EXAMPLES.rglob("*.py"))
    assert len(files) >= 2
    for path in files:
        compile(path.read_text(encoding="utf-8"), str(path), "exec", dont_inherit=True)


def test_a_tab_stores_its_name_only_while_it_is_left_since_duplicates_copy_what_is_stored():
    page = (EXAMPLES / "demo/index.html").read_text(encoding="utf-8")
    stored = re.findall(r"^.*sessionStorage\.setItem.*$", page, re.MULTILINE)
    assert stored == ["addEventListener('pagehide', () => sessionStorage.setItem('name', name))"]
    assert page.count("sessionStorage.removeItem('name')") == 2
