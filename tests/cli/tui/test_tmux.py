"""The real thing: phlows tail on a real terminal, beside a real broker with real sockets."""

from __future__ import annotations

import os
import signal

import pytest

from tests.cli.tui.tmux import ROOT, Screen
from tests.conformance.client import WebSocket
from tests.conformance.program import Program

HOST = "app.test"
HOSTS = {HOST: {"app": "quick", "auth": "none", "hooks": ["connect", "receive"]}}
COUNT = 40

pytestmark = pytest.mark.tmux


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    environ = {"PYTHONPATH": str(ROOT)}
    program = Program(tmp_path_factory.mktemp("broker"), HOSTS, environ)
    yield program
    program.stop()


@pytest.fixture
def clients(broker):
    """Sockets by their ids."""
    opened = [WebSocket.open(broker.address, HOST) for _ in range(COUNT)]
    sockets = {broker.admitted(client): client for client in opened}
    yield sockets
    for client in opened:
        client.drop()


@pytest.fixture
def tail(broker, tmp_path):
    """Makes a screen with phlows tail on it."""
    screens = []

    def start(*options, width=80, height=24, program=broker, before="true", **environ):
        screen = Screen(tmp_path, width, height, PHLOWS_KEY=program.key, **environ)
        screens.append(screen)
        path = str(program.folder / "phlows.toml")
        screen.run("tail", "--config", path, *options, before=before)
        return screen

    yield start
    for screen in screens:
        screen.__exit__()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
def test_connections_are_sorted_searched_looked_at_cast_to_and_ended(
    broker, clients, tail, width, height
):
    busy, other = list(clients)[7], list(clients)[30]
    for number in range(3):
        clients[busy].send({"number": number})
    screen = tail(width=width, height=height)
    lines = screen.until(rf"─ {COUNT} connections")
    assert len(lines) == height
    assert "● connected" in lines[0]
    assert HOST in lines[2]

    screen.keys("s")
    screen.until("IN▲")
    screen.keys("r", "j")
    screen.until(rf"> {busy[:8]}.* 3 ")
    screen.keys("G")
    screen.until(rf"-{COUNT} .*\n")
    screen.until(lambda lines: not any(busy[:8] in line for line in lines[:20]))
    screen.keys("g")
    screen.until(rf"> {busy[:8]}")

    screen.keys("/", other, "Enter")
    screen.until(rf"1 of {COUNT} connections  /{other}")
    screen.keys("j", "Enter")
    screen.until("127.0.0.1.*\n.*agent +conformance/")

    screen.keys("p")
    screen.until("paused: 0 events waiting")
    clients[other].send({"while": "paused"})
    broker.hook_done(other, "receive")
    screen.until("paused: 2 events waiting")
    screen.keys("Space")
    screen.until("its events ─(.*\n)+.*receive accepted in")

    screen.keys("c", "toast=Hello n:=1", "Enter")
    screen.until(rf"cast 23 bytes to {other}\? y/n")
    screen.keys("y")
    screen.until(f"sent to 1 of 1 socket of {HOST}")
    assert clients[other].receive_json() == {"toast": "Hello", "n": 1}

    screen.keys("d")
    screen.until(rf"disconnect {other}\? y/n")
    screen.keys("n")
    screen.until("nothing was done")
    screen.keys("d", "y")
    screen.until("disconnected 1 connection")
    assert clients[other].closed() == 1000
    screen.until("has left")
    screen.keys("Escape")
    screen.until(f"0 of {COUNT - 1} connections")
    screen.keys("q")
    assert screen.left() == 0


def test_it_fits_whatever_size_the_terminal_gets(clients, tail):
    screen = tail(width=120, height=40)
    screen.until(rf"─ {COUNT} connections")
    for width, height in ((40, 10), (20, 5), (5, 2), (200, 50), (80, 24)):
        screen.resize(width, height)
        said = f"{width}x{height}" if height < 8 else "● connected"
        lines = screen.until(lambda lines, said=said: said in lines[0])
        assert len(lines) == height
    screen.until(lambda lines: "─ events" in "\n".join(lines) and "? help" in lines[-1])
    screen.keys("q")
    assert screen.left() == 0


