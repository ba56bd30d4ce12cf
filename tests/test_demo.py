"""`phlows demo`, run as a newcomer runs it."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

import phlows_cli
from phlows_cli import demo, demo_job
from phlows_cli.demo_job import JOBS_AT_ONCE, PHASES, STEPS, JobServer
from phlows_cli.errors import UsageError
from tests.conformance.client import WebSocket
from tests.ports import free_port
from tests.started import DEADLINE, Started, failed

ASSETS = Path(phlows_cli.__file__).parent / "assets" / "demo"
LANGUAGES = ["python", pytest.param("php", marks=pytest.mark.php)]
ANN, BOB = "a" * 32, "0" * 31 + "1"
CHOICES = ("chat", "board", "game", "alerts")


class Demo(Started):
    """`phlows demo` on a free port."""

    def __init__(self, folder, *arguments, ready="phlows tail"):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(folder, "demo", "--port", self.port, *arguments, ready=ready)

    def page(self, path="/"):
        with urllib.request.urlopen(self.url + path, timeout=DEADLINE) as answer:
            return answer.headers["content-type"], answer.read().decode()

    def visitor(self, token, name, host="127.0.0.1"):
        return Visitor(self.port, token, name, host)

    @contextmanager
    def job(self, origin=None, method="POST"):
        """The answer of the job's server; its lines are read by who asked."""
        address, path = re.search(r'data-job="http://([^"/]+)([^"]+)"', self.page()[1]).groups()
        connection = HTTPConnection(address, timeout=DEADLINE)
        headers = {"Origin": self.url if origin is None else origin}
        connection.request(method, path, headers=headers)
        with closing(connection), connection.getresponse() as answer:
            yield answer


