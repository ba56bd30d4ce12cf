"""The real `phlows serve`, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import tomli_w

from tests.conformance.stage import SECRET, Stage
from tests.conformance.stream import DEADLINE, dial
from tests.conformance.web import call, read_head, request_bytes
from tests.ports import free_port

STARTS = 5
"""Tries to get a port: another program may take it between choice and bind."""

BAD_WORDS = ("Traceback", "ResourceWarning", "DeprecationWarning", "RuntimeWarning", "Unraisable")
"""What a broker that works never writes to stderr."""

APPS = Path(__file__).parent / "apps"
ACTORS = {"python": APPS / "actor.py", "php": APPS / "actor.php", "quick": APPS / "yes.sh"}


class Growing:
    """A list that a thread fills and a test waits on."""

    def __init__(self):
        self._items = []
        self._changed = threading.Condition()  # re-entrant: a search may look again

    def add(self, items):
        with self._changed:
            self._items += items
            self._changed.notify_all()

    def all(self):
        with self._changed:
            return list(self._items)

    def until(self, find):
        """What `find` makes of the items, once it makes something."""
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while not (found := find(self._items)):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"not among {self._items[-50:]}")
            return found


class Told(Growing):
    """Events; those of one socket or agent are found without reading all."""

    def __init__(self):
        super().__init__()
        self._by = defaultdict(list)

    def add(self, items):
        with self._changed:
            for item in items:
                for name in ("agent", "socket"):
                    self._by[name, item.get(name)].append(item)
            super().add(items)

    def first(self, **fields):
        """The first event with these values, once there is one."""
        name = next((name for name in ("agent", "socket") if name in fields), None)

        def find(items):
            some = self._by[name, fields[name]] if name else items
            return next((item for item in some if fields.items() <= item.items()), None)

        return self.until(find)

    def of(self, kind, socket_id):
        """The first event of a kind that a socket has had by now, or None."""
        with self._changed:
            events = self._by["socket", socket_id]
            return next((event for event in events if event["type"] == kind), None)

    def count(self, kind, socket_id):
        """How many events of a kind a socket has had by now."""
        with self._changed:
            return sum(event["type"] == kind for event in self._by["socket", socket_id])

    def of_host(self, host):
        return [event for event in self.all() if event["host"] == host]

    def of_socket(self, socket_id):
        """What was told of one socket so far."""
        with self._changed:
            return list(self._by["socket", socket_id])


class Watcher:
    """A reader of /events that keeps all it was told."""

    def __init__(self, address, key, query=""):
        self.events = Told()
        self._stream = dial(address)
        head = [("Authorization", f"Bearer {key}")]
        self._stream.send(request_bytes("GET", f"/events{query}", None, head))
        status, self.headers = read_head(self._stream)
        assert status == 200
        self._stream.sock.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self):
        with suppress(OSError):  # the broker has ended already
            self._stream.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE)
        self._stream.close()

    def _read(self):
        with self._stream.sock.makefile("rb") as lines:
            while size := int(lines.readline() or b"0", 16):
                self.events.add([json.loads(line) for line in lines.read(size).splitlines()])
                lines.readline()


class Stages(dict):
    """The stages of a broker's hosts, each made when a test first asks for it."""

    def __init__(self, folder):
        self.folder = folder

    def __missing__(self, host):
        self[host] = Stage(self.folder / host, host)
        return self[host]


