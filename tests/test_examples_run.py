"""Every command that the documents show is run, beside a broker, and does not fail."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.cli.nursery import Nursery
from tests.conformance.program import environment
from tests.ports import free_port
from tests.started import Started
from tests.test_docs import ROOT, TEXTS, blocks

LINES = [
    (page, line)
    for page, text in TEXTS.items()
    for block in blocks(text, "sh")
    for line in re.sub(r"\\\n *", "", block).splitlines()
    if line.strip() and not line.startswith("#")
]

CANNOT = {
    r"make ": "its targets are whole jobs; that they are there is tested",
    r"pip install \.$": "the wheel is built and installed by its own test",
    r"\.venv/bin/phlows ": "it is for the demo, which is not this broker",
    r"php -r ": "PHP may not be there; what it casts with has tests of its own",
    r"systemctl |systemd-analyze ": "it is the machine's, and no command of ours",
    r"phlows demo": "it opens a page and a port that may be somebody's",
    r"phlows .*(wss|https)://\w*\.?example\.com": "it is another machine's address",
    r"phlows replay ": "it needs a recording, which its own tests make",
    r"phlows bench ": "it measures for seconds, and has tests with a real broker",
}
"""Beginning of a line -> why it is not run here."""

RUNS_ON = r"phlows (serve|tail|record|connect)\b(?!.* -x)"
"""Lines that go on until Ctrl-C."""

CODES = {
    r"phlows doctor": {0, 1},  # it says what is wrong with this machine
    r"phlows orphans drop ": {0, 4},  # nothing was given up here
}
"""Beginning of a line -> the exit codes that are not a failure; of the others 0."""

HOSTS = ("app.example.com", "localhost", "127.0.0.1")
FOLDERS = ("phlows", "systemd/system", "supervisor/conf.d", "caddy", "frankenphp", "nginx")
APPS = ("app.php", "srv/app/www/app.php", "srv/app/release/www/app.php", "new/app.php")
PHP = "<?php echo 'true', PHP_EOL;"
PYTHON = """\
import sys, time
command = sys.argv[1].rpartition("::")[2]
if command == "connect":
    time.sleep(0.1)  # so that it is slow enough for `tail --slow 100ms`
print('{"type":"chat"}' if command == "receive" else "true")
"""
"""Apps that let everybody in, and take their time at it."""


def why_not(line):
    return next((why for begin, why in CANNOT.items() if re.match(begin, line)), None)


class Scene:
    """A folder with what the documents speak of, and a broker that serves it."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        shutil.copytree(ROOT / "examples", folder / "examples")
        for name in APPS:
            self._write(name, PHP)
        self._write("chat.py", PYTHON)
        self._write("token.txt", "Ann\n")
        self._write("message.json", '{"type":"ping"}')
        self._write("messages.ndjson", '{"type":"ping"}\n')
        self._write("bin/phlows", f'#!/bin/sh\nexec {sys.executable} -m phlows_cli "$@"\n')
        (folder / "bin" / "phlows").chmod(0o755)
        self._broker = None
        self._nursery = Nursery({**environment(folder), **self.variables, "PATH": self.path})

    def _write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def path(self):
        return f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"

    @property
    def variables(self):
        return {"PHLOWS_CONFIG": str(self.folder / "phlows.toml"), "PYTHONPATH": str(ROOT)}

    def set(self, line):
        """Put everything where a line finds it, and have the broker run."""
        shutil.rmtree(self.folder / "etc", ignore_errors=True)
        for name in FOLDERS:
            (self.folder / "etc" / name).mkdir(parents=True)
        meant = next((host for host in HOSTS[1:] if host in line), HOSTS[0])
        hosts = ["other.example.com"] if "host add" in line else [meant]
        self._write("phlows.toml", self._config(hosts))
        if "config init" not in line:
            self._write("etc/phlows/phlows.toml", self._config(hosts))
        if self._broker is None or self._broker.process.poll() is not None:
            self._write("broker.toml", self._config(HOSTS))
            config = self.folder / "broker.toml"
            self._broker = Started(self.folder, "serve", "--config", config, ready="listening")

    def _config(self, hosts):
        lines = ["[server]", f"port = {self.port}", f'state_dir = "{self.folder}/state"']
        lines += [
            f'[hosts."{host}"]\napp = "{self.folder}/chat.py"\nauth = "none"' for host in hosts
        ]
        return "\n".join(lines) + "\n"

    def ends(self):
        """Wait for the broker's end; it is another one for the next line."""
        assert self._broker.process.wait(30) == 0
        self._broker.stop()
        self._broker = None

    def run(self, line):
        """Run a line; its exit code and what it said."""
        typed = re.sub(r"(?<![\w.])/(etc|srv)/", rf"{self.folder}/\1/", line)
        if re.match(RUNS_ON, line):
            return self._run_on(typed)
        if line.startswith("phlows ") and not re.search(r"[|<>$;&]", line):
            done = self._nursery(*shlex.split(typed, comments=True)[1:], cwd=self.folder)
            return done["code"], done["out"] + done["err"]
        done = subprocess.run(
            typed, shell=True, cwd=self.folder, env=self._environ(), capture_output=True,
            text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _environ(self):
        return {**environment(self.folder), **self.variables, "PATH": self.path}

    def _run_on(self, line):
        """Start it, let things happen until it has said something or enough, and interrupt it."""
        if "serve" in line:
            line += f" --port {free_port()}"
        if "record" in line:
            line += " --count 1 --force"
        process = subprocess.Popen(
            f"exec {line}", shell=True, cwd=self.folder, env=self._environ(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        for _ in range(200 if "record" in line else 10):
            has_said = select.select([process.stdout], [], [], 0.1)[0]
            if process.poll() is not None or (has_said and "record" not in line):
                break
            self._happen()
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def _happen(self):
        """A client comes, says something and goes."""
        headers = {"X-Forwarded-Host": HOSTS[0], "Cookie": "token=Ann"}
        url = f"ws://127.0.0.1:{self.port}/websocket"
        with connect(url, additional_headers=headers) as client:
            client.send('{"type":"join"}')

    def close(self):
        self._nursery.close()
        if self._broker is not None:
            self._broker.stop()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = Scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.close()


SHOWN = [(page, line) for page, line in dict.fromkeys(LINES) if why_not(line) is None]


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_what_is_shown_works(scene, page, line):
    scene.set(line)
    code, said = scene.run(line)
    if "drain" in line:
        scene.ends()
    fine = next((codes for begin, codes in CODES.items() if re.match(begin, line)), {0})
    fine = fine | {130, 1} if re.match(RUNS_ON, line) and "error: " not in said else fine
    assert code in fine, (page, line, code, said)
    assert "Traceback" not in said


@pytest.mark.parametrize("begin", [*CANNOT, *CODES])
def test_no_exception_is_made_for_what_nobody_shows(begin):
    assert [line for _, line in LINES if re.match(begin, line)], "take it out of the table"


def test_most_of_what_is_shown_is_run():
    assert len(SHOWN) > 2 * len([line for _, line in LINES if why_not(line) is not None])
    assert Path(ROOT, "README.md").name in {page for page, _ in SHOWN}