class Visitor:
    """A tab: it connects, says its token and its name, and reads what it is sent."""

    def __init__(self, port, token, name, host):
        self.socket = WebSocket.open(("127.0.0.1", port), host)
        self.socket.authenticate(token)
        self.say("join", name=name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()  # in order: no later test counts this socket

    def say(self, kind, **message):
        self.socket.send({"type": kind, **message})

    def until(self, command, selector=None, fits=lambda _: True):
        """The value of a command, once one comes that fits."""
        while True:
            value = self.socket.receive_json().get(command)
            if value is not None and selector is not None:
                value = value.get(selector)
            if value is not None and fits(value):
                return value

    def sees(self, count):
        """The names on the list, once there are so many people."""
        inner = self.until("inner", fits=lambda inner: inner.get("#count") == str(count))
        return re.findall(r"<span>([^<]*)</span>", inner["#people"])


@pytest.fixture(scope="module", params=LANGUAGES)
def running(request, tmp_path_factory):
    running = Demo(tmp_path_factory.mktemp("demo"), "--lang", request.param)
    yield running
    assert running.stop() == 0, running.lines.all()


def test_visitors_see_each_other_come_and_go(running):
    with running.visitor(ANN, "Ann") as ann:
        assert ann.sees(1) == ["Ann"]
        with running.visitor(BOB, " Bob \n B ") as bob:
            assert ann.sees(2) == bob.sees(2) == ["Ann", "Bob B"]
        assert ann.sees(1) == ["Ann"]


def test_two_tabs_of_one_visitor_are_one_person(running):
    with running.visitor(ANN, "Ann") as ann, running.visitor(BOB, "Bob") as bob:
        bob.sees(2)
        with running.visitor(ANN, "Ann") as again:
            assert sorted(again.sees(2)) == ["Ann", "Bob"]
            again.say("rename", name="Anna")
            assert ann.until("inner", "#people", lambda html: "Anna" in html)
        assert bob.sees(2)


def test_another_host_is_another_room(running):
    with running.visitor(ANN, "Ann"), running.visitor(BOB, "Bob", "localhost") as bob:
        assert bob.sees(1) == ["Bob"]


def test_a_message_is_the_authors_in_the_authors_tabs_and_text_everywhere(running):
    nasty = "<img src=x onerror=alert(1)> & \"quotes\" 'too' naïve ✓"
    with running.visitor(ANN, "Ann") as ann, running.visitor(BOB, "<i>Bob</i>") as bob:
        ann.sees(2)
        bob.say("say", text=nasty)
        for visitor, whose in ((ann, "theirs"), (bob, "mine")):
            html = visitor.until("append", "#messages")
            assert html.startswith(f'<li class="{whose}">')
            tags = {tag.split(" ")[0].strip("</>") for tag in re.findall(r"<[^>]*>", html)}
            assert tags == {"li", "span", "p", "b"}
            assert "&lt;i&gt;Bob&lt;/i&gt;" in html
            assert "naïve ✓" in html
            assert BOB not in html
    with running.visitor(ANN, "Ann") as ann:
        assert "naïve ✓" in ann.until("inner", "#messages")  # who comes later reads it, too


@pytest.mark.parametrize("text", ["", "  ", None, 7, ["a"]])
def test_what_is_no_text_is_shown_to_no_one(running, text):
    with running.visitor(ANN, "Ann") as ann:
        ann.say("say", text=text)
        ann.say("say", text="after")
        assert "after" in ann.until("append", "#messages")


def test_a_text_that_is_too_long_is_told_to_its_author(running):
    with running.visitor(ANN, "Ann") as ann:
        ann.say("say", text="é" * 501)
        assert "500" in ann.until("toast")
        ann.say("say", text="é" * 500)
        assert "é" * 500 in ann.until("append", "#messages")


def test_a_visitor_has_one_vote_and_everyone_sees_it(tmp_path):
    running = Demo(tmp_path)
    with running.visitor(ANN, "Ann") as ann, running.visitor(BOB, "Bob") as bob:
        assert ann.until("inner", "#votes") == "0 votes"
        assert bob.until("inner", "#votes") == "0 votes"
        bob.say("vote", choice="chat")
        assert ann.until("inner", "#votes") == "1 vote"
        bob.say("vote", choice="game")
        bob.say("vote", choice="nonsense")
        ann.until("value", fits=lambda bars: bars["#bar-game"] == 100)
        ann.say("vote", choice="chat")
        assert ann.until("value", fits=lambda bars: bars["#bar-chat"] == 50)["#bar-game"] == 50
        assert bob.until("inner", "#votes", lambda text: text != "1 vote") == "2 votes"
        pressed = ann.until("attr")
        assert pressed == {
            f"#vote-{choice}": {"aria-pressed": "true" if choice == "chat" else "false"}
            for choice in CHOICES
        }
    assert running.stop() == 0


def test_a_cast_reaches_whom_it_is_for_and_says_how_many(running):
    with running.visitor(ANN, "Ann") as ann, running.visitor(BOB, "Bob") as bob:
        ann.sees(2)
        bob.say("cast", text="tea", to="others")
        assert bob.until("inner", "#receipt") == "reached 1 tab"
        bob.say("cast", text="coffee", to="all")
        assert (ann.until("toast"), ann.until("toast")) == ("Bob: tea", "Bob: coffee")
        assert bob.until("toast") == "Bob: coffee"
        bob.say("cast", text="mine", to="me")
        assert bob.until("toast") == "Bob: mine"
        bob.say("cast", text="all", to="all")
        assert ann.until("toast") == "Bob: all"


def test_who_has_not_joined_does_nothing(running):
    with running.visitor(ANN, "Ann") as ann:
        ann.sees(1)
        quiet = WebSocket.open(("127.0.0.1", running.port), "127.0.0.1")
        quiet.authenticate(BOB)
        quiet.send({"type": "say", "text": "unheard"})
        quiet.send({"type": "nonsense"})
        while "error" not in quiet.receive_json():
            pass
        quiet.drop()
        ann.say("say", text="heard")
        assert "unheard" not in ann.until("append", "#messages")


@pytest.mark.parametrize("token", ["", "Ann", "A" * 32, "a" * 33])
def test_a_token_of_another_form_is_refused_for_good(running, token):
    tab = WebSocket.open(("127.0.0.1", running.port), "127.0.0.1")
    tab.authenticate(token)
    assert tab.closed() == 4501


# The page


def test_the_page_and_its_files_are_served_and_need_nothing_from_elsewhere(running):
    kind, page = running.page()
    assert kind == "text/html; charset=utf-8"
    assert "{{" not in page
    for path in re.findall(r'(?:src|href)="(/\w[^"]*)"', page):
        assert running.page(path)[1] == (ASSETS / path[1:]).read_text("utf-8")
    texts = [page, *(path.read_text("utf-8") for path in ASSETS.glob("demo.*"))]
    assert len(texts) == 3
    found = [
        re.findall(r"""(?:src|href|url|from)\W{1,3}((?:https?:)?//[^"')]+)""", t) for t in texts
    ]
    assert found == [[], [], []]


def test_the_page_has_a_policy_and_nothing_inline(running):
    page = running.page()[1]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"""\bon\w+=|\bstyle=|<style|<script(?![^>]*\bsrc=)""", page) == []


def test_every_element_that_the_apps_and_the_script_name_is_on_the_page():
    page = (ASSETS / "index.html").read_text("utf-8")
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    script = (ASSETS / "demo.js").read_text("utf-8")
    named = set(re.findall(r"\b(?:part|onSubmit)\('([\w-]+)'", script)) | {"in", "out"}
    job = (Path(phlows_cli.__file__).parent / "demo_job.py").read_text("utf-8")
    for text in (job, *(path.read_text("utf-8") for path in ASSETS.glob("app.*"))):
        named |= set(re.findall(r"""["']#([\w-]+)["']""", text))
    for choice in CHOICES:
        named |= {f"{part}-{choice}" for part in ("vote", "votes", "bar")}
    assert len(named) > 25
    assert named <= ids
    assert set(re.findall(r'(?:for|aria-labelledby)="([\w-]+)"', page)) <= ids


