"""A configuration that is read again while the broker serves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import replace

import pytest
import tomli_w

from phlows_cli.config import load_config
from tests.builders import HOST
from tests.certs import ONE, TWO, trusting
from tests.running import Running
from tests.server.serving import Client, close_frame, frame, http, post, upgrade

APP = """#!/bin/sh
echo "$NAME $1" >> "$LOG"
case "$1" in
  *::auth) test -z "$GATE" || { echo > "$BELL"; read line < "$GATE"; }; echo true;;
  *::receive) test -z "$GATE" || { echo > "$BELL"; read line < "$GATE"; }
    echo "{\\"from\\":\\"$NAME\\"}";;
  *) echo true;;
esac
"""


class Pipe:
    """A named pipe between the test and its apps."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = str(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    async def rings(self):
        """Wait until an app has written a line."""
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._fd, rung.set)
        await rung.wait()
        loop.remove_reader(self._fd)
        os.read(self._fd, 1)

    def let_one_pass(self):
        os.write(self._fd, b"\n")

    def close(self):
        os.close(self._fd)


class Scene:
    """A config file, its apps, and the broker that serves them."""

    def __init__(self, folder, on_log):
        self.folder = folder
        self.on_log = on_log
        self.path = folder / "phlows.toml"
        self.bell, self.gate = Pipe(folder / "bell"), Pipe(folder / "gate")
        self.app = folder / "app"
        self.app.write_text(APP)
        self.app.chmod(0o755)
        self._clients = []

    def host(self, name="one", *, waits=False, **settings):
        env = {"NAME": name, "LOG": str(self.folder / "hooks"), "BELL": self.bell.path}
        env["GATE"] = self.gate.path if waits else ""
        return {"app": str(self.app), "auth": "none", "env": env} | settings

    def write(self, *, server=(), **sections):
        """Write the file; hosts by name unless `hosts` has others."""
        server = {
            "port": 0,
            "state_dir": str(self.folder / "state"),
            "log_format": "json",
            "drain_timeout": 20.0,
        } | dict(server)
        sections.setdefault("hosts", {HOST: self.host()})
        draft = self.folder / "draft"
        draft.write_text(tomli_w.dumps({"server": server, **sections}))
        draft.replace(self.path)

    async def start(self, **serve):
        self.running = await Running(load_config(self.path), self.on_log, **serve).start()
        return self

    async def client(self, **tls):
        opened = await asyncio.open_connection("127.0.0.1", self.running.port, **tls)
        self._clients.append(Client(*opened))
        return self._clients[-1]

    async def opened(self, host=HOST, **headers):
        client = await self.client()
        assert (await client.ask(upgrade(host=host, **headers))).status == 101
        return client

    async def ask(self, path, method="GET"):
        key = (self.folder / "state" / "key").read_text().strip()
        client = await self.client()
        return await client.ask(http(path, method, {"authorization": f"Bearer {key}"}))

    async def reload(self):
        """Ask for a reload; what it changed."""
        answer = await self.ask("/reload", "POST")
        assert answer.status == 200, answer.body
        return {name: value for name, value in answer.json.items() if value and name != "status"}

    async def cast(self, host=HOST):
        body = b'{"host":"%s","data":{"cast":1}}' % host.encode()
        return await (await self.client()).ask(post(body))

    async def served(self):
        return (await self.ask("/health")).json["configured"]

    def hooks(self):
        return (self.folder / "hooks").read_text().splitlines()

    async def stop(self):
        if not self.running.task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        for client in self._clients:
            client.writer.transport.abort()
        code = await self.running.task
        self.bell.close()
        self.gate.close()
        return code


@pytest.fixture
def scene(this_process, tmp_path, on_log):
    return Scene(tmp_path, on_log)


# Hosts


async def test_hosts_come_and_go_and_nobody_else_is_dropped(scene, loop_factory):
    scene.write(hosts={HOST: scene.host(), "old.test": scene.host("old")})
    await scene.start()
    stays, goes = await scene.opened(), await scene.opened("old.test")
    goes.send(frame(b"{}"))
    assert await goes.text() == b'{"from":"old"}'
    scene.write(hosts={HOST: scene.host(), "new.test": scene.host("new")})
    assert await scene.reload() == {"added": ["new.test"], "removed": ["old.test"]}
    assert await goes.close_code() == (4004, "this host is not served any more")
    goes.send(close_frame(4004))
    assert await goes.rest() == b""
    answer = await scene.cast("old.test")
    assert (answer.status, answer.message[:23]) == (400, "unknown host 'old.test'")
    assert (await (await scene.client()).ask(upgrade(host="old.test"))).status == 421
    comes = await scene.opened("new.test")
    comes.send(frame(b"{}"))
    assert await comes.text() == b'{"from":"new"}'
    assert (await scene.cast()).json["sent"] == 1
    assert await stays.text() == b'{"cast":1}'
    assert await scene.stop() == 0
    assert [line for line in scene.hooks() if line.startswith("old")] == [
        "old ws::connect",
        "old ws::receive",
        "old ws::close",
    ], "its close hook ran with the old app"


