from __future__ import annotations

import asyncio
import json
import ssl
from base64 import b64encode
from contextlib import asynccontextmanager

import pytest

from phlows_cli import __version__
from phlows_cli.errors import ConfigError
from phlows_cli.model import Outcome, Task
from phlows_cli.runtime import http_connection
from phlows_cli.runtime.http import Url
from phlows_cli.runtime.http_answer import READ_AT_LEAST
from tests.certs import ONE, TWO, trusting
from tests.runtime.apps import NAME, Printed, hook, host, settings
from tests.runtime.web import answered, chunked, web

pytestmark = pytest.mark.usefixtures("loop_factory", "no_error_is_logged")

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def nobody(_line):
    """Takes lines that the test does not look at."""


@asynccontextmanager
async def asking(url, *, tls=None, idle_limit=15.0, slots=8, queue=100, output=1 << 20, **more):
    """A runtime for a URL, stopped at the end."""
    options = {"idle_limit": idle_limit} | ({"tls": tls} if tls else {})
    limits = settings(slots=slots, queue=queue, output=output)
    runtime = Url(host(url, **more), limits, **options)
    try:
        yield runtime
    finally:
        await runtime.stop()


async def call(answer, event, on_line=nobody, **more):
    """Ask a server that answers so, once."""
    async with web(answer) as site, asking(site.url(), **more) as runtime:
        return await runtime.call(event, on_line)


async def hang(asked, writer):
    return "hang"


async def test_an_event_is_a_post_of_its_facts_as_json():
    event = hook(token='"\u00e9\n', data='{"a": "\u20ac",\n"b":[]}')
    async with web(answered()) as site:
        url = site.url("/my%20hooks?key=1&x").replace("//", "//me:p%40ss@")
        async with asking(url) as runtime:
            assert (await runtime.call(event, nobody)).is_accepted
            assert (await runtime.call(hook("close"), nobody)).is_accepted
        first, second = site.asked
    assert first.line == "POST /my%20hooks?key=1&x HTTP/1.1"
    assert first.headers["host"] == f"127.0.0.1:{site.port}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["accept"] == "application/x-ndjson"
    assert first.headers["user-agent"] == f"phlows/{__version__}"
    assert first.headers["authorization"] == f"Basic {b64encode(b'me:p@ss').decode()}"
    facts = {"host": NAME, "token": event.token, "socket": event.socket}
    assert first.json == {"hook": "receive", **facts, "data": json.loads(event.data)}
    assert event.data.encode() in first.body
    assert second.json == {"hook": "close", **facts, "token": "t", "data": None}


async def test_a_token_that_is_not_utf8_is_escaped():
    async with web(answered()) as site, asking(site.url()) as runtime:
        assert (await runtime.call(hook("auth", token="\udcff\ud800"), nobody)).started
        assert site.asked[0].json["token"] == "\udcff\ud800"


async def test_a_message_that_is_not_json_is_never_sent():
    async with web(answered()) as site, asking(site.url()) as runtime:
        result = await runtime.call(hook(data='{"a"'), nobody)
        assert (result.outcome, result.started) == (Outcome.FAILED, False)
        assert site.asked == []


