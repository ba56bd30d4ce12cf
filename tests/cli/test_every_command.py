"""Every command, when what it needs is not as it should be: one line, and a code that is told."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager

import click
import pytest

from phlows_cli.cli.main import cli
from phlows_cli.cli.pages import pages_of
from tests.cli.nursery import Nursery
from tests.cli.test_running_broker import broker
from tests.cli.test_variables import walk
from tests.conformance.program import environment

__all__ = ["broker"]  # a fixture

PAGES = {page.name.removeprefix("phlows").strip(): page for page in pages_of(cli, "phlows")}
COMMANDS = {
    " ".join(path): command
    for path, command in walk(cli)
    if not isinstance(command, click.Group) or command.invoke_without_command
}
del COMMANDS[""]

BENCHES = [name for name in COMMANDS if name.startswith("bench ")]
NOBODY = "http://127.0.0.1:1"

TYPED = {
    **dict.fromkeys(BENCHES, f"--url {NOBODY} --host app.test"),
    "call": "app.test tasks::run",
    "cast": "--host app.test --toast hi",
    "completion": "bash",
    "connect": "app.test --connect-timeout 0.5 -x {}",
    "doctor": "--only Broker",
    "hook": "receive --host app.test {}",
    "host add": "new.test --hooks none",
    "host remove": "app.test",
    "host show": "app.test",
    "new": "made",
    "orphans drop": "--all",
    "record": "-",
    "replay": "calls.ndjson",
    "sdk": "php",
}
"""What each command needs to be typed; the others need nothing."""

STARTS = {"serve", "demo"}
"""Commands that run on: only what ends them before is tried."""

ERROR = ("error: ", '{"status":"error",')

FINDS = {"config path"}
"""Commands that look where the configuration is, and not into it."""

MENDS = {"host remove"}
"""Commands that work on a file that is wrong elsewhere."""

MAKE_IT = {"host add"}
"""Commands that write the configuration where there is none."""

VISITS = {"connect"}
"""Commands that come as a client does, without a key."""

TELLS = {"doctor", "config check", "connect"}
"""Commands whose findings, or whose other side's, are their answer and not an error."""


def asking(option):
    """The commands with an option, that end by themselves."""
    return [
        name
        for name, command in COMMANDS.items()
        if any(option in param.opts for param in command.params)
    ]


CONFIGURED = asking("--config")
ASKING = asking("--url")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    made = Nursery(environment(tmp_path_factory.mktemp("home")))
    yield made
    made.close()


@pytest.fixture
def phlows(nursery, tmp_path):
    """Runs a command with what it needs typed; what it did is as its page says."""
    (tmp_path / "app.py").write_text("print('true')\n")
    (tmp_path / "calls.ndjson").write_text("")
    (tmp_path / "phlows.toml").write_text(
        f'[server]\nport = 1\nstate_dir = "{tmp_path}/state"\n[hosts."app.test"]\napp = "app.py"\n'
    )

    def run(name, *more, **case):
        done = nursery(*name.split(), *TYPED.get(name, "").split(), *more, cwd=tmp_path, **case)
        check(name, done)
        return done

    return run


def check(name, done):
    """What is true of every command, however it ends."""
    assert done["code"] in PAGES[name].codes, (name, done)
    assert "Traceback" not in done["err"], (name, done)
    if done["code"] and name not in TELLS:
        errors = [line for line in done["err"].splitlines() if line.startswith(ERROR)]
        assert len(errors) == 1, (name, done)
        assert "missing argument" not in errors[0].lower(), "what it needs is not in TYPED"


def test_what_is_typed_here_is_for_commands_that_there_are():
    assert set(TYPED) | STARTS | TELLS <= set(COMMANDS)


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("kind", ["a folder", "a loop", "no text", "no TOML", "wrong", "not there"])
def test_a_configuration_that_cannot_be_used_is_exit_2(phlows, tmp_path, name, kind):
    path = tmp_path / "broken.toml"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a loop":  # what even root cannot read
        path.symlink_to(path)
    elif kind != "not there":
        content = {"no text": b"\xff\xfe", "no TOML": b"[", "wrong": b"[server]\nprot = 1\n"}
        path.write_bytes(content[kind])
    done = phlows(name, "--config", str(path))
    if (name in MAKE_IT and kind == "not there") or (name in FINDS and path.is_file()):
        assert done["code"] == 0, done
        return
    if name in MENDS and kind == "wrong":
        assert done["code"] in (0, 2), done
        return
    if name in MAKE_IT and kind == "a loop":
        assert (done["code"], "cannot write" in done["err"]) == (1, True), done
        return
    assert done["code"] == 2, done
    assert phlows(name, PHLOWS_CONFIG=str(path))["code"] == 2


@pytest.mark.parametrize("name", ASKING)
def test_without_a_broker_it_is_exit_3(phlows, name):
    done = phlows(name, "--url", NOBODY)
    assert done["code"] == (1 if name == "doctor" else 3), done


SAID = {
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "HTML": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
    "a proxy's error": b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>",
    "half an answer": b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{",
    "nothing": b"",
    "silence": None,
}


@contextmanager
def saying(said):
    """A server that answers each request with the same bytes; its address."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peer.recv(65536)
                if said is None:
                    kept.append(peer)
                    continue
                peer.sendall(said)
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for peer in kept:
            peer.close()


@pytest.mark.parametrize("kind", SAID)
def test_what_is_no_broker_is_exit_3_and_nobody_waits_for_ever(phlows, kind):
    with saying(SAID[kind]) as url:
        for name in ASKING:
            done = phlows(name, "--url", url, patience=0.1 if kind == "silence" else None)
            if name in VISITS | set(BENCHES):
                assert done["code"] in (1, 3, 4, 6), done
                continue
            assert done["code"] == (1 if name == "doctor" else 3), (name, done)


def test_a_wrong_key_is_exit_4(phlows, broker):
    for name in set(ASKING) - VISITS:
        done = phlows(name, "--url", broker.url, PHLOWS_KEY="wrong")
        assert done["code"] == (1 if name == "doctor" else 4), (name, done)


@pytest.mark.parametrize("stdout", ["closed", "full"])
@pytest.mark.parametrize("more", [(), ("--json",), ("--help",)], ids=" ".join)
def test_a_stdout_that_takes_nothing_is_told_of(phlows, stdout, more):
    for name in COMMANDS:
        if name in STARTS and more != ("--help",):
            continue
        done = phlows(name, *more, stdout=stdout)
        if more == ("--help",):
            assert done["code"] == 1, (name, done)
            assert "cannot write to stdout" in done["err"], (name, done)


@pytest.mark.parametrize("name", PAGES)
def test_no_help_is_coloured_in_a_pipe(phlows, nursery, tmp_path, name):
    for variables in ({}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        done = nursery(*name.split(), "--help", cwd=tmp_path, **variables)
        assert done["code"] == 0
        assert "\x1b" not in done["out"] + done["err"]


def test_no_answer_is_coloured_in_a_pipe(phlows):
    for name in set(COMMANDS) - STARTS:
        done = phlows(name)
        assert "\x1b" not in done["out"] + done["err"], name