async def test_a_running_hook_ends_with_the_old_settings_and_the_next_has_the_new(scene):
    scene.write(hosts={HOST: scene.host("before", waits=True)})
    await scene.start()
    client = await scene.opened()
    client.send(frame(b"{}"), frame(b"{}"))
    await scene.bell.rings()
    scene.write(hosts={HOST: scene.host("after")})
    assert await scene.reload() == {"changed": [HOST]}
    scene.gate.let_one_pass()
    assert await client.text() == b'{"from":"before"}'
    assert await client.text() == b'{"from":"after"}'
    assert await scene.stop() == 0
    assert scene.hooks()[-1] == "after ws::close"


async def test_a_host_removed_while_its_hook_runs_closes_now_and_runs_close_after_it(scene):
    scene.write(hosts={HOST: scene.host(waits=True)})
    await scene.start()
    client = await scene.opened()
    client.send(frame(b"{}"))
    await scene.bell.rings()
    scene.write(hosts={})
    assert await scene.reload() == {"removed": [HOST]}
    assert (await client.close_code())[0] == 4004
    assert scene.hooks() == ["one ws::connect", "one ws::receive"]
    scene.gate.let_one_pass()
    assert await scene.stop() == 0
    assert scene.hooks()[-1] == "one ws::close"


async def test_an_upgrade_that_waits_for_auth_is_421_when_its_host_is_removed(scene):
    scene.write(hosts={HOST: scene.host(waits=True, auth="upgrade")})
    await scene.start()
    client = await scene.client()
    client.send(upgrade(cookie="token=alice"))
    await scene.bell.rings()
    scene.write(hosts={})
    await scene.reload()
    scene.gate.let_one_pass()
    answer = await client.answer()
    assert (answer.status, answer.message) == (421, "host 'app.test' is not served any more")
    assert await scene.stop() == 0
    assert scene.hooks() == ["one ws::auth"], "no connect, so no close"


async def test_the_auth_mode_is_for_new_sockets(scene):
    scene.write()
    await scene.start()
    old = await scene.opened()
    scene.write(hosts={HOST: scene.host(auth="message")})
    assert await scene.reload() == {"changed": [HOST]}
    new = await scene.opened()
    old.send(frame(b"{}"))
    assert await old.text() == b'{"from":"one"}'
    new.send(frame(b"{}"))
    assert (await new.close_code())[0] == 4502
    assert await scene.stop() == 0


# Settings


async def test_limits_and_shared_settings_reach_every_app(scene):
    scene.write()
    await scene.start()
    await scene.opened()
    before = (await scene.ask("/health")).json["cap"]
    scene.write(limits={"concurrency": before + 3, "queue": 5, "max_connections": 1})
    assert await scene.reload() == {
        "settings": ["limits.max_connections", "limits.concurrency", "limits.queue"]
    }
    refused = await (await scene.client()).ask(upgrade())
    assert (refused.status, "limit of 1 sockets" in refused.message) == (503, True)
    assert (await scene.ask("/health")).json["cap"] == before + 3
    assert await scene.stop() == 0


async def test_what_needs_a_restart_is_told_on_each_reload_until_then(scene):
    scene.write()
    await scene.start()
    tls = {"tls_cert": str(ONE[0]), "tls_key": str(ONE[1])}
    scene.write(server={"port": 1, "path": "/ws", "listen": "::1"} | tls)
    names = [f"server.{name}" for name in ("listen", "port", "path", "tls_cert", "tls_key")]
    for _ in range(2):
        assert await scene.reload() == {"needs_restart": names}
        await scene.opened()
    scene.write()
    assert await scene.reload() == {}
    assert await scene.stop() == 0


async def test_options_stand_above_the_file_on_every_reload(scene):
    scene.write()
    limits = load_config(scene.path).limits
    await scene.start(reread=lambda: replace(load_config(scene.path), limits=limits))
    scene.write(limits={"queue": 5}, hosts={})
    assert await scene.reload() == {"removed": [HOST]}
    assert await scene.stop() == 0


async def test_a_broker_without_a_file_keeps_the_hosts_it_was_started_with(scene):
    scene.write()
    config = replace(load_config(scene.path), path=None)
    scene.running = await Running(config, scene.on_log).start()
    assert await scene.reload() == {}
    assert await scene.served() == [HOST]
    assert await scene.stop() == 0


# What is wrong


def spoil_toml(scene):
    scene.path.write_text("[server\n")


def spoil_key(scene):
    scene.write(hosts={}, limits={"quue": 1})


def spoil_interpreter(scene):
    host = scene.host(app="/srv/app.php")
    scene.write(hosts={"new.test": host}, interpreters={"php": ""})


def spoil_key_file(scene):
    (scene.folder / "file").touch()
    scene.write(hosts={}, bridge={"key_file": str(scene.folder / "file" / "key")})


