"""POST /dispatch over a scripted app: which app, who may, and how it answers."""

from __future__ import annotations

import asyncio
import json

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.oneshot import OneShot
from phlows_cli.server import dispatch
from phlows_cli.server.answers import Later
from tests.builders import HOST, KEY, Answer, make_host
from tests.builders import BridgeScene as Scene
from tests.fakes import FakeTransport, turns
from tests.runtime import apps
from tests.server.serving import http, post, serving

APP = "/srv/app.php"
BEARER = {"authorization": f"Bearer {KEY}"}
CALL = {"host": HOST, "target": "tasks::run"}


@pytest.fixture
def scene():
    return Scene(hook_class="websocket", app=APP)


def ask(scene, body, headers=()):
    return scene.post(body, headers, target="/dispatch")


async def answered(scene, body, how, **fields):
    """Dispatch, end the call, and take the answer apart; with the call itself."""
    later = ask(scene, body)
    assert isinstance(later, Later)
    work = asyncio.ensure_future(later.work)
    call = await scene.stage.runtime.started("call")
    call.ends(how, **fields)
    return Answer(await work), call


# What is run


async def test_the_app_is_given_the_target_and_the_arguments_as_json_values(scene):
    values = [1, "two", None, True, {"a": [1.5]}, 2**70]
    answer, call = await answered(
        scene, {**CALL, "args": values, "build": {"any": 1}}, Outcome.ACCEPTED, result=b'{"n":1}'
    )
    assert (answer.status, answer.json) == (200, {"status": "ok", "result": {"n": 1}})
    assert (call.hook.host, call.hook.target) == (HOST, "tasks::run")
    assert call.hook.values() == values


async def test_a_result_goes_out_as_the_app_wrote_it(scene):
    answer, _ = await answered(scene, CALL, Outcome.ACCEPTED, result=b'"a\\/b \\u00e9"')
    assert answer.body == b'{"status":"ok","result":"a\\/b \\u00e9"}'


async def test_no_result_is_null(scene):
    answer, _ = await answered(scene, CALL, Outcome.ACCEPTED)
    assert answer.json == {"status": "ok", "result": None}


@pytest.mark.parametrize(
    ("how", "fields", "status", "message"),
    [
        (Outcome.FAILED, {"reason": "ours", "result": b'"the app\\u0027s"'}, 400, "the app's"),
        (Outcome.FAILED, {"reason": "exit code 3", "result": b'{"a":1}'}, 400, "exit code 3"),
        (Outcome.FAILED, {"reason": "exit code 3", "result": b'""'}, 400, "exit code 3"),
        (Outcome.FAILED, {"reason": "exit code 3"}, 400, "exit code 3"),
        (Outcome.TIMEOUT, {"reason": "ran too long"}, 400, "ran too long"),
        (Outcome.OVERLOADED, {"reason": "no worker was free"}, 503, "no worker was free"),
    ],
)
async def test_a_call_that_is_not_done_says_why(scene, how, fields, status, message):
    answer, _ = await answered(scene, CALL, how, **fields)
    assert (answer.status, answer.message) == (status, message)


async def test_arguments_nested_as_deep_as_json_may_be_are_no_fault_of_ours(tmp_path, caplog):
    """Whatever depth is read can be handed on, as an argument of a process, too."""
    app = apps.script(tmp_path / "app", "echo true")
    scene = Scene(hook_class="websocket", app=APP)
    runtime = OneShot(apps.host(app), apps.settings(), lambda _event, _line: None)
    scene.broker.apps[HOST].runtime = runtime
    statuses = set()
    for depth in (100, 500, 900, 950, 980, 990, 1000, 1100, 100_000):
        args = b"[" * depth + b"]" * depth
        answer = ask(scene, b'{"host":"app.test","target":"a","args":' + args + b"}")
        if isinstance(answer, Later):
            answer = Answer(await answer.work)
        statuses.add(answer.status)
    await runtime.stop()
    assert statuses == {200, 400}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


