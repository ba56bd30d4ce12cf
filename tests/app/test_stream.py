"""A stream is a web response whose lines leave when they are made."""

from __future__ import annotations

import asyncio
import http.client
import json
import queue
import subprocess
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from phlows_cli.app import apply, stream
from tests.app.working import ENV

FAILED = b'{"error": "this could not be finished"}\n'
SCOPE = {"type": "http"}


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served():
    """Serve a WSGI app for one request: served(app) is an open response."""
    opened = []

    def serve(app):
        server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
        server.timeout = 30
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = http.client.HTTPConnection(*server.server_address, timeout=30)
        opened.append((server, thread, client))
        client.request("GET", "/")
        return client.getresponse()

    yield serve
    for server, thread, client in opened:
        client.close()
        thread.join()
        server.server_close()


def test_apply_outside_an_app_prints_nothing_and_returns_its_commands(capsys):
    assert apply(toast="hi", title="x") == {"toast": "hi", "title": "x"}
    assert capsys.readouterr().out == ""


def test_apply_in_a_hook_prints_one_line(worker, tmp_path):
    code = "def ws_receive(*_, **data): apply(inner={'#a': '<b>\\n'}, **data)"
    lines, _ = worker(code).hook("receive", '{"toast":"\\ud800"}')
    assert lines == ['{"inner": {"#a": "<b>\\n"}, "toast": "\\ud800"}']
    command = [sys.executable, tmp_path / "app.py", "ws::receive", "h", "t", "s", '{"a":1}']
    done = subprocess.run(command, capture_output=True, text=True, env=ENV, check=True)
    assert done.stdout == '{"inner": {"#a": "<b>\\n"}, "a": 1}\n'


def test_wsgi_sends_each_line_when_it_is_yielded(served):
    go_on = threading.Event()

    def steps():
        yield apply(inner={"#n": 1})
        assert go_on.wait(30)
        yield apply(toast="done")

    response = served(validator(stream(steps())))
    assert response.status == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.readline() == b'{"inner": {"#n": 1}}\n'  # while the generator waits
    go_on.set()
    assert response.read() == b'{"toast": "done"}\n'


def test_an_exception_ends_a_response_without_its_details(served, capsys):
    def steps():
        yield {"n": 1}
        raise LookupError("a secret")

    response = served(stream(steps()))
    assert response.read() == b'{"n": 1}\n' + FAILED
    assert "LookupError: a secret" in capsys.readouterr().err


def test_an_item_that_is_not_json_ends_a_response_and_its_generator(capsys):
    closed = []

    def steps():
        try:
            yield object()
        finally:
            closed.append(1)

    assert list(stream(steps())) == [FAILED]
    assert closed == [1]
    assert "not JSON serializable" in capsys.readouterr().err


def test_closing_a_wsgi_response_closes_its_generator():
    closed = []

    def steps():
        try:
            yield {}
            yield {}
        finally:
            closed.append(1)

    lines = stream(steps())({}, lambda *_: None)
    assert next(lines) == b"{}\n"
    lines.close()
    assert closed == [1]


def test_async_items_under_wsgi_are_refused_before_the_response_starts():
    async def steps():
        yield {}

    started = []
    with pytest.raises(TypeError, match="needs an ASGI server"):
        stream(steps())({}, lambda *head: started.append(head))
    assert started == []


def test_a_list_is_a_stream_as_well():
    assert list(stream([{"a": 1}, [2]])) == [b'{"a": 1}\n', b"[2]\n"]


class Client:
    """The other end of one ASGI request."""

    def __init__(self):
        self.received = asyncio.Queue()
        self.sent = asyncio.Queue()
        self.received.put_nowait({"type": "http.request", "body": b"x", "more_body": False})

    def leave(self):
        self.received.put_nowait({"type": "http.disconnect"})

    async def call(self, answer):
        await answer(SCOPE, self.received.get, self.sent.put)

    async def line(self):
        message = await self.sent.get()
        assert message["type"] == "http.response.body"
        return message["body"]