def test_both_apps_offer_what_the_page_sends():
    script = (ASSETS / "demo.js").read_text("utf-8")
    sent = set(re.findall(r"type: '(\w+)'", script)) - {"auth"}
    assert sent == {"join", "say", "rename", "vote", "cast"}
    offered = re.search(r"^ACTIONS = \{(.*)\}", (ASSETS / "app.py").read_text(), re.MULTILINE)[1]
    assert set(re.findall(r'"(\w+)":', offered)) == sent
    offered = re.search(r"ACTIONS = \[(.*)\]", (ASSETS / "app.php").read_text())[1]
    assert set(re.findall(r"'(\w+)' =>", offered)) == sent


# The job


def test_a_job_tells_its_page_of_each_step_when_it_is_done(running):
    with running.job() as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["access-control-allow-origin"] == running.url
        first = json.loads(answer.readline())
    assert first["value"]["#job-bar"] < 5
    assert first["inner"]["#job-step"].startswith(PHASES[0])


def test_a_job_ends_at_the_whole_and_says_so(monkeypatch):
    monkeypatch.setattr(demo_job, "STEP_SECONDS", 0)
    lines = list(demo_job.job(threading.Event()))
    assert len(lines) == STEPS + 1
    assert lines[-2]["value"] == {"#job-bar": 100}
    assert lines[-1]["toast"]


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "https://127.0.0.1"])
def test_the_job_is_for_the_demos_page_only(running, origin):
    with running.job(origin) as answer:
        assert answer.status == 403
        assert answer.headers["access-control-allow-origin"] is None


def test_a_job_is_asked_for_by_post(running):
    with running.job(method="GET") as answer:
        assert answer.status == 405


def test_so_many_jobs_at_once_and_no_more_and_they_end_with_the_demo(tmp_path):
    running = Demo(tmp_path)
    with ExitStack() as stack:
        jobs = [stack.enter_context(running.job()) for _ in range(JOBS_AT_ONCE)]
        assert all(json.loads(job.readline()) for job in jobs)
        with running.job() as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        jobs[0].close()
        assert running.stop() == 0
        for job in jobs[1:]:
            assert b"ready" not in job.read()


def test_the_job_is_at_the_next_port_or_where_there_is_room():
    with JobServer((), free_port()) as first:
        port = int(first.url.split(":")[2].split("/")[0])
        with JobServer((), port) as second:
            assert second.url != first.url
    with JobServer((), port) as third:
        assert third.url == first.url
    with JobServer((), 65536) as fourth:
        assert ":65536/" not in fourth.url


# The command


def test_the_address_is_the_first_thing_it_says_and_nothing_is_left_behind(tmp_path):
    running = Demo(tmp_path)
    assert running.lines.all()[0] == f"Open {running.url} in two tabs; Ctrl-C ends the demo."
    (folder,) = (path for path in tmp_path.iterdir() if path.name.startswith("phlows-demo-"))
    ann = running.visitor(ANN, "Ann")
    ann.sees(1)
    assert (folder / "room-127.0.0.1.json").is_file()
    assert running.stop() == 0
    ann.socket.drop()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("phlows")] == []


def test_its_log_is_lines_of_json_where_that_is_asked_for(tmp_path):
    running = Demo(tmp_path, "--json", ready="open the page")
    assert running.stop() == 0
    *lines, _end = running.lines.all()
    facts = [json.loads(line) for line in lines]
    assert {running.url} == {fact["url"] for fact in facts if "url" in fact}


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = failed(tmp_path, "demo", "--port", port)
    assert code == 1
    assert line.startswith(f"error: 127.0.0.1 port {port} is in use: ")
    assert line.endswith(f"as in `phlows demo --port {port + 1}`")


def test_php_that_is_missing_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--lang php needs PHP, and neither php-zts nor php"):
        demo.configure(3001, "php", tmp_path)
    assert demo.configure(3001, "python", tmp_path).hosts["localhost"].runtime == "resident"


@pytest.mark.parametrize("language", demo.LANGUAGES)
def test_the_page_names_the_language_of_its_app(language):
    page = demo.pages(3001, language, "http://127.0.0.1:1/job")["/"][1].decode()
    assert f"by a small {demo.LANGUAGES[language][1]} app" in page
    assert (ASSETS / demo.LANGUAGES[language][0]).is_file()