# Which app


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"target": "a::b"}, 'dispatch needs "app"'),
        ({"host": "other.test", "target": "a::b"}, "unknown host 'other.test'"),
        ({"app": "/srv/other.php", "target": "a::b"}, "app is not the file of a registered host"),
        ({"app": "/srv/\0", "target": "a::b"}, "app is not the file of a registered host"),
        ({"host": HOST, "app": "/srv/x.php", "target": "a"}, f"app is not the one of host {HOST}"),
        ({"host": HOST, "target": ""}, "target is not the name of a call, 1 to 256 characters"),
        ({"host": HOST, "target": "a\0"}, "target is not the name of a call"),
        ({"host": HOST, "target": "a" * 257}, "target is not the name of a call"),
        ({"host": HOST}, "body: Object missing required field `target`"),
        ({"host": HOST, "target": 5}, "body: Expected `str`"),
        ({"host": HOST, "target": "a", "args": {"a": 1}}, "body: Expected `array`"),
        ({"host": HOST, "target": "a", "asinc": True}, "body: Object contains unknown field"),
    ],
)
async def test_what_cannot_be_dispatched_is_400_and_runs_nothing(scene, body, message):
    answer = ask(scene, body)
    assert (answer.status, answer.message[: len(message)]) == (400, message)
    assert scene.stage.runtime.calls == []


@pytest.mark.parametrize(
    "body",
    [
        {"app": APP},
        {"host": "APP.test:3001"},
        {"host": HOST, "app": APP},
        {"app": "/srv/./app.php"},
    ],
)
async def test_an_app_is_named_by_its_file_or_its_host(scene, body):
    answer, call = await answered(scene, {**body, "target": "a"}, Outcome.ACCEPTED)
    assert (answer.status, call.hook.host) == (200, HOST)


@pytest.mark.parametrize("linked", ["the app", "the call"])
async def test_links_are_resolved_on_both_sides(tmp_path, linked):
    file, link = tmp_path / "app.php", tmp_path / "current.php"
    file.touch()
    link.symlink_to(file)
    registered, asked = (link, file) if linked == "the app" else (file, link)
    scene = Scene(hook_class="websocket", app=str(registered))
    answer, _ = await answered(scene, {"app": str(asked), "target": "a"}, Outcome.ACCEPTED)
    assert answer.status == 200


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/app", ""])
async def test_an_app_without_a_file_is_not_found_by_one(scene, url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what "" would be the path of
    scene.broker.apps[HOST].host = make_host(app=url, hook_class="websocket")
    assert ask(scene, {"app": url or str(tmp_path), "target": "a"}).status == 400


@pytest.mark.parametrize("kind", [{}, {"async": True}, {"stream": True}])
async def test_a_host_without_an_app_is_400_however_it_is_asked(scene, kind):
    scene.broker.add_host(make_host("push.test", app="", hook_class="websocket"), lambda _: None)
    answer = ask(scene, {"host": "push.test", "target": "a", **kind})
    assert (answer.status, answer.message) == (
        400,
        "host push.test has no app: it is only pushed to",
    )


@pytest.mark.parametrize("kind", [{}, {"async": True}, {"stream": True}])
async def test_a_full_queue_is_503_however_it_is_asked(scene, kind):
    scene.stage.runtime.is_at_limit = True
    answer = ask(scene, {**CALL, **kind})
    assert (answer.status, "limits.queue" in answer.message) == (503, True)
    assert scene.stage.runtime.calls == []


@pytest.mark.parametrize("kind", [{}, {"async": True}, {"stream": True}])
async def test_a_broker_that_stops_takes_no_more_calls(scene, kind):
    scene.broker.is_draining = True
    answer = ask(scene, {**CALL, **kind})
    assert (answer.status, answer.message) == (503, "the broker is stopping")
    assert scene.stage.runtime.calls == []


# Who may


async def test_only_a_phlo_engine_dispatches_without_the_key():
    scene = Scene(hook_class="ws", app=APP)
    answer = ask(scene, CALL)
    assert answer.status == 401
    assert "hook_class 'websocket'" in answer.message
    assert scene.stage.runtime.calls == []
    scene.stage.runtime.automatic.add("call")
    assert Answer(await ask(scene, CALL, BEARER).work).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-forwarded-for": "192.0.2.1"}, 401),
        ({"origin": "https://app.test"}, 401),
        ({"host": "evil.test"}, 401),
        ({"authorization": "Bearer wrong"}, 403),
    ],
)
async def test_who_may_not_cast_without_the_key_may_not_dispatch_either(scene, headers, status):
    assert ask(scene, CALL, headers).status == status
    assert scene.stage.runtime.calls == []


# Later, and bit by bit


async def test_an_async_call_is_answered_before_it_is_run(scene, caplog):
    answer = ask(scene, {**CALL, "async": True})
    assert (answer.status, answer.json) == (202, {"status": "ok", "queued": True})
    assert scene.stage.runtime.calls == []
    (await scene.stage.runtime.started("call")).fails()
    await scene.stage.settle()
    assert "hook failed" in caplog.messages
    assert scene.broker.drops.totals == {"call failed": 1}


