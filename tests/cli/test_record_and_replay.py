"""Record a real broker, change the app, replay: exactly the change is shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from websockets.sync.client import connect

from phlows_cli.broker.masking import masked_token
from tests.cli.conftest import ROOT
from tests.started import Started

HOST = "127.0.0.1"
ANN, BOB = "secret/of ann", "secret/of bob"
HELLO, BYE = "hello ", "bye "

PYTHON = f"""
import json, sys
sys.path.insert(0, {str(ROOT)!r})
from phlows_cli.app import run, ws_cast

def ws_auth(ws_host, ws_token, ws_socket):
    return ws_token.startswith("secret")

def ws_receive(ws_host, ws_token, ws_socket, **data):
    ws_cast("all", toast=data["text"])
    print(json.dumps({{"toast": "GREETING" + data["text"], "me": ws_token, "at": "/" + ws_token}}))

run()
"""

PHP = f"""<?php
require '{ROOT}/phlows_cli/assets/phlows.php';

function wsAuth($wsHost, $wsToken, $wsSocket)
{{
    return str_starts_with($wsToken, 'secret');
}}

function wsReceive($wsHost, $wsToken, $wsSocket, ...$data)
{{
    wsCast('all', $wsHost, toast: $data['text']);
    $answer = ['toast' => 'GREETING' . $data['text'], 'me' => $wsToken, 'at' => "/$wsToken"];
    echo json_encode($answer), "\\n";
}}