BODIES = {
    "length": answered(b'{"a":1}\n\n[2]\ntrue'),
    "chunks": chunked(b'{"a":1}\n', b"\n", b"[2]\nt", b"rue"),
    "lines": chunked(b'{"a":1}\n\n[2]\ntrue\n'),
    "interim": b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + answered(b'{"a":1}\n\n[2]\ntrue'),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
async def test_the_lines_of_an_answer_are_the_output_and_the_last_the_result(body, name):
    printed = Printed()
    result = await call(BODIES[body], hook(name), printed)
    assert (result.outcome, result.reason) == (Outcome.ACCEPTED, "")
    assert printed.lines == [b'{"a":1}', b"", b"[2]", b"true"]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_without_a_length_ends_with_the_connection(version):
    async def answer(asked, writer):
        writer.write(b"HTTP/" + version + b" 200 OK\r\n\r\n{}\ntrue")
        return "stop"

    printed = Printed()
    assert (await call(answer, hook("auth"), printed)).is_accepted
    assert printed.lines == [b"{}", b"true"]


async def test_lines_are_handed_on_as_they_come():
    go_on = asyncio.Event()

    async def answer(asked, writer):
        writer.write(CHUNKS + b"7\r\none\ntwo\r\n")
        await go_on.wait()
        writer.write(b"7\r\n\nthree\n\r\n0\r\n\r\n")

    printed = Printed()
    async with web(answer) as site, asking(site.url()) as runtime:
        asked = asyncio.create_task(runtime.call(hook(), printed))
        assert await printed.until(1) == [b"one"]
        assert (asked.done(), runtime.busy) == (False, 1)
        go_on.set()
        assert (await asked).is_accepted
    assert printed.lines == [b"one", b"two", b"three"]


async def test_an_answer_may_come_byte_by_byte():
    async def answer(asked, writer):
        for byte in chunked(b'{"a":"\xff"}\n', b"true"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    printed = Printed()
    assert (await call(answer, hook("auth"), printed)).is_accepted
    assert printed.lines == [b'{"a":"\xff"}', b"true"]


@pytest.mark.parametrize(
    ("body", "auth", "connect"),
    [
        (b"true", Outcome.ACCEPTED, Outcome.ACCEPTED),
        (b"{}\r\ntrue\r\n\r\n", Outcome.ACCEPTED, Outcome.ACCEPTED),
        (b"false", Outcome.REFUSED, Outcome.REFUSED),
        (b"true\nfalse\n", Outcome.REFUSED, Outcome.REFUSED),
        (b"", Outcome.FAILED, Outcome.ACCEPTED),
        (b"nottrue", Outcome.FAILED, Outcome.ACCEPTED),
        (b"not true", Outcome.FAILED, Outcome.ACCEPTED),
        (b"true\n<html>", Outcome.FAILED, Outcome.ACCEPTED),
        (b'"true"', Outcome.FAILED, Outcome.ACCEPTED),
        (b"True", Outcome.FAILED, Outcome.ACCEPTED),
    ],
)
async def test_only_a_last_line_true_lets_anyone_in(body, auth, connect):
    for answer in (answered(body), chunked(*(bytes([byte]) for byte in body))):
        assert (await call(answer, hook("auth"))).outcome is auth
        assert (await call(answer, hook("connect"))).outcome is connect


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
async def test_4xx_refuses_where_a_refusal_can_be(status):
    answer = answered(b"{}\ntrue", status)
    for name in ("connect", "auth", "receive", "close"):
        printed = Printed()
        result = await call(answer, hook(name), printed)
        refused = name in ("connect", "auth")
        assert result.outcome is (Outcome.REFUSED if refused else Outcome.FAILED)
        assert (result.reason, printed.lines) == (f"the app answered {status}", [])


@pytest.mark.parametrize("status", [300, 304, 500, 502, 503, 600, 999])
async def test_any_other_status_is_a_failure(status):
    for name in ("connect", "auth", "receive", "close"):
        result = await call(answered(b"" if status == 304 else b"true", status), hook(name))
        assert (result.outcome, result.started) == (Outcome.FAILED, True)
        assert result.reason == f"the app answered {status}"


async def test_no_content_is_an_answer_without_lines():
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert (await call(answer, hook())).is_accepted
    assert (await call(answer, hook("auth"))).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://me:secret@other.example:8443/login?key=secret", "https://other.example:8443"),
        ("/login?key=secret", "the same host"),
        ("javascript:secret", "the same host"),
        ("http://[secret/", "the same host"),
    ],
)
async def test_a_redirect_is_not_followed(location, shown):
    async with web(answered(b"true", 302, Location=location)) as site:
        async with asking(site.url()) as runtime:
            result = await runtime.call(hook("auth"), nobody)
        assert len(site.asked) == 1
    assert result.outcome is Outcome.FAILED
    assert result.reason == f"redirects are not followed: 302 to {shown}"