async def test_asgi_sends_each_line_of_an_async_generator():
    go_on = asyncio.Event()

    async def steps():
        yield {"n": 1}
        await go_on.wait()
        yield {"n": 2}

    client = Client()
    answering = asyncio.ensure_future(client.call(stream(steps())))
    head = await client.sent.get()
    assert (head["type"], head["status"]) == ("http.response.start", 200)
    assert (b"content-type", b"application/x-ndjson") in head["headers"]
    assert await client.line() == b'{"n": 1}\n'
    go_on.set()
    assert await client.line() == b'{"n": 2}\n'
    assert await client.sent.get() == {
        "type": "http.response.body",
        "body": b"",
        "more_body": False,
    }
    await answering


async def test_asgi_steps_a_plain_generator_in_a_thread():
    loop_thread, threads, gate = threading.get_ident(), set(), queue.SimpleQueue()

    def steps():
        for number in range(3):
            threads.add(threading.get_ident())
            gate.get(timeout=30)  # would stop the loop, were it in its thread
            yield {"n": number}

    client = Client()
    answering = asyncio.ensure_future(client.call(stream(steps())))
    await client.sent.get()
    for number in range(3):
        gate.put(1)
        assert json.loads(await client.line()) == {"n": number}
    await answering
    assert loop_thread not in threads


@pytest.mark.parametrize("is_async", [True, False])
async def test_asgi_stops_when_the_client_leaves(is_async):
    closed, made = asyncio.Event(), []
    loop = asyncio.get_running_loop()

    def steps():
        try:
            while True:
                made.append(1)
                yield {}
        finally:
            loop.call_soon_threadsafe(closed.set)

    async def steps_async():
        try:
            yield {}
            await asyncio.Event().wait()
        finally:
            closed.set()

    client = Client()
    answering = asyncio.ensure_future(client.call(stream(steps_async() if is_async else steps())))
    await client.sent.get()
    assert await client.line() == b"{}\n"
    client.leave()
    await answering
    await closed.wait()
    count = len(made)
    await asyncio.sleep(0)
    assert len(made) == count


async def test_a_client_that_leaves_during_a_step_is_not_waited_for():
    in_step, go_on, closed = asyncio.Event(), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def steps():
        try:
            loop.call_soon_threadsafe(in_step.set)
            go_on.wait(30)
            yield {}
        finally:
            loop.call_soon_threadsafe(closed.set)

    client = Client()
    answering = asyncio.ensure_future(client.call(stream(steps())))
    await client.sent.get()
    await in_step.wait()
    client.leave()
    await answering
    go_on.set()
    await closed.wait()
    assert client.sent.empty()


async def test_asgi_ends_a_failed_response_without_details(capsys):
    async def steps():
        yield {}
        raise LookupError("a secret")

    client = Client()
    await client.call(stream(steps()))
    await client.sent.get()
    assert [await client.line() for _ in range(3)] == [b"{}\n", FAILED, b""]
    assert "LookupError: a secret" in capsys.readouterr().err


async def test_asgi_gives_up_when_the_server_does():
    async def send(message):
        raise OSError("gone")

    client = Client()
    with pytest.raises(OSError, match="gone"):
        await stream([{}])(SCOPE, client.received.get, send)


async def test_a_stream_answers_http_alone():
    with pytest.raises(ValueError, match="not 'websocket'"):
        await stream([])({"type": "websocket"}, None, None)


async def test_frameworks_may_iterate_over_a_stream_themselves():
    async def steps():
        yield {"a": 1}

    assert [line async for line in stream(steps())] == [b'{"a": 1}\n']
    assert [line async for line in stream([{"a": 1}])] == [b'{"a": 1}\n']
    assert stream([]).headers["content-type"] == "application/x-ndjson"