phlows_run();
"""


class Stage:
    """A broker, its app in two versions, and what was recorded of it."""

    def __init__(self, folder, program, environ, app):
        self.name, self._source, self._runtime = app
        self.folder = folder
        self._program, self._environ = program, environ
        self.app, self.new = self.write(HELLO), self.write(BYE, "new-")
        self.file = folder / "calls.ndjson"
        config = folder / "phlows.toml"
        config.write_text(
            f'[server]\nport = 0\nstate_dir = "{folder}/state"\nlog_format = "json"\n'
            f'[hosts."{HOST}"]\napp = "{self.app}"\nruntime = "{self._runtime}"\n'
            'hooks = ["connect", "auth", "receive", "close"]\n'
        )
        self.broker = Started(folder, "serve", "--config", config, "--json", ready="addresses")
        (line,) = (line for line in self.broker.lines.all() if "addresses" in line)
        (self.url,) = json.loads(line)["addresses"]

    def write(self, greeting, before=""):
        path = self.folder / f"{before}{self.name}"
        path.write_text(self._source.replace("GREETING", greeting))
        return path

    def recording(self, *args, file=None):
        """A `phlows record` that has begun."""
        file = file or self.file
        command = [sys.executable, "-m", "phlows_cli", "record", file, "--url", self.url]
        process = subprocess.Popen(
            [*map(str, command), *args],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.broker.lines.until(lambda lines: any("recording began" in line for line in lines))
        return process

    def visit(self, token, *texts):
        """A client that comes with a cookie, says something, hears answers, and leaves."""
        cookie = {"Cookie": f"token={token}"}
        url = self.url.replace("http", "ws") + "/websocket"
        with connect(url, additional_headers=cookie, compression=None) as client:
            for text in texts:
                client.send(json.dumps({"type": "say", "text": text, "from": [token, ANN]}))
                heard = [json.loads(client.recv(20)) for _ in range(2)]
                assert {"toast": text} in heard
                assert any(one["toast"] == HELLO + text for one in heard)

    def record(self, *args):
        """Two visits, from connect to close."""
        process = self.recording("--count", "10", *args)
        self.visit(ANN, "three", "four")
        self.visit(BOB, "one", "two")
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        return self.file.read_text()

    def replay(self, *args):
        """The differences, the summary and the exit code of a replay."""
        done = self._program("replay", str(self.file), *map(str, args), "--json")
        *differences, summary = map(json.loads, done.stdout.splitlines() or ["{}"])
        assert summary, done.stderr
        return differences, summary, done.returncode


@pytest.fixture(
    params=[
        pytest.param(("app.py", PYTHON, "resident"), id="python"),
        pytest.param(("app.php", PHP, "oneshot"), id="php", marks=pytest.mark.php),
    ]
)
def stage(tmp_path, program, environ, request):
    made = Stage(tmp_path, program, environ, request.param)
    yield made
    if made.broker.process.poll() is None:
        assert made.broker.stop() == 0


def test_clear_payloads_show_exactly_the_change_and_no_token(stage):
    text = stage.record("--payloads", "all")
    assert "secret" not in text
    assert masked_token(ANN) in text
    calls = [json.loads(line) for line in text.splitlines()[1:]]
    hooks = [call["hook"] for call in calls]
    assert sorted(hooks) == sorted(["connect", "auth", "receive", "receive", "close"] * 2)
    by_ann = [c for c in calls if c["hook"] == "receive" and c["token"] == masked_token(ANN)]
    assert [call["message"]["text"] for call in by_ann] == ["three", "four"]
    assert by_ann[0]["answers"][0]["at"] == f"/{masked_token(ANN)}"
    tokens = [f"--token={masked_token(token)}={token}" for token in (ANN, BOB)]
    assert stage.replay("--app", stage.app, *tokens)[2] == 0
    differences, summary, code = stage.replay("--app", stage.new, *tokens)
    assert (code, summary["same"], summary["different"]) == (1, 6, 4)
    for difference in differences:
        was, now = difference["then"]["answers"][0], difference["now"]["answers"][0]
        assert now == was | {"toast": was["toast"].replace(HELLO, BYE)}
        assert difference["now"]["casts"][0]["data"] == {"toast": was["toast"][len(HELLO) :]}
    assert "secret" not in json.dumps(differences)


def test_masked_payloads_show_exactly_the_change_against_the_app_of_then(stage):
    text = stage.record()
    for said in ("secret", "one", "two", "three", "four", HELLO.strip()):
        assert said not in text.replace("phlows", "")
    assert '"type":"say"' in text
    assert stage.replay("--app", stage.app)[2] == 0
    assert stage.replay("--app", stage.app, "--against", stage.app)[2] == 0
    differences, summary, code = stage.replay("--app", stage.new, "--against", stage.app)
    assert (code, summary["different"]) == (1, 4)
    for difference in differences:
        was, now = difference["then"]["answers"][0], difference["now"]["answers"][0]
        assert was["toast"].startswith(f"{HELLO}masked-")
        assert now == was | {"toast": was["toast"].replace(HELLO, BYE)}


def test_a_recording_that_is_interrupted_can_be_replayed(stage):
    process = stage.recording("--payloads", "all", file="-")
    stage.visit(ANN, "one")
    lines = [process.stdout.readline() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.startswith("recorded ")
    stage.file.write_text("".join(lines) + rest)
    assert stage.replay("--app", stage.app, "--hooks", "connect")[1]["calls"] == 1


def test_a_broker_that_ends_leaves_a_recording_and_exit_code_3(stage):
    process = stage.recording()
    stage.visit(ANN, "one")
    stage.broker.stop()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert said.startswith(("recorded 3 calls into ", "recorded 4 calls into "))
    assert said.splitlines()[1].endswith("has gone away")
    assert stage.replay("--app", stage.app)[2] == 0


def test_ten_thousand_calls_take_no_more_memory_than_ten(tmp_path, environ):
    app = tmp_path / "app.py"
    app.write_text(PYTHON.replace('ws_cast("all", toast=data["text"])', "pass"))
    peaks = [peak_of(tmp_path, environ, app, count) for count in (10, 10_000)]
    assert peaks[1] < peaks[0] + 10_000, "KiB"


def peak_of(folder, environ, app, count):
    """The most memory that a replay of so many calls took, in KiB."""
    file = folder / f"{count}.ndjson"
    call = {"type": "hook", "time": 1, "host": "h", "hook": "receive", "token": ""}
    call |= {"outcome": "accepted", "message": {"text": "x" * 2000}}
    call |= {"answers": [{"toast": "GREETING" + "x" * 2000, "me": "", "at": "/"}]}
    with file.open("w") as lines:
        lines.write('{"type":"recording","format":1,"payloads":"all"}\n')
        for n in range(count):
            lines.write(json.dumps(call | {"socket": f"s{n % 50}"}) + "\n")
    args = ["replay", str(file), "--app", str(app), "--runtime", "resident"]
    with subprocess.Popen(
        [sys.executable, "-m", "phlows_cli", *args], env=environ, stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss
