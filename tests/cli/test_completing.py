"""What is offered after a tab that only the configuration or a broker knows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import click
import pytest
from websockets.sync.client import connect

from phlows_cli.cli import completing
from phlows_cli.cli.apply_options import COMMANDS, takes_text
from phlows_cli.cli.main import cli
from tests.cli.terminal import Terminal
from tests.cli.test_completion import BASH_SETUP, COMPLETIONS, ZSH_SETUP
from tests.cli.test_running_broker import broker
from tests.cli.test_variables import walk

__all__ = ["broker"]  # a fixture


@pytest.fixture
def live(broker, monkeypatch):
    """A broker that is asked for, with one socket; what /presence says of it."""
    monkeypatch.setenv("PHLOWS_URL", broker.url)
    monkeypatch.setattr(completing, "PATIENCE", 20.0)
    url = broker.url.replace("http:", "ws:") + "/websocket"
    headers = {"X-Forwarded-Host": "app.test", "Cookie": "token=Ann"}
    with connect(url, additional_headers=headers, user_agent_header="a browser"):
        (found,) = completing._ask(context(), "presence")
        yield found


def context(**params):
    ctx = click.Context(cli)
    ctx.params.update({"config_path": None, "url": os.environ.get("PHLOWS_URL"), **params})
    return ctx


def offered(function, incomplete="", **params):
    found = function(context(**params), click.Option(["--x"]), incomplete)
    return {item.value: item.help for item in found}


def test_the_sockets_and_tokens_that_are_connected_are_offered(live):
    assert offered(completing.sockets) == {live["socket"]: f"app.test {live['token']} a browser"}
    assert offered(completing.tokens) == {live["token"]: "app.test a browser"}
    assert offered(completing.sockets, live["socket"][:3]) != {}
    assert offered(completing.sockets, "no such") == {}


def test_only_the_sockets_of_the_host_that_is_typed_are_offered(live):
    assert list(offered(completing.sockets, host="App.Test")) == [live["socket"]]
    assert offered(completing.sockets, host="other.test") == {}


def test_a_target_is_offered_its_forms_and_then_sockets(live):
    assert list(offered(completing.targets)) == ["all", "token:", "token:not:", "socket:"]
    assert list(offered(completing.targets, "socket:")) == [f"socket:{live['socket']}"]


def test_without_the_key_nothing_is_offered(live, monkeypatch):
    monkeypatch.setenv("PHLOWS_KEY", "wrong")
    assert offered(completing.sockets) == {}
    monkeypatch.setenv("PHLOWS_KEY", "not ascii: ä")
    assert offered(completing.sockets) == {}


def test_without_a_broker_nothing_is_offered(config):
    config("app.test", port=1)
    assert offered(completing.sockets) == {}
    assert offered(completing.targets, "socket:") == {}
    assert offered(completing.sockets, url="nonsense") == {}


def test_with_a_bad_file_nothing_is_offered(tmp_path):
    (tmp_path / "phlows.toml").write_text("not toml")
    assert offered(completing.sockets) == {}
    assert offered(completing.hosts) == {}


@pytest.mark.parametrize("value", [{"sockets": "none"}, {"sockets": [1, {}]}, {}, b"<html>"])
def test_a_broker_that_answers_nonsense_offers_nothing(config, recorder, value):
    config("app.test")
    recorder.answers["/presence"] = (200, value)
    assert offered(completing.sockets, url=recorder.url) == {}


def test_nobody_waits_for_a_broker_that_does_not_answer(config, monkeypatch):
    config("app.test")
    monkeypatch.setattr(completing, "PATIENCE", 0.05)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert offered(completing.sockets, url=url) == {}
        accepted, _ = silent.accept()  # it was asked
        accepted.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)


def test_orphans_are_offered(config, recorder):
    config("app.test")
    orphan = {"host": "app.test", "socket": "abc", "token": "", "attempts": 1, "reason": ""}
    recorder.answers["/orphans"] = (200, {"count": 1, "orphans": [orphan]})
    assert offered(completing.orphans, url=recorder.url) == {"abc": "app.test"}


def test_no_more_words_are_offered_than_anyone_reads_and_none_that_steers(config, recorder):
    config("app.test")
    rows = [{"host": "app.test", "socket": f"{n:03}"} for n in range(300)]
    recorder.answers["/presence"] = (200, {"sockets": [{"socket": "\x1b[2J"}, *rows]})
    found = offered(completing.sockets, url=recorder.url)
    assert len(found) == completing.MOST
    assert "\x1b[2J" not in found


def test_the_names_of_settings_are_offered_and_those_of_each_host(phlows, config):
    config("app.test")
    found = offered(completing.settings)
    assert {"server", "app.test", "server.port", "hosts.app.test.runtime"} <= set(found)
    for name in ("server", "app.test", "server.port", "hosts.app.test.runtime"):
        assert phlows("config", "show", name).exit_code == 0
    assert "server.port" in offered(completing.settings, "server.p")


def test_what_a_page_applies_is_offered_as_an_item():
    """Each as text where text is a value of it, else as JSON."""
    found = offered(completing.message_items)
    assert found["toast="] == "Show a notice."
    assert "inner:=" in found
    assert "dataset" not in "".join(found)  # its option's name; the payload's is data
    assert len(found) == len(COMMANDS)
    assert sum(map(takes_text, COMMANDS)) == sum(not word.endswith(":=") for word in found)


# Where it is attached


def test_every_option_that_names_a_host_or_a_socket_completes_it():
    wanted = {"--host": completing.hosts, "--socket": completing.sockets}
    for path, command in walk(cli):
        for param in (each for each in command.params if not getattr(each, "is_flag", False)):
            for name in set(param.opts) & set(wanted):
                attached = param._custom_shell_complete
                assert attached in (wanted[name], None), path
                assert attached is wanted[name] or path == ("host", "add"), (path, name)


# In the shells

LIVE = [
    ("phlows cast --except ", "phlows cast --except {socket} "),
    ("phlows cast --target socket:", "phlows cast --target socket:{socket} "),
    ("phlows tail --token ", "phlows tail --token {token} "),
    ("phlows cast toas", "phlows cast toast="),
    ("phlows cast inne", "phlows cast inner:="),
]


@pytest.fixture
def environ_of_shell(environ, live, tmp_path):
    """An environment whose PATH has a `phlows` that waits as long as a busy machine needs."""
    program = tmp_path / "bin" / "phlows"
    program.parent.mkdir()
    code = "import phlows_cli.cli.completing as c; c.PATIENCE = 20; from phlows_cli.cli.main"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code} import cli; cli()' \"$@\"\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{environ['PATH']}"
    home = {"PATH": path, "TERM": "dumb", "HOME": str(tmp_path), "PS1": "$ "}
    return {**environ, **home, "PHLOWS_URL": os.environ["PHLOWS_URL"]}


def test_bash_completes_what_is_live(environ_of_shell, live):
    setup = f"source {COMPLETIONS / 'phlows'}{BASH_SETUP}"
    argv = ["bash", "--norc", "--noprofile", "-i"]
    check_in_a_terminal(argv, environ_of_shell, setup, live)


@pytest.mark.zsh
def test_zsh_completes_what_is_live(environ_of_shell, live):
    setup = f"{ZSH_SETUP}\nsource {COMPLETIONS / '_phlows'}"
    check_in_a_terminal(["zsh", "-f", "-i"], environ_of_shell, setup, live)


def check_in_a_terminal(argv, environ, setup, live):
    """Type each line into one shell, and press tab."""
    with Terminal(argv, environ) as terminal:
        terminal.type(f"{setup}\necho rea''dy\n")
        terminal.wait_for(r"ready\r?\n")
        for typed, line in LIVE:
            terminal.type(f"{typed}\t\x07")
            assert terminal.wait_for(r"line<(.*)>") == line.format(**live)
            terminal.type("\x15")  # ^U: the line is empty again


@pytest.mark.fish
def test_fish_completes_what_is_live(environ_of_shell, live):
    script = f"source {COMPLETIONS / 'phlows.fish'}; for line in $argv; complete -C $line; end"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, *(typed for typed, _ in LIVE)],
        env=environ_of_shell,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [answer.partition("\t")[0] for answer in done.stdout.splitlines()]
    assert lines == [line.format(**live).split()[-1] for _, line in LIVE]
    assert f"app.test {live['token']} a browser" in done.stdout