BROKEN = {
    b"": "ended before an answer",
    b"HTTP/1.1 200 OK\r\nContent-Le": "in the middle of the answer",
    HEAD + b"Content-Length: 9\r\n\r\ntrue": "in the middle of the answer",
    CHUNKS + b"4\r\ntrue\r\n": "in the middle of the answer",
    CHUNKS + b"4\r\ntrue\r\nzz\r\n": "malformed answer",
    b"SSH-2.0-OpenSSH\r\n": "not HTTP/1.1",
    b"HTTP/1.1 200 OK\nContent-Length: 4\n\ntrue": "bare line feed",
    HEAD + b"X: " + b"x" * 17000: "head exceeds 16384",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\ntrue": "content-encoding",
    b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n": "switches protocols",
}


@pytest.mark.parametrize("answer", BROKEN, ids=BROKEN.values())
@pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
async def test_a_broken_answer_is_a_failure_whatever_it_said(answer, name):
    async def broken(asked, writer):
        writer.write(answer)
        return "stop"

    result = await call(broken, hook(name))
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert BROKEN[answer] in result.reason


async def test_a_line_that_was_cut_is_not_handed_on():
    async def broken(asked, writer):
        writer.write(HEAD + b"Content-Length: 99\r\n\r\n{}\n[1]")
        return "stop"

    printed = Printed()
    assert (await call(broken, hook(), printed)).outcome is Outcome.FAILED
    assert printed.lines == [b"{}"]


async def test_a_reset_in_the_middle_is_a_failure():
    got_line = asyncio.Event()

    async def reset(asked, writer):
        writer.write(CHUNKS + b"5\r\ntrue\n\r\n")
        await got_line.wait()
        return "reset"

    result = await call(reset, hook("auth"), lambda _line: got_line.set())
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert "the connection" in result.reason


async def test_nobody_there_is_a_failure_that_never_started():
    async with web(answered()) as site:
        pass
    async with asking(site.url("/?key=secret").replace("//", "//me:secret@")) as runtime:
        result = await runtime.call(hook("auth"), nobody)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason == f"connection refused by http://127.0.0.1:{site.port}"


async def test_output_over_the_limit_is_dropped_and_counted():
    line = b"x" * 1023 + b"\n"
    printed = Printed()
    result = await call(chunked(*[line] * 100), hook(), printed, output=4000)
    assert result.is_accepted
    assert [len(line) for line in printed.lines] == [1023] * 3
    assert (result.dropped, result.output_limit) == (97 * 1024, 4000)


async def test_auth_that_prints_too_much_lets_nobody_in():
    result = await call(answered(b"x\n" * 4000 + b"true"), hook("auth"), output=4000)
    assert result.outcome is Outcome.FAILED
    assert "limits.output" in result.reason