class Program:
    """One broker: start, look, stop.

    `address` is where it listens; `events` is what it told from its start on.
    Each host has a stage; its `app` is "python" or "php" for an actor, "quick" for
    one that only says yes.
    """

    def __init__(
        self,
        folder,
        hosts,
        environ=None,
        options=(),
        *,
        watches=True,
        module="phlows_cli",
        **config,
    ):
        self.folder = folder
        self._options = options
        self._module = module
        folder.mkdir(exist_ok=True)
        self.environ = {**environment(folder), **(environ or {})}
        self.stages = Stages(folder / "stages")
        self._config = {**config, "hosts": {n: self._host(n, host) for n, host in hosts.items()}}
        self._checked = [0, 0]
        self._stdout = (folder / "stdout").open("wb")
        for _ in range(STARTS):
            if self._start():
                break
        else:
            raise AssertionError(self.stderr.all())
        self.watcher = Watcher(self.address, self.key) if watches else None
        self.events = self.watcher.events if watches else Told()

    @property
    def key(self):
        if "PHLOWS_KEY" in self.environ:
            return self.environ["PHLOWS_KEY"]
        return (self.folder / "state" / "key").read_text().strip()

    @property
    def pid(self):
        return self.process.pid

    def _host(self, name, host):
        if "app" not in host:
            return host
        if "STAGE" in host.get("env", {}):
            return host
        own = {"STAGE": f"{self.folder}/stages/{name}", "KEY_FILE": f"{self.folder}/state/key"}
        app = str(ACTORS.get(host["app"], host["app"]))
        return {**host, "app": app, "env": {**own, **host.get("env", {})}}

    def configure(self, change=None, **sections):
        """Write another configuration in one step, as a deployment does.

        `change` is given the hosts, by name, to add to and remove from. A section
        replaces the one of before.
        """
        hosts = dict(self._config["hosts"])
        if change is not None:
            change(hosts)
        hosts = {name: self._host(name, host) for name, host in hosts.items()}
        self._config = {**self._config, **sections, "hosts": hosts}
        self._write()

    def write_config(self, text):
        """Put a text in the place of the configuration."""
        draft = self.folder / "draft.toml"
        draft.write_text(text)
        draft.rename(self.folder / "phlows.toml")

    def _write(self):
        server = {"port": self._port, "state_dir": str(self.folder / "state")}
        config = {**self._config, "server": {**server, **self._config.get("server", {})}}
        self.write_config(tomli_w.dumps(config))

    def start_again(self):
        """Start once more where it was, when it has ended; its events are not watched."""
        self._reader.join(DEADLINE)
        self.process.wait()
        self._checked[0] = 0
        assert self._launch(), self.stderr.all()

    def _start(self):
        self._port = free_port()
        self.address = ("127.0.0.1", self._port)
        self._write()
        return self._launch()

    def _launch(self):
        path = self.folder / "phlows.toml"
        self.stderr = Growing()
        self.process = subprocess.Popen(
            [sys.executable, "-m", self._module, "serve", "--config", str(path), *self._options],
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            env=self.environ,
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        said = self.says("  listening ", '"serving"', "is in use", "stderr ended")
        if chosen := re.search(r"http://127\.0\.0\.1:(\d+)", said):
            self.address = ("127.0.0.1", int(chosen[1]))
        if "is in use" not in said and said != "stderr ended":
            return True
        self._reader.join(DEADLINE)
        self.process.wait(DEADLINE)
        return False

    def _read_stderr(self):
        with self.process.stderr as lines:
            for line in lines:
                self.stderr.add([line.decode().rstrip("\n")])
        self.stderr.add(["stderr ended"])

    def says(self, *texts):
        """The first line of stderr with one of the texts, once there is one."""
        return self.stderr.until(
            lambda lines: next((s for s in lines if any(text in s for text in texts)), None)
        )

    def says_again(self, text, count):
        """The first `count` lines of stderr with a text, once there are so many."""

        def find(lines):
            found = [line for line in lines if text in line]
            return found[:count] if len(found) >= count else None

        return self.stderr.until(find)

    # The bridge

    def ask(self, method, path, body=None, headers=(), **how):
        """A request without the key; no answer shows a token."""
        answer = call(self.address, method, path, body, headers, **how)
        assert SECRET.encode() not in answer.body
        return answer

    def ask_with_key(self, method, path, body=None):
        return self.ask(method, path, body, [("Authorization", f"Bearer {self.key}")])

    def cast(self, host, data, target="all", **more):
        """Cast; the receipt."""
        body = {"host": host, "target": target, "data": data, **more}
        answer = self.ask("POST", "/message", body)
        assert answer.status == 200, answer
        return answer.json

    def health(self):
        return self.ask("GET", "/health").json

    def presence(self, host):
        return self.ask_with_key("GET", f"/presence?host={host}").json["sockets"]

    # What became of a client

    def socket_of(self, client):
        """The socket id of a client, which its agent tells."""
        return self.events.first(type="open", agent=client.agent)["socket"]

    def admitted(self, client):
        """Wait until casts find this client; its socket id."""
        socket_id = self.socket_of(client)
        self.events.first(type="auth", socket=socket_id)
        return socket_id

    def ended(self, socket_id):
        """Wait until a socket has left; the event that said so."""
        return self.events.first(type="close", socket=socket_id)

    def hook_done(self, socket_id, hook):
        """Wait until a hook of a socket is over; the event that said so."""
        return self.events.first(type="hook", socket=socket_id, hook=hook)

    def hooks_done(self, socket_id):
        """The hooks of a socket that are over, in order."""
        told = self.events.of_socket(socket_id)
        return [event["hook"] for event in told if event["type"] == "hook"]

    # The end

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """Wait until it has ended; its exit code."""
        self._reader.join(DEADLINE)  # stderr ends with it: no need to ask again and again
        return self.process.wait(1.0)

    def stop(self):
        """End it in order, and see that it was in order."""
        try:
            if self.process.poll() is None:
                self.signal()
                assert self.wait() == 0, self.stderr.all()[-20:]
        finally:
            self.kill()
        self.check_words()
        assert (self.folder / "stdout").read_bytes() == b"", "logs belong on stderr"

    def kill(self):
        """Let go of it, whatever it does."""
        self.process.kill()
        self._reader.join(DEADLINE)
        self.process.wait()
        if self.watcher is not None:
            self.watcher.stop()
        self._stdout.close()
        for stage in self.stages.values():
            stage.close()

    def check_words(self):
        """Nothing new tells of a crash, of a token in clear or of lost events."""
        lines, events = self.stderr.all(), self.events.all()
        new_lines, new_events = lines[self._checked[0] :], events[self._checked[1] :]
        self._checked = [len(lines), len(events)]
        assert not [line for line in new_lines if any(word in line for word in BAD_WORDS)], lines
        assert not [line for line in new_lines if SECRET in line]
        assert not [event for event in new_events if SECRET in json.dumps(event)]
        assert not [event for event in new_events if event["type"] == "lost"]


def environment(folder):
    """The broker's: without anything of phlows, with something to leak."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PHLOWS")}
    return {**kept, "HOME": str(folder), "BROKERS_OWN": SECRET, "PYTHONUNBUFFERED": "1"}