async def test_an_async_call_that_a_drain_overtakes_is_counted(scene):
    assert ask(scene, {**CALL, "async": True}).status == 202
    scene.broker.is_draining = True
    await scene.stage.settle()
    assert scene.stage.runtime.calls == []
    assert scene.broker.drops.totals == {"dispatch while the broker stops": 1}


def frames(chunks):
    """The lines of a chunked body, which must be whole."""
    found = []
    while True:
        size, _, chunks = chunks.partition(b"\r\n")
        if size == b"0":
            assert chunks == b"\r\n"
            return found
        found.append(json.loads(chunks[: int(size, 16)]))
        assert chunks[int(size, 16) :][:2] == b"\r\n"
        chunks = chunks[int(size, 16) + 2 :]


async def streamed(scene, client):
    client.send(post(json.dumps({**CALL, "stream": True}).encode(), "/dispatch"))
    call = await scene.runtime.started("call")
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return call


async def test_a_stream_has_each_line_as_it_is_printed_and_the_result_last(loop_factory):
    async with serving(hook_class="websocket") as scene:
        client = await scene.client()
        call = await streamed(scene, client)
        call.prints(b'{"a":1}')
        first = await client.reader.readuntil(b"\n\r\n")
        call.prints(b"caf\xe9")
        call.ends(Outcome.ACCEPTED, result=b"[1]")
        assert frames(first + await client.rest()) == [
            {"t": "line", "data": '{"a":1}'},
            {"t": "line", "data": "caf\ufffd"},
            {"t": "done", "result": [1]},
        ]


@pytest.mark.parametrize(
    ("how", "fields", "message"),
    [
        (Outcome.FAILED, {"reason": "error", "result": b'"no such report"'}, "no such report"),
        (Outcome.OVERLOADED, {"reason": "stopping"}, "stopping"),
    ],
)
async def test_a_stream_that_fails_ends_with_the_error(how, fields, message):
    async with serving(hook_class="websocket") as scene:
        client = await scene.client()
        call = await streamed(scene, client)
        call.ends(how, **fields)
        assert frames(await client.rest()) == [{"t": "error", "message": message}]


async def test_a_stream_that_a_drain_overtakes_ends_with_the_error(scene):
    stream = ask(scene, {**CALL, "stream": True})
    transport = FakeTransport()
    stream.start(transport)
    scene.broker.is_draining = True
    await scene.stage.settle()
    body = transport.written.partition(b"\r\n\r\n")[2]
    assert frames(body) == [{"t": "error", "message": "the broker is stopping"}]
    stream.stop()


async def test_a_stream_needs_http_1_1(scene):
    body = json.dumps({**CALL, "stream": True}).encode()
    answer = scene.ask("/dispatch", "POST", body, version="1.0")
    assert (answer.status, scene.stage.runtime.calls) == (505, [])


async def test_a_call_whose_reader_has_left_runs_on():
    async with serving(hook_class="websocket") as scene:
        client = await scene.client()
        call = await streamed(scene, client)
        call.prints(b"1")
        await client.reader.readuntil(b"\n\r\n")
        client.reset()
        while len(scene.front.connections) > 1:  # the probe stays
            await turns(1)
        call.prints(b"2")
        call.accepts()
        await scene.settle()
        assert scene.broker.drops.totals == {}


async def ended_stream(scene, transport):
    stream = ask(scene, {**CALL, "stream": True})
    stream.start(transport)
    (await scene.stage.runtime.started("call")).accepts()
    return stream


async def test_who_does_not_read_the_end_of_a_stream_is_cut_in_the_end(scene, monkeypatch):
    monkeypatch.setattr(dispatch, "LAST_READ", 0.0)
    cut = asyncio.Event()
    transport = FakeTransport()
    transport.abort = cut.set
    await ended_stream(scene, transport)
    await cut.wait()
    assert transport.events == ["close"]


async def test_a_reader_that_has_read_all_is_not_cut(scene):
    stream = await ended_stream(scene, transport := FakeTransport())
    await scene.stage.settle()
    assert transport.events == ["close"]
    assert not stream._end.cancelled()
    stream.stop()
    assert stream._end.cancelled()


async def test_what_is_asked_behind_a_stream_is_not_answered():
    async with serving(hook_class="websocket") as scene:
        client = await scene.client()
        body = json.dumps({**CALL, "stream": True}).encode()
        client.send(post(body, "/dispatch"), http("/ready"))
        call = await scene.runtime.started("call")
        client.send(http("/ready"))
        await scene.settled_reads()
        call.accepts()
        rest = await client.rest()
        assert rest.count(b"HTTP/1.1 ") == 1
        assert rest.endswith(b"0\r\n\r\n")
