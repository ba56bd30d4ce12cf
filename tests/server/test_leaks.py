"""What is left when everybody has gone: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from phlows_cli.broker.session import Session
from phlows_cli.config import Interpreters
from phlows_cli.model import Target
from phlows_cli.runtime.runtime import RuntimeSettings, runtime_for
from phlows_cli.runtime.slots import Slots
from phlows_cli.server.channel import Channel
from phlows_cli.server.connection import Connection
from tests.builders import HOST, KEY, make_host
from tests.fakes import turns
from tests.server.serving import close_frame, frame, http, post, serving

pytestmark = pytest.mark.usefixtures("loop_factory")

APP = """#!/bin/sh
case "$1" in
  *::receive) echo '{"answer":1}';;
  *) echo true;;
esac
"""
CONNECTS = 50


def descriptors():
    folder = Path("/proc/self/fd" if Path("/proc").is_dir() else "/dev/fd")
    return len(list(folder.iterdir()))


def children():
    """The processes that this one started and that are not gone, zombies included."""
    if not Path("/proc/self/stat").exists():
        lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid=,comm="], text=True)
        rows = [line.split(None, 2) for line in lines.splitlines()]
        return {int(p) for p, ppid, name in rows if int(ppid) == os.getpid() and name != "ps"}
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # gone meanwhile
            parent = stat.read_text("latin-1").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.add(int(stat.parent.name))
    return found


def parts():
    """How many sessions, channels and connections there are."""
    gc.collect()
    return sum(isinstance(thing, Session | Channel | Connection) for thing in gc.get_objects())


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "app"
    path.write_text(APP)
    path.chmod(0o755)
    return str(path)


def use_processes(scene, app):
    """Run the hooks as real processes."""
    settings = RuntimeSettings(
        interpreters=Interpreters("", ""),
        queue=1000,
        output=65_536,
        url="http://127.0.0.1:1",
        slots=Slots(4),
    )
    host = make_host(app=app, auth=scene.app.host.auth)
    scene.app.runtime = runtime_for(host, settings, scene.app.on_stderr)


async def come_and_go(scene, number, path):
    """One visit, ended in one of five ways."""
    client = await (await scene.client()).open(cookie=f"token=t{number}")
    if number % 5 == 0:
        client.reset()  # perhaps while its connect hook runs
        return
    client.send(frame(b'{"n":1}'))
    assert await client.text() == b'{"answer":1}'
    if number % 5 == 1:
        client.send(close_frame())
        await client.rest()
    elif number % 5 == 2:
        scene.broker.disconnect(HOST, Target.parse(f"token:t{number}"), 1000, "")
        await client.close_code()
        client.send(close_frame())
        await client.rest()
    elif number % 5 == 3:
        client.end()
        await client.rest()
    client.leave()


@pytest.mark.parametrize("auth", ["message", "upgrade"])
async def test_fifty_connects_and_a_stop_leave_no_task_descriptor_process_or_part(app, auth):
    async with serving():
        pass  # what a loop keeps once it has listened is its own
    await turns(50)
    parts_before, descriptors_before = parts(), descriptors()
    tasks_before = asyncio.all_tasks()
    children_before = children()
    async with serving(auth=auth) as scene:
        use_processes(scene, app)
        events = await scene.client()
        events.send(http("/events", headers={"authorization": f"Bearer {KEY}"}))
        await asyncio.gather(*(come_and_go(scene, n, app) for n in range(CONNECTS)))
        caster = await scene.client()
        assert (await caster.ask(post(b'{"host":"app.test"}'))).json["sent"] >= 0
        await scene.broker.drain(20)
        scene.pass_time(2)
        await scene.front.wait_empty()
        assert len(scene.broker.tasks) == 0
        assert not scene.app.runtime.busy
        drops = dict(scene.broker.drops.totals)
        assert not [reason for reason in drops if reason.startswith(("connect", "auth", "close"))]
    del scene, events, caster
    await turns(50)  # transports close their descriptors in a later turn
    assert asyncio.all_tasks() == tasks_before
    assert descriptors() == descriptors_before
    assert children() <= children_before
    assert parts() == parts_before


async def test_sockets_that_came_and_went_leave_nothing_while_the_broker_goes_on():
    async with serving(auth="none", automatic=["connect", "receive", "close"]) as scene:
        before = parts()
        for number in range(CONNECTS):
            client = await (await scene.client()).open(cookie=f"token=t{number}")
            client.send(frame(b"{}"), close_frame())
            await client.rest()
            client.leave()
        await scene.front.wait_empty()
        await scene.settle()
        scene.runtime.calls.clear()
        del scene._clients[1:]  # all but the probe
        assert not scene.broker.hub.tokens(HOST)
        assert len(scene.broker._auth_deadlines) == 0
        assert not any(scene.front._keepalive._slots)
        assert parts() == before
