"""How connections end; those that end with their broker have one of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest


class Talking:
    """A `phlows connect --json` that stays, and is spoken to."""

    def __init__(self, environ, broker, *args):
        command = [sys.executable, "-m", "phlows_cli", "connect", *args]
        self.process = subprocess.Popen(
            [*command, "-c", str(broker.path), "--url", broker.url, "--json"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.next()["event"] == "open"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def next(self):
        return json.loads(self.process.stdout.readline())

    def say(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.next()["event"] == "sent"

    def ends(self):
        """The exit code, and the close that was told last."""
        *_, last = self.process.stdout.read().splitlines()
        close = json.loads(last)
        assert close["event"] == "close"
        assert "Traceback" not in self.process.stderr.read()
        return self.process.wait(30), close


@pytest.fixture
def talking(environ):
    return lambda broker, *args: Talking(environ, broker, *args)


def test_a_broker_that_stops_says_when_to_come_back(own_broker, talking):
    with own_broker() as broker, talking(broker, "none.test") as client:
        client.say("a=1")
        assert client.next()["data"]["got"] == {"a": "1"}
        assert broker.started.stop() == 0
        code, close = client.ends()
    assert (code, close["code"], close["by"], close["comes_back"]) == (1, 1012, "server", True)
    assert close["reason"].startswith("restarting, come back in ")


def test_a_broker_that_is_killed_is_exit_code_3(own_broker, talking):
    with own_broker() as broker, talking(broker, "none.test") as client:
        broker.started.stop("kill")
        code, close = client.ends()
    assert (code, close["code"], close["by"]) == (3, 1006, "nobody")


def test_other_ends_by_the_broker_are_told_with_their_codes(own_broker, talking, phlows):
    with own_broker(rate=5) as broker:
        own = ("-c", str(broker.path), "--url", broker.url)
        with talking(broker, "none.test") as fast:
            fast.process.stdin.write("a=1\n" * 100)
            fast.process.stdin.flush()
            assert fast.ends()[1]["code"] == 4003
        with talking(broker, "message.test") as silent:
            code, close = silent.ends()
            assert (code, close["code"]) == (6, 4001)
        with talking(broker, "none.test") as removed:
            text = broker.path.read_text().replace('"none.test"', '"more.test"')
            broker.path.write_text(text)
            assert phlows("reload", *own).exit_code == 0
            code, close = removed.ends()
            assert (code, close["code"], close["comes_back"]) == (1, 4004, True)


def test_the_code_of_a_disconnect_is_told(broker, talking, phlows):
    import requests

    with talking(broker, "none.test") as client:
        client.say("a=1")
        client.next()
        key = (broker.folder / "state" / "key").read_text().strip()
        body = {"host": "none.test", "target": "all", "code": 4777, "reason": "go\x1b[2J"}
        answer = requests.post(
            f"{broker.url}/disconnect",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        )
        assert answer.json()["disconnected"] == 1
        code, close = client.ends()
    assert (code, close["code"], close["reason"]) == (4, 4777, "go\x1b[2J")


def test_ctrl_c_closes_in_order_and_is_exit_code_130(broker, talking):
    with talking(broker, "none.test") as client:
        client.say("a=1")
        client.next()
        client.process.send_signal(signal.SIGINT)
        assert client.process.wait(30) == 130
        assert client.process.stderr.read().strip() == ""


def test_the_end_of_stdin_waits_for_answers_and_closes(broker, talking):
    with talking(broker, "none.test", "--wait", "0.5") as client:
        client.say("a=1")
        client.process.stdin.close()
        assert client.next()["event"] == "message"
        code, close = client.ends()
    assert (code, close["code"], close["by"]) == (0, 1000, "client")
