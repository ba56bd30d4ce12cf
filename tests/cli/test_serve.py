from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from phlows_cli.cli.client import client_for
from phlows_cli.cli.commands.serve import override
from phlows_cli.config import load_config
from phlows_cli.errors import UsageError


@contextmanager
def serving(environ, *args):
    """A broker of its own, from its first words until SIGTERM."""
    command = [sys.executable, "-m", "phlows_cli", "serve", *args]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 0


def wait_for(process, word):
    """The first line of stderr that holds the word."""
    line = next((line for line in process.stderr if word in line), None)
    assert line is not None, "the broker ended before"
    return line


def test_the_broker_serves_until_it_is_told_to_end(config, environ, tmp_path, program):
    settings = load_config(config("app.example.com", text='listen = "127.0.0.1"'))
    url = f"unix:{tmp_path}/s"
    with serving(environ, "--listen", url) as process:
        wait_for(process, "listening")
        assert client_for(settings, url).get("/ready") == {"status": "ok"}
        key = {**environ, "PHLOWS_URL": url}
        done = program("cast", "--toast", "hi", env=key)
        assert (done.returncode, done.stdout) == (0, "sent to 0 of 0 sockets of app.example.com\n")
        assert program("status", env=key).returncode == 0


def test_the_log_is_lines_of_json_where_that_is_asked_for(config, environ):
    config("app.example.com")
    with serving(environ, "--port", "0", "--json") as process:
        line = wait_for(process, "serving")
        assert json.loads(line)["addresses"]


def test_a_port_that_is_taken_is_an_error_and_not_a_traceback(recorder, config, program):
    config("app.example.com")
    done = program("serve", "--port", recorder.url.rpartition(":")[2])
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_name_that_leads_nowhere_is_blamed_on_who_gave_it(config, program):
    config("app.example.com", text='listen = "nowhere.invalid"')
    done = program("serve")
    assert (done.returncode, "server.listen 'nowhere.invalid'" in done.stderr) == (1, True)
    done = program("serve", "--listen", "banana.invalid")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --listen 'banana.invalid': ")


def test_options_stand_above_the_file(config):
    settings = load_config(config(text='listen = "::1"\nlog_format = "text"', port=1))
    options = {
        "listen": ["127.0.0.1", "unix:/run/p.sock"],
        "port": 2,
        "path": ["*"],
        "log_format": "json",
    }
    changed = override(settings, options).server
    assert (changed.listen, changed.port) == (("127.0.0.1", "unix:/run/p.sock"), 2)
    assert (changed.paths, changed.log_format) == (("*",), "json")


def test_what_no_option_says_stays_as_the_file_has_it(config):
    settings = load_config(config(text='listen = "::1"', port=1))
    assert override(settings, {"listen": None, "port": None}) == settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, r"^--port is 70000: it must be 0 to 65535$"),
        ({"listen": ["not an address"]}, r"^--listen "),
        ({"path": ["websocket"]}, r"^--path "),
    ],
)
def test_an_option_is_checked_as_the_file_is(config, options, message):
    with pytest.raises(UsageError, match=message):
        override(load_config(config()), options)


def test_options_come_from_variables_too(phlows, config, monkeypatch):
    config()
    seen = []
    monkeypatch.setattr(
        "phlows_cli.service.run", lambda config, **_: seen.append(config.server) or 7
    )
    variables = {"PHLOWS_LISTEN": "127.0.0.1 ::1", "PHLOWS_PORT": "4000"}
    assert phlows("serve", env=variables).exit_code == 7
    assert (seen[0].listen, seen[0].port) == (("127.0.0.1", "::1"), 4000)
