"""The page of `phlows demo`, as its visitors use it."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.browser.conftest import ROOT, visits
from tests.conformance.program import environment
from tests.conftest import leave_out
from tests.ports import free_port

pytestmark = pytest.mark.browser

AXE = ROOT / "tests" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = "#people li span:not(.face)"
STAYING = ["Ann", "Bob", "Eve"]
LANGUAGES = ["python", pytest.param("php", marks=pytest.mark.php)]
ONCE = pytest.mark.parametrize("demo", ["python"], indirect=True)
"""For what is the same whatever the language of the app is."""

DEADLINE = 20.0
"""Seconds after which a demo that does not start or end is killed: then its test fails."""

FOUND = """async () => (await axe.run(document)).violations.map(
  ({ id, nodes }) => [id, ...nodes.map((node) => node.html + ' ' + node.failureSummary)])"""


class Demo:
    """`phlows demo`, as somebody starts it on a terminal."""

    def __init__(self, folder, language):
        self.url = f"http://127.0.0.1:{free_port()}/"
        port = self.url.rstrip("/").rpartition(":")[2]
        command = [sys.executable, "-m", "phlows_cli", "demo", "--port", port, "--lang", language]
        self._process = subprocess.Popen(
            command,
            env={**environment(folder), "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(DEADLINE, self._process.kill)
        self._watchdog.start()
        assert (
            self._process.stderr.readline()
            == f"Open {self.url[:-1]} in two tabs; Ctrl-C ends the demo.\n"
        )
        self._watchdog.cancel()
        self._lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self._lines += self._process.stderr

    def stop(self):
        """End it as Ctrl-C does; what it said is clean."""
        self._process.send_signal(signal.SIGINT)
        watchdog = threading.Timer(DEADLINE, self._process.kill)
        watchdog.start()
        code = self._process.wait()
        watchdog.cancel()
        self._reader.join()
        self._process.stderr.close()
        said = "".join(self._lines)
        assert (code, "Traceback" in said, " error " in said) == (0, False, False), said


@pytest.fixture(scope="module", params=LANGUAGES)
def demo(request, tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"), request.param)
    yield demo
    demo.stop()


@pytest.fixture(scope="module")
def tabs(demo, chromium, agents):
    """Three visitors, who stay through all the tests of a demo; Eve has a job run."""
    with visits(chromium, agents) as visit:
        tabs = {name: joined(visit(demo.url), name) for name in STAYING}
        tabs["Eve"].clicks("#job-run")
        tabs["Ann"].shows_all(NAMES, STAYING)
        yield tabs


@pytest.fixture
def ann(tabs):
    yield tabs["Ann"]
    tabs["Ann"].check()


@pytest.fixture
def bob(tabs):
    yield tabs["Bob"]
    tabs["Bob"].check()


@pytest.fixture
def eve(tabs):
    yield tabs["Eve"]
    tabs["Eve"].check()


def joined(tab, name):
    """Wait until a tab is live, and give it a name."""
    tab.shows("#state", "live")
    tab.enters("#name", name)
    tab.shows(f"#people li:has-text('{name}') span:not(.face)", name)
    return tab


def test_who_is_here_is_seen_at_once_and_gone_with_the_tab(demo, visit, ann, bob):
    zoe = joined(visit(demo.url), "Zoe")
    for tab in (ann, bob, zoe):
        tab.shows_all(NAMES, [*STAYING, "Zoe"])
        tab.shows("#count", "4")
    zoe.enters("#name", "Zoey")
    ann.shows_all(NAMES, [*STAYING, "Zoey"])
    zoe.close()
    for tab in (ann, bob):
        tab.shows_all(NAMES, STAYING)
        tab.shows("#count", "3")


def test_a_message_is_text_in_every_tab(ann, bob):
    ann.enters("#say-text", "<b>hi</b> é✓")
    bob.shows("#messages li.theirs:last-child p > span", "<b>hi</b> é✓")
    ann.shows("#messages li.mine:last-child p > span", "<b>hi</b> é✓")
    ann.has("#say-text", value="")


def test_a_newcomer_finds_what_was_said_and_voted(demo, visit, ann):
    ann.enters("#say-text", "for later")
    ann.clicks("#vote-alerts")
    ann.has("#vote-alerts", ariaPressed="true")
    late = visit(demo.url)
    late.shows("#messages li:last-child p > span", "for later")
    late.shows("#votes-alerts", ann.page.inner_text("#votes-alerts"))


def test_a_vote_moves_the_bars_of_every_tab(ann, bob):
    for voter, choice in ((ann, "game"), (bob, "game"), (bob, "board")):
        voter.clicks(f"#vote-{choice}")
    for tab in (ann, bob):
        tab.shows("#votes", "2 votes")
        tab.has("#bar-game", value=50)
        tab.has("#bar-board", value=50)
    ann.has("#vote-game", ariaPressed="true")
    bob.has("#vote-board", ariaPressed="true")
    bob.has("#vote-game", ariaPressed="false")


def test_a_cast_reaches_those_it_is_meant_for(ann, bob):
    toasts = ".phlows-toast span"
    ann.enters("#cast-text", "to all")
    for tab in (ann, bob):
        tab.shows_all(toasts, ["Ann: to all"])
    ann.shows("#receipt", "reached 3 tabs")
    ann.page.select_option("#cast-to", "others")
    ann.enters("#cast-text", "not to me")
    bob.shows_all(toasts, ["Ann: to all", "Ann: not to me"])
    ann.shows("#receipt", "reached 2 tabs")
    ann.shows_all(toasts, ["Ann: to all"])
    for tab, count in ((ann, 1), (bob, 2)):
        for _ in range(count):
            tab.page.keyboard.press("Escape")
        tab.shows_all(toasts, [])


@ONCE
def test_the_job_is_followed_step_by_step_and_can_be_stopped(ann, bob):
    ann.clicks("#job-run")
    ann.shows("#job-percent", re.compile(r"^[1-9]\d?%$"))
    ann.clicks("#job-run")
    ann.shows("#job-step", "Stopped.")
    ann.shows("#job-run", "Run again")
    ann.shows("#job-percent", re.compile(r"^[1-9]\d?%$"))
    bob.shows("#job-percent", "0%")  # who has asked for it follows it, and nobody else


@ONCE
def test_a_job_ends_with_a_whole_bar(eve):
    eve.shows("#job-step", "The report is ready.")
    eve.has("#job-bar", value=100)
    eve.shows("#job-percent", "100%")


@ONCE
def test_the_frames_go_by_and_can_be_paused(ann):
    ann.shows("#frames", re.compile('"type":"join"'))
    ann.clicks("#pause")
    before, sent = ann.page.text_content("#frames"), int(ann.page.inner_text("#out"))
    ann.clicks("#vote-chat")
    ann.shows("#out", str(sent + 1))
    ann.has("#vote-chat", ariaPressed="true")
    assert ann.page.text_content("#frames") == before
    ann.clicks("#pause")
    ann.clicks("#vote-board")
    ann.shows("#frames", re.compile('"choice":"board"'))


@ONCE
def test_axe_finds_nothing_on_phones_and_screens_in_light_and_dark(eve):
    if not AXE.exists():
        leave_out("axe-core is missing: npm ci --prefix tests/browser")
    eve.clicks("#job-run")
    eve.enters("#cast-text", "hello")
    eve.shows(".phlows-toast:last-child span", "Eve: hello")
    eve.page.evaluate(AXE.read_text())
    for width, scheme in itertools.product((375, 1280), ("light", "dark")):
        eve.page.set_viewport_size({"width": width, "height": 900})
        eve.page.emulate_media(color_scheme=scheme)
        assert eve.run(FOUND) == []
        assert eve.run("document.documentElement.scrollWidth <= innerWidth")
