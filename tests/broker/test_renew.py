"""New workers for old ones: the new boot first, the old end what they do."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.errors import RequestError
from phlows_cli.model import Outcome, Task
from tests.builders import HOST, Stage, make_host
from tests.fakes import ScriptedRuntime, turns


class Pool(ScriptedRuntime):
    """An app with workers, which boot when the test says so."""

    def __init__(self, workers=0, problem="", **how):
        super().__init__(**how)
        self.worker_count = workers
        self.problem = problem
        self.asked = None
        self.booted = asyncio.get_running_loop().create_future()

    async def warm(self, count):
        self.asked = count
        self.problem = await self.booted
        self.worker_count = 0 if self.problem else count
        return self.problem


class Scene(Stage):
    """A host whose runtimes are handed out in turn."""

    def __init__(self, before, *fresh, **host):
        super().__init__(**{"runtime": "resident", **host})
        self.broker.apps[HOST].runtime = before
        self.before = before
        self.fresh = list(fresh)

    def make(self, _app):
        return self.fresh.pop(0)

    def renew(self):
        return asyncio.ensure_future(self.broker.renew(HOST, self.make))


async def test_events_go_to_the_old_workers_until_the_new_ones_have_booted():
    old, new = Pool(2), Pool()
    scene = Scene(old, new)
    renewal = scene.renew()
    await turns()
    assert (new.asked, scene.app.runtime) == (2, old)
    running = asyncio.ensure_future(scene.broker.run(scene.app, Task(HOST, "a")))
    call = await old.started("call")
    new.booted.set_result("")
    assert await renewal == (2, "")
    assert scene.app.runtime is new
    assert not old.is_stopped, "it has work to do"
    call.ends(Outcome.ACCEPTED, result=b"1")
    assert (await running).result == b"1"
    await old.ended.wait()
    later = asyncio.ensure_future(scene.broker.run(scene.app, Task(HOST, "b")))
    (await new.started("call")).accepts()
    await later
    assert not new.is_stopped


async def test_where_the_new_ones_do_not_boot_the_old_ones_stay():
    old, new = Pool(1), Pool()
    scene = Scene(old, new)
    renewal = scene.renew()
    await turns()
    new.booted.set_result("exit code 255")
    assert await renewal == (0, "exit code 255")
    await new.ended.wait()
    assert scene.app.runtime is old
    assert not old.is_stopped
    assert old.problem == ""


async def test_without_workers_there_is_nothing_to_boot_but_new_code_is_used():
    old, new = Pool(0), Pool()
    scene = Scene(old, new)
    new.booted.set_result("")
    assert await scene.renew() == (0, "")
    assert (new.asked, scene.app.runtime) == (0, new)


@pytest.mark.parametrize("words", ["", "still broken"])
async def test_an_app_that_did_not_boot_must_boot_before_it_is_taken_for_mended(words):
    old, new = Pool(0, "broken"), Pool()
    scene = Scene(old, new)
    new.booted.set_result(words)
    assert (await scene.renew())[1] == words
    assert new.asked == 1
    assert scene.app.runtime is (old if words else new)
    assert scene.app.runtime.problem == ("broken" if words else "")


@pytest.mark.parametrize(
    "host", [{"runtime": "oneshot"}, {"app": "http://127.0.0.1:1/"}], ids=["one-shot", "URL"]
)
async def test_a_host_without_workers_is_left_alone(host):
    old = Pool(0)
    scene = Scene(old, **host)
    assert await scene.renew() == (0, "")
    assert scene.app.runtime is old


async def test_a_push_only_host_is_left_alone():
    scene = Scene(None)
    assert await scene.renew() == (0, "")


@pytest.mark.parametrize("what", ["change", "remove"])
async def test_a_host_that_is_changed_meanwhile_keeps_what_it_was_changed_to(what):
    old, new, changed = Pool(1), Pool(), Pool()
    scene = Scene(old, new)
    renewal = scene.renew()
    await turns()
    if what == "change":
        scene.broker.change_host(make_host(runtime="resident"), lambda _: changed)
    else:
        scene.broker.remove_host(HOST)
    new.booted.set_result("")
    assert await renewal == (0, "its settings were changed meanwhile")
    await new.ended.wait()
    await old.ended.wait()
    assert scene.app.runtime is (changed if what == "change" else old)


async def test_two_who_ask_at_once_are_served_one_after_the_other():
    old, first, second = Pool(1), Pool(), Pool()
    scene = Scene(old, first, second)
    renewals = [scene.renew(), scene.renew()]
    await turns()
    assert second.asked is None
    first.booted.set_result("")
    second.booted.set_result("")
    assert await asyncio.gather(*renewals) == [(1, ""), (1, "")]
    assert scene.app.runtime is second
    await first.ended.wait()


async def test_a_broker_that_stops_boots_no_more_workers():
    scene = Scene(Pool(1))
    scene.broker.is_draining = True
    assert await scene.renew() == (0, "the broker is stopping")


# Tasks


async def test_a_task_is_an_event_of_nobodys_socket_and_a_drain_waits_for_it():
    scene = Stage()
    running = scene.broker.tasks.spawn(scene.broker.run(scene.app, Task(HOST, "a::b", (1,))))
    call = await scene.runtime.started("call")
    drain = asyncio.ensure_future(scene.broker.drain(20))
    await turns()
    assert not drain.done()
    call.accepts()
    assert await drain == 0
    assert running.done()


async def test_a_task_is_refused_while_the_broker_stops_and_where_there_is_no_app():
    scene = Stage()
    scene.app.runtime = None
    with pytest.raises(RequestError, match="no app to run 'a::b'"):
        await scene.broker.run(scene.app, Task(HOST, "a::b"))
    scene.broker.is_draining = True
    with pytest.raises(RequestError) as refused:
        await scene.broker.run(scene.app, Task(HOST, "a::b"))
    assert refused.value.status == 503