async def test_an_answer_without_end_is_cut():
    async def pour(asked, writer):
        writer.write(HEAD + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    result = await call(pour, hook(), output=4000)
    assert result.outcome is Outcome.FAILED
    assert result.reason == f"the answer exceeds {READ_AT_LEAST} bytes (limits.output is 4000)"
    assert result.dropped > READ_AT_LEAST - 4096


async def test_connections_are_used_again_one_request_at_a_time():
    async with web(answered(b"{}")) as site:
        async with asking(site.url(), concurrency=2) as runtime:
            for _ in range(5):
                assert (await runtime.call(hook(), nobody)).is_accepted
            assert site.connections == 1
            results = await asyncio.gather(*(runtime.call(hook(), nobody) for _ in range(20)))
            assert all(result.is_accepted for result in results)
            assert (site.connections, len(site.asked)) == (2, 25)
        await site.until(lambda site: site.open == 0)


@pytest.mark.parametrize(
    "answer",
    [
        answered(b"{}", Connection="close"),
        answered(b"{}").replace(b"1.1", b"1.0"),
        answered(b"{}") + b"HTTP/1.1 200 OK\r\n",
        answered(b"{}", 404)[:-1],
    ],
    ids=["close", "1.0", "surplus", "unwanted rest"],
)
async def test_a_connection_that_is_not_clean_is_not_used_again(answer):
    async with web(answer) as site, asking(site.url()) as runtime:
        for number in (1, 2, 3):
            await runtime.call(hook(), nobody)
            await site.until(lambda site, number=number: site.connections == number)
        await site.until(lambda site: site.open == 0)


async def test_a_connection_that_the_app_closed_meanwhile_is_not_used_again():
    async def once(asked, writer):
        writer.write(answered(b"{}"))
        return "stop"

    async with web(once) as site, asking(site.url()) as runtime:
        for number in (1, 2, 3):
            assert (await runtime.call(hook(), nobody)).is_accepted
            await site.until(lambda site: site.open == 0)
            assert site.connections == number


async def test_a_connection_that_is_spoken_on_unasked_is_closed():
    speak = asyncio.Event()

    async def answer(asked, writer):
        writer.write(answered(b"{}"))
        await speak.wait()
        writer.write(answered(b"true"))

    async with web(answer) as site, asking(site.url()) as runtime:
        assert (await runtime.call(hook(), nobody)).is_accepted
        speak.set()
        await site.until(lambda site: site.open == 0)
        printed = Printed()
        assert (await runtime.call(hook(), printed)).is_accepted
        assert (printed.lines, site.connections) == ([b"{}"], 2)


async def test_an_unused_connection_is_closed_after_a_while():
    async with web(answered(b"{}")) as site, asking(site.url(), idle_limit=0.05) as runtime:
        assert (await runtime.call(hook(), nobody)).is_accepted
        await site.until(lambda site: site.open == 0)
        assert (await runtime.call(hook(), nobody)).is_accepted
        assert site.connections == 2


async def test_nothing_is_sent_twice():
    async def die(asked, writer):
        if asked.json["data"] == {"die": 1}:
            return "reset"
        writer.write(answered(b"{}"))
        return None

    async with web(die) as site, asking(site.url()) as runtime:
        assert (await runtime.call(hook(), nobody)).is_accepted
        result = await runtime.call(hook(data='{"die":1}'), nobody)
        assert (result.outcome, result.started) == (Outcome.FAILED, True)
        assert (await runtime.call(hook(), nobody)).is_accepted
        assert [asked.connection for asked in site.asked] == [1, 1, 2]


async def test_the_timeout_is_for_the_whole_call_and_keeps_what_came():
    async def drip(asked, writer):
        writer.write(CHUNKS + b"6\r\n{}\ntru\r\n")
        return "hang"

    printed = Printed()
    result = await call(drip, hook("auth"), printed, timeout=0.5)
    assert (result.outcome, result.started) == (Outcome.TIMEOUT, True)
    assert result.reason == f'ran for more than 0.5 s (hosts."{NAME}".timeout)'
    assert printed.lines == [b"{}"]


async def test_cancelling_closes_the_connection_and_frees_the_place():
    async with web(hang) as site, asking(site.url(), concurrency=1) as runtime:
        asked = asyncio.create_task(runtime.call(hook(), nobody))
        await site.until(lambda site: site.asked)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert (runtime.busy, runtime.queued) == (0, 0)
        await site.until(lambda site: site.open == 0)


async def test_stopping_breaks_off_what_runs_and_refuses_what_waits_and_comes():
    async with web(hang) as site, asking(site.url(), concurrency=1) as runtime:
        running = asyncio.create_task(runtime.call(hook(), nobody))
        await site.until(lambda site: site.asked)
        waiting = asyncio.create_task(runtime.call(hook("close"), nobody))
        await asyncio.sleep(0)
        assert (runtime.busy, runtime.queued) == (1, 1)
        await runtime.stop()
        ran, waited, late = await asyncio.gather(running, waiting, runtime.call(hook(), nobody))
        assert (ran.outcome, ran.started) == (Outcome.FAILED, True)
        assert ran.reason == f"ended while host {NAME} was stopping"
        for result in (waited, late):
            assert (result.outcome, result.started) == (Outcome.OVERLOADED, False)
        await site.until(lambda site: site.open == 0)


async def test_retiring_waits_for_what_was_asked_for():
    go_on = asyncio.Event()

    async def answer(asked, writer):
        await go_on.wait()
        writer.write(answered(b"{}"))

    async with web(answer) as site, asking(site.url(), concurrency=1) as runtime:
        calls = [asyncio.create_task(runtime.call(hook(), nobody)) for _ in range(2)]
        await site.until(lambda site: site.asked)
        retiring = asyncio.create_task(runtime.retire())
        await asyncio.sleep(0)
        assert not retiring.done()
        go_on.set()
        assert all(result.is_accepted for result in await asyncio.gather(*calls))
        await retiring
        await site.until(lambda site: site.open == 0)


async def test_a_full_queue_refuses_all_but_close_and_waiting_has_an_end():
    async with web(hang) as site, asking(site.url(), concurrency=1, queue=1, timeout=0.5) as app:
        running = asyncio.create_task(app.call(hook(), nobody))
        await site.until(lambda site: site.asked)
        waiting = asyncio.create_task(app.call(hook(), nobody))
        await asyncio.sleep(0)
        assert app.is_full()
        refused = await app.call(hook(), nobody)
        assert (refused.outcome, "limits.queue" in refused.reason) == (Outcome.OVERLOADED, True)
        assert (await running).outcome is Outcome.TIMEOUT
        result = await waiting
        assert result.outcome in (Outcome.OVERLOADED, Outcome.TIMEOUT)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"t":1}\n{"a": 1}\n\n', b'{"a": 1}'),
        (b"5", b"5"),
        (b"", b""),
        (b"{}\nnot json", b""),
        (b'"\xff"', b""),
    ],
)
async def test_a_task_has_the_last_line_as_its_result(body, expected):
    task = Task(NAME, "tasks::run", ("a", 1, None))
    async with web(answered(body)) as site, asking(site.url()) as runtime:
        result = await runtime.call(task, nobody)
        assert site.asked[0].json == {"target": "tasks::run", "args": ["a", 1, None], "host": NAME}
    assert (result.outcome, result.result) == (Outcome.ACCEPTED, expected)


