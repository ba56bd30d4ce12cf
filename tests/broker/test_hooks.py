from __future__ import annotations

import asyncio

import pytest

from phlows_cli.broker import hooks as module
from phlows_cli.broker.drops import Drops
from phlows_cli.broker.events import Events, Watch
from phlows_cli.broker.hooks import ABSENT, Application
from phlows_cli.model import Hook, Outcome, token_hash
from tests.builders import HOST, make_host
from tests.fakes import ScriptedRuntime

RECEIVE = Hook("receive", HOST, "secret", "5" * 16, "{}")


class Scene:
    """An application, and a call that the test brings to its end."""

    def __init__(self, **host):
        self.runtime = ScriptedRuntime()
        self.drops, self.events = Drops(), Events()
        self.app = Application(make_host(**host), self.runtime, self.drops, self.events)
        self.sent = []

    async def call(self, hook=RECEIVE, send=True):
        work = self.app.call(hook, self.sent.append if send else None)
        self.task = asyncio.ensure_future(work)
        return await self.runtime.started(hook.name)


async def test_a_hook_that_the_app_does_not_have_starts_nothing_and_lets_through():
    scene = Scene(hooks=frozenset({"connect"}))
    assert await scene.app.call(RECEIVE) is ABSENT
    assert (ABSENT.is_accepted, ABSENT.started) == (True, False)
    assert scene.runtime.calls == []


async def test_a_push_only_host_starts_nothing():
    app = Application(make_host(), None, Drops(), Events())
    assert await app.call(RECEIVE) is ABSENT


@pytest.mark.parametrize("outcome", list(Outcome))
async def test_failures_are_counted_and_logged_with_ids_and_without_the_token(outcome, caplog):
    scene = Scene()
    call = await scene.call()
    call.ends(outcome, reason="exit code 1", seconds=0.0123456)
    assert (await scene.task).outcome is outcome
    is_failure = outcome not in (Outcome.ACCEPTED, Outcome.REFUSED)
    assert dict(scene.drops.totals) == ({f"receive {outcome}": 1} if is_failure else {})
    records = [r for r in caplog.records if r.name == "phlows.hooks"]
    assert len(records) == is_failure
    for record in records:
        assert (record.host, record.hook, record.socket) == (HOST, "receive", RECEIVE.socket)
        assert (record.ms, record.reason) == (12.346, "exit code 1")
        assert "secret" not in repr(vars(record))


async def test_output_over_the_limit_is_counted_in_bytes_and_logged_with_the_limit(caplog):
    scene = Scene()
    call = await scene.call()
    call.ends(Outcome.ACCEPTED, dropped=512, output_limit=4000)
    await scene.task
    (record,) = caplog.records
    assert record.message == "output over limits.output was dropped"
    assert (record.hook, record.dropped, record.limit) == (call.hook.name, 512, 4000)
    assert scene.drops.totals["bytes of output over limits.output"] == 512


async def test_without_a_receiver_output_is_dropped_unseen(caplog):
    scene = Scene()
    call = await scene.call(send=False)
    call.prints(b'{"a":1}')
    call.prints(b"PHP Warning")
    call.accepts()
    await scene.task
    assert scene.sent == []
    assert not caplog.records


async def test_ignored_output_is_logged_cut_and_not_more_often_than_a_reader_can_follow(
    caplog, monkeypatch
):
    scene = Scene()
    now = module.time.monotonic()
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": lambda: now}))
    call = await scene.call()
    for _ in range(50):
        call.prints(b"W\xc3\xa4rning " + b"x" * 10_000)
    monkeypatch.undo()
    call.accepts()
    await scene.task
    logged = [record for record in caplog.records if record.msg == "output not sent"]
    assert len(logged) == 40, "a burst of twice the rate"
    assert scene.drops.totals["log line about an app"] == 10
    assert logged[0].text == "Wärning " + "x" * 192
    assert logged[0].reason == "not JSON"
    assert scene.sent == []


async def test_a_hook_event_tells_milliseconds_and_outcome():
    scene = Scene()
    seen = Watch(lambda: None)
    scene.events.add(seen)
    call = await scene.call()
    call.ends(Outcome.TIMEOUT, reason="ran for more than 30 s", seconds=30.0)
    await scene.task
    (event,) = seen.take()
    event.pop("time")
    assert event == {
        "type": "hook",
        "host": HOST,
        "socket": RECEIVE.socket,
        "token": token_hash("secret")[:12],
        "hook": "receive",
        "ms": 30_000.0,
        "outcome": "timeout",
        "reason": "ran for more than 30 s",
    }
    assert type(event["outcome"]) is str


def test_stderr_is_logged_with_its_host_hook_and_socket(caplog):
    caplog.set_level("INFO")
    app = Application(make_host(), None, Drops(), Events())
    app.on_stderr(RECEIVE, "Notice: x")
    (record,) = caplog.records
    assert (record.host, record.hook, record.text) == (HOST, "receive", "Notice: x")
    assert "secret" not in repr(vars(record))


async def test_the_queue_of_the_runtime_is_the_queue_of_the_app():
    scene = Scene()
    assert not scene.app.is_full
    scene.runtime.is_at_limit = True
    assert scene.app.is_full
    assert scene.app.message_limit == scene.runtime.message_limit


async def test_the_token_is_masked_in_what_an_app_says(caplog):
    caplog.set_level("INFO")
    scene = Scene()
    call = await scene.call()
    call.prints(b"#0 app.php(3): wsReceive('app.test', 'secret')")
    scene.app.on_stderr(RECEIVE, "wsAuth('app.test', 'secret')")
    call.ends(Outcome.ACCEPTED)
    await scene.task
    texts = [record.text for record in caplog.records]
    assert (
        texts
        == ["wsAuth('app.test', '[token]')", "#0 app.php(3): wsReceive('app.test', '[token]')"][
            ::-1
        ]
    )
