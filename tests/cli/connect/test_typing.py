"""phlows connect on a terminal, typed at while messages come."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import termios

import pytest

from phlows_cli.cli.dialogue.happenings import Message, Opened
from phlows_cli.cli.dialogue.terminal import LONGEST, Terminal
from tests.cli.connect.conftest import standing_in
from tests.cli.terminal import Terminal as Keyboard
from tests.started import DEADLINE


@pytest.fixture
def command(broker):
    return [
        *(sys.executable, "-m", "phlows_cli", "connect", "message.test", "--token", "good"),
        *("-c", str(broker.path), "--url", broker.url),
    ]


@pytest.fixture
def typed_at(command, environ):
    """The command on a terminal of its own, without colours."""
    environ |= {"TERM": "xterm", "NO_COLOR": "1", "INPUTRC": "/dev/null"}
    with Keyboard(command, environ) as terminal:
        terminal.wait_for("connected to")
        terminal.wait_for("> ")
        yield terminal


def settings_of(terminal):
    return termios.tcgetattr(terminal._ours)[3]


def test_typed_lines_are_sent_and_answers_are_shown(typed_at):
    typed_at.type("type=hi text='two words'\n")
    typed_at.wait_for(r'< \{"got":\{"type":"hi","text":"two words"\},"token":"good"\}')


def test_the_line_before_comes_back_with_the_arrow(typed_at):
    typed_at.type("n:=1\n")
    typed_at.wait_for(r'"n":1')
    typed_at.type("\x1b[A\x7f2\n")
    typed_at.wait_for(r'"n":2')


def test_commands_are_carried_out_and_mistakes_are_told(typed_at):
    typed_at.type("/ping\n")
    typed_at.wait_for(r"pong in \d+\.\d ms")
    typed_at.type("/pong\n")
    typed_at.wait_for("error: no command /pong: did you mean /ping")
    typed_at.type("word\n")
    typed_at.wait_for("error: 'word' is neither key=text nor key:=json")
    typed_at.type("/close 99\n")
    typed_at.wait_for("error: /close takes 1000, or 3000 to 4999, not 99")
    typed_at.type("/help\n")
    typed_at.wait_for("/close +close with a code")
    typed_at.type("/close 4000 enough\n")
    assert typed_at._process.wait(DEADLINE) == 0


@pytest.mark.parametrize("keys", ["\x04", "/quit\n"])
def test_it_ends_and_leaves_the_terminal_as_it_was(command, environ, keys):
    with Keyboard(command, environ | {"TERM": "xterm"}) as terminal:
        before = settings_of(terminal)
        terminal.wait_for("> ")
        terminal.type(keys)
        assert terminal._process.wait(DEADLINE) == 0
        assert settings_of(terminal) == before


def test_a_termination_leaves_the_terminal_as_it_was(command, environ):
    with Keyboard(command, environ | {"TERM": "xterm"}) as terminal:
        before = settings_of(terminal)
        terminal.wait_for("> ")
        terminal._process.send_signal(signal.SIGTERM)
        assert terminal._process.wait(DEADLINE) == 128 + signal.SIGTERM
        assert settings_of(terminal) == before


def test_a_refusal_ends_it_while_a_person_types(broker, environ):
    command = [sys.executable, "-m", "phlows_cli", "connect", "message.test"]
    with Keyboard(
        [*command, "-c", str(broker.path), "--url", broker.url], environ | {"TERM": "xterm"}
    ) as terminal:
        terminal.wait_for("> ")
        terminal.type("type=first\n")
        terminal.wait_for("error: closed by the server with 4502")
        assert terminal._process.wait(DEADLINE) == 4


def test_a_token_is_asked_for_and_not_shown(broker, environ):
    command = [sys.executable, "-m", "phlows_cli", "connect", "message.test", "--token", "-"]
    with Keyboard(
        [*command, "-c", str(broker.path), "--url", broker.url],
        environ | {"TERM": "xterm", "NO_COLOR": "1"},
    ) as terminal:
        terminal.wait_for("Token: ")
        terminal.type("good secret\n")
        terminal.wait_for("connected")
        terminal.wait_for("> ")
        assert "secret" not in terminal._seen
        terminal.type("a=1\n")
        terminal.wait_for('"token":"good secret"')


@pytest.mark.parametrize("args", [(), ("--text",)])
def test_one_message_on_a_terminal_does_not_steer_it_either(environ, args):
    def act(server):
        server.recv()
        server.send('{"a":"\x9b2J"}')
        server.recv()

    environ |= {"TERM": "xterm", "NO_COLOR": "1"}
    with standing_in(act) as url:
        command = [sys.executable, "-m", "phlows_cli", "connect", url, "-x", "--count", "1"]
        with Keyboard([*command, *args, "a=b"], environ) as terminal:
            terminal.wait_for(r'< \{"a":"\\x9b2J"\}\r\n')
            assert terminal._process.wait(DEADLINE) == 0


@pytest.mark.tmux
def test_what_is_typed_stays_whole_below_what_comes(tmux, command, phlows, broker):
    screen = tmux(command, columns=60, rows=12)
    screen.wait_for(r"^>$")
    screen.type("half ty")
    screen.wait_for(r"^> half ty$")
    cast = ("cast", "-c", str(broker.path), "--url", broker.url, "--host", "message.test")
    for number in range(15):
        assert phlows(*cast, f"n:={number}", f"text={'wide ' * 12}").exit_code == 0
    screen.wait_for(r'"n": 14(.*\n)+> half ty$')
    screen.type("ped=1")
    screen.press("Enter")
    screen.wait_for(r"^> half typed=1$(.*\n)+  error: \'half\' is neither")


@pytest.mark.tmux
def test_ctrl_c_ends_it_with_130_and_the_shell_goes_on(tmux, command):
    line = (
        f"trap : INT; {shlex.join(command)}; echo code=$?; stty -a | grep -ow '.*icanon'; read line"
    )
    screen = tmux(["sh", "-c", line], columns=200, rows=12)
    screen.wait_for(r"^>$")
    screen.type("half")
    screen.wait_for("^> half$")
    screen.press("C-c")
    seen = screen.wait_for("icanon")
    assert "code=130" in seen
    assert "-icanon" not in seen
    assert "Traceback" not in seen


@pytest.mark.tmux
def test_after_a_resize_rows_are_laid_out_for_the_new_width(tmux, command):
    screen = tmux(command, columns=80, rows=20)
    screen.wait_for(r"^>$")
    screen.resize(40, 20)
    screen.type('type=hi text="a text that is longer than forty columns"')
    screen.press("Enter")
    screen.wait_for(r'^      "type": "hi",$')


# What is shown, without a connection


@pytest.fixture
def shown(capfd, monkeypatch):
    """What the terminal is sent for these, on 40 columns."""

    def show(*happenings, is_typed_at=False):
        terminal = Terminal(is_typed_at=is_typed_at, is_verbose=False)
        for one in happenings:
            terminal.show(one)
        return capfd.readouterr().out

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 10)))
    return show


def test_colours_are_left_out_where_nobody_wants_them(shown, monkeypatch):
    assert "\x1b[" in shown(Message('{"a":1}'))
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Message('{"a":1}')) == '< {"a":1}\n'


def test_what_is_broader_than_the_terminal_is_laid_out(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = '{"first":"a text of some length","second":[1,2]}'
    rows = shown(Message(text)).splitlines()
    assert rows[0] == "< {"
    assert rows[1] == '    "first": "a text of some length",'
    assert max(map(len, rows)) < 40


def test_no_message_steers_the_terminal(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Message("a\x1b[2Jb\rc\nd")) == "< a\\x1b[2Jb\\rc\n  d\n"
    assert shown(Message('{"a":"\x9b2J"}')) == '< {"a":"\\x9b2J"}\n'
    assert shown(Message(b"\x1b[2J")) == "< a binary message of 4 bytes\n"


def test_a_huge_message_is_cut_and_says_so(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = shown(Message("x" * (LONGEST + 5)))
    assert out.endswith("  ... and 5 characters more\n") or "rows more" in out
    rows = shown(Message("\n" * 1000)).splitlines()
    assert len(rows) == 401
    assert rows[-1] == "  ... and 601 rows more"


def test_each_row_is_put_above_the_line_that_is_typed(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = shown(Opened("ws://a.test/", "127.0.0.1:1"), is_typed_at=True)
    rows = re.findall("\x1b7\n\x1b\\[A\r\x1b\\[L(.*?)\x1b8\x1b\\[B", out)
    assert "".join(rows).replace("  ", " ").startswith(" connected to ws://a.test/ at")
    assert len(rows) > 1