def spoil_certificate(scene):
    tls = {"tls_cert": str(ONE[0]), "tls_key": str(TWO[1])}
    scene.write(hosts={}, server=tls)


def spoil_all(scene):
    scene.path.unlink()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoil_toml, "phlows.toml:1: "),
        (spoil_key, "unknown key limits.quue: did you mean queue?"),
        (spoil_interpreter, "php"),
        (spoil_key_file, "key file"),
        (spoil_certificate, "KEY_VALUES_MISMATCH"),
        (spoil_all, "there is no such config file"),
    ],
)
async def test_a_wrong_file_changes_nothing_and_says_why(scene, monkeypatch, spoil, why):
    scene.write()
    await scene.start()
    client = await scene.opened()
    monkeypatch.setenv("PATH", "/nowhere")
    spoil(scene)
    answer = await scene.ask("/reload", "POST")
    assert answer.status == 400
    assert answer.message.startswith("nothing was changed: ")
    assert why in answer.message
    assert await scene.served() == [HOST]
    monkeypatch.undo()
    client.send(frame(b"{}"))
    assert await client.text() == b'{"from":"one"}'
    scene.write(hosts={HOST: scene.host(), "new.test": scene.host("new")})
    assert await scene.reload() == {"added": ["new.test"]}
    assert await scene.stop() == 0


# Who asks for it


@pytest.fixture
def told(on_log):
    """What the service says of reloads that no caller waits for."""
    queue = asyncio.Queue()
    on_log(reloaded=queue.put_nowait)
    return queue


async def test_sighup_reloads(scene, told):
    scene.write(hosts={})
    await scene.start()
    scene.path.write_text(scene.path.read_text() + '[hosts."new.test"]\nhooks = []\n')
    os.kill(os.getpid(), signal.SIGHUP)
    assert (await told.get()).added == "new.test"
    assert await scene.served() == ["new.test"]
    assert await scene.stop() == 0


async def test_a_changed_file_is_reloaded_by_itself(scene, told):
    scene.write(hosts={})
    await scene.start()
    scene.write(hosts={"new.test": {"hooks": []}})
    assert (await told.get()).added == "new.test"
    assert await scene.stop() == 0


class Heard(logging.Handler):
    """Sets an event when a reload was refused; the fixture of the log removes it."""

    def __init__(self, said):
        super().__init__()
        self.said = said

    def emit(self, record):
        if record.getMessage().startswith("reload refused"):
            self.said.set()


async def test_a_signal_with_a_wrong_file_is_a_warning(scene, caplog):
    scene.write()
    await scene.start()
    scene.path.write_text("[server\n")
    said = asyncio.Event()
    logging.getLogger("phlows.service").addHandler(Heard(said))
    os.kill(os.getpid(), signal.SIGHUP)
    await said.wait()
    (record,) = [r for r in caplog.records if "reload refused" in r.getMessage()]
    assert "phlows.toml:1: " in record.getMessage()
    assert (record.levelname, record.cause) == ("WARNING", "SIGHUP")
    assert await scene.served() == [HOST]
    assert await scene.stop() == 0


async def test_while_the_broker_drains_a_reload_is_refused(scene):
    scene.write(hosts={HOST: scene.host(waits=True)})
    await scene.start()
    client, caller = await scene.opened(), await scene.client()
    client.send(frame(b"{}"))
    await scene.bell.rings()
    assert (await scene.ask("/drain", "POST")).json == {"status": "ok"}
    await scene.running.stopping.wait()
    scene.write(hosts={})
    os.kill(os.getpid(), signal.SIGHUP)
    answer = await scene.ask("/reload", "POST")
    assert (answer.status, answer.message) == (503, "the broker is stopping")
    assert (await caller.ask(upgrade())).status == 503
    scene.gate.let_one_pass()
    assert await client.text() == b'{"from":"one"}'
    assert await client.close_code() == (1012, "restarting, come back in 1 s")
    assert await scene.stop() == 0
    assert scene.hooks()[-1] == "one ws::close"


# TLS


async def test_another_certificate_is_shown_without_dropping_a_socket(scene, loop_factory):
    def tls(certificate):
        return {"tls_cert": str(certificate[0]), "tls_key": str(certificate[1])}

    scene.write(server=tls(ONE))
    await scene.start()
    assert scene.running.url.startswith("https://")
    one = await scene.client(ssl=trusting(ONE), server_hostname=HOST)
    assert (await one.ask(upgrade())).status == 101
    scene.write(server=tls(TWO))
    assert await scene.reload() == {"settings": ["server.tls_cert", "server.tls_key"]}
    two = await scene.client(ssl=trusting(TWO), server_hostname=HOST)
    assert (await two.ask(upgrade())).status == 101
    for client in (one, two):
        client.send(frame(b"{}"))
        assert await client.text() == b'{"from":"one"}'
    scene.write()
    assert await scene.reload() == {"needs_restart": ["server.tls_cert", "server.tls_key"]}
    assert (await (await scene.client()).ask(http("/ready"))).status == 200, "apps cast in plain"
    assert await scene.stop() == 0
