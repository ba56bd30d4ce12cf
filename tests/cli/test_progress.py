"""What is shown while something takes long: on a terminal, and only there."""

from __future__ import annotations

import re
import sys

from tests.cli.terminal import Terminal


def test_a_terminal_sees_how_many_calls_are_done(environ, app, tmp_path):
    app("import time; time.sleep(0.2); print('true')")
    line = ["-m", "phlows_cli", "hook", "auth", "--app", "app.py", "--repeat", "5"]
    with Terminal([sys.executable, *line], {**environ, "TERM": "xterm"}) as terminal:
        assert terminal.wait_for(r"calling localhost.*?(\d+)%").isdecimal()
        assert terminal.wait_for(r"(5 accepted)")


def test_a_pipe_sees_the_answer_alone(program, app):
    app("print('true')")
    done = program("hook", "auth", "--app", "app.py", "--repeat", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"2 accepted\nms: ", done.stdout)