async def test_a_hook_has_no_result_beside_its_outcome_and_a_refused_task_failed():
    assert (await call(answered(b"{}"), hook())).result == b""
    result = await call(answered(b"{}", 404), Task(NAME, "tasks::run"))
    assert (result.outcome, result.result) == (Outcome.FAILED, b"")


async def test_an_https_app_is_asked_when_its_certificate_is_trusted():
    async with web(answered(b"true"), ONE) as site:
        async with asking(site.url(), tls=trusting) as runtime:
            for _ in range(3):
                assert (await runtime.call(hook("auth"), nobody)).is_accepted
        assert site.connections == 1


async def test_an_https_app_with_another_certificate_is_told_nothing(caplog):
    async with web(answered(b"true"), TWO) as site:
        async with asking(site.url(), tls=trusting) as runtime:
            result = await runtime.call(hook("auth"), nobody)
        assert site.asked == []
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert f"the certificate of https://127.0.0.1:{site.port} is not trusted" in result.reason


async def test_the_certificates_that_the_environment_names_are_trusted(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ONE[0]))
    async with web(answered(b"true"), ONE) as site, asking(site.url()) as runtime:
        assert (await runtime.call(hook("auth"), nobody)).is_accepted


async def test_an_app_without_tls_is_told_nothing_over_https():
    async with web(answered(b"true")) as site:
        async with asking(site.url().replace("http:", "https:"), timeout=5.0) as runtime:
            asked = asyncio.create_task(runtime.call(hook("auth"), nobody))
            await site.until(lambda site: site.connections == 1)
            await runtime.stop()
            result = await asked
        assert (result.outcome, result.started, site.asked) == (Outcome.FAILED, False, [])


async def test_connecting_has_a_limit_of_its_own(monkeypatch):
    monkeypatch.setattr(http_connection, "CONNECT_LIMIT", 0.2)
    async with web(answered(b"true")) as site:  # it waits for a head, not for a handshake
        async with asking(site.url().replace("http:", "https:")) as runtime:
            result = await runtime.call(hook("auth"), nobody)
        await site.until(lambda site: site.connections and not site.open)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason == f"no connection to https://127.0.0.1:{site.port} within 0.2 s"


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http:///x", "http://[x/", "http://x:0/", "http://x:y/"]
)
async def test_what_is_no_url_is_a_bad_setting(url):
    with pytest.raises(ConfigError):
        Url(host(url), settings())


async def test_a_url_has_no_workers_and_no_problem():
    runtime = Url(host("http://127.0.0.1:9/"), settings())
    assert (runtime.workers(), await runtime.warm(3), runtime.problem) == ([], "", "")
    assert isinstance(trusting(), ssl.SSLContext)
    await runtime.stop()