def test_what_is_no_key_changes_nothing(clients, tail):
    screen = tail()
    screen.until(rf"─ {COUNT} connections")
    screen.bytes(
        b"\x1b[<0;3;9M\x1b[<0;3;9m\x1b[M #)\x1bq\x1bd\xff\xfe\x80\x1b]11;q\x07\x1b[200~q\x1b[201~"
    )
    screen.keys("?")
    screen.until("PgUp PgDn g G")
    screen.keys("Escape")
    screen.until(rf"─ {COUNT} connections")
    screen.keys("/", "zzz")
    screen.until(f"0 of {COUNT} connections  /zzz")
    screen.keys("Escape")
    screen.until(rf"─ {COUNT} connections")
    screen.keys("C-c")
    assert screen.left() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(clients, tail, number):
    screen = tail()
    screen.until("● connected")
    os.kill(screen.pid(), number)
    assert screen.left() == 128 + number


def test_it_is_stopped_and_goes_on(clients, tail):
    screen = tail("--failed")
    screen.until("events  type hook, failed")
    pid = screen.pid()
    screen.keys("C-z")
    screen.until("Stopped")
    assert screen.modes() == screen.modes("before")
    screen.keys("clear; fg", "Enter")
    screen.until("● connected")
    os.kill(pid, signal.SIGSTOP)
    screen.until("Stopped")
    screen.keys("clear; fg", "Enter")
    screen.until("● connected")
    screen.keys("q")
    screen.until(r"\$ *\n")
    assert screen.modes() == screen.modes("before")


def test_a_broker_that_restarts_is_waited_for(tail, tmp_path):
    environ = {"PYTHONPATH": str(ROOT)}
    program = Program(tmp_path / "restarting", HOSTS, environ, watches=False)
    screen = tail(program=program)
    screen.until("● connected")
    program.signal(signal.SIGKILL)
    program.wait()
    screen.until(r"○ gone for \d+ s, reconnecting")
    screen.until("connection refused")
    program.start_again()
    screen.until("● connected")
    client = WebSocket.open(program.address, HOST)
    screen.until(rf"─ 1 connection ─(.*\n)+.* open  .* {client.agent}")
    client.close()
    screen.keys("q")
    assert screen.left() == 0
    program.stop()


def test_who_finds_no_broker_is_told_on_the_screen_that_was_there(tail):
    screen = tail("--url", "http://127.0.0.1:1")
    screen.until("error: no broker answers at http://127.0.0.1:1 ")
    assert screen.left() == 3


FAILING = """
from phlows_cli.cli.tui.terminal import Terminal
from rich.text import Text
with Terminal() as terminal:
    terminal.paint([Text("painted")])
    raise ValueError("broken")
"""


def test_an_error_of_ours_leaves_the_terminal_as_it_was(tmp_path):
    with Screen(tmp_path) as screen:
        screen.python("-c", FAILING)
        screen.until("ValueError: broken")
        assert screen.left() == 1


def test_without_colours_there_is_still_bold_and_no_colour(clients, tail):
    screen = tail(NO_COLOR="1")
    screen.until(rf"─ {COUNT} connections")
    styles = set(screen.styles())
    assert {"1", "7"} <= styles
    assert not {code for code in styles if len(code) > 1} - {"39", "49"}
    screen.keys("q")
    assert screen.left() == 0


def test_where_there_is_no_utf_8_plain_signs_are_painted(tail):
    screen = tail(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    screen.until(r"\* connected(.*\n)+- \d+ connections? ---(.*\n)+.* AGE\^")
    screen.keys("q")
    assert screen.left() == 0


@pytest.mark.parametrize(("term", "options"), [("dumb", ()), ("screen", ("--lines",))])
def test_lines_can_be_had_on_a_terminal(broker, tail, term, options):
    screen = tail(*options, before=f"export TERM={term}")
    while not any(" open  " in line for line in screen.lines()):
        # Whoever comes before it watches is not told of: so they go on coming.
        client = WebSocket.open(broker.address, HOST)
        broker.admitted(client)
        client.close()
    screen.keys("C-c")
    assert screen.left() == 130
