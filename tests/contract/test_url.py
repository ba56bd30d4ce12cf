"""What of the contract a URL keeps in its own way: it has connections, not processes."""

from __future__ import annotations

import asyncio

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.http import Url
from tests.contract.kinds import PATIENCE, nobody, only, told, url
from tests.runtime.apps import Printed, host, settings
from tests.runtime.web import answered, web

pytestmark = pytest.mark.usefixtures("loop_factory")

HOOKS = pytest.mark.parametrize("name", ["connect", "auth", "receive", "close"])
STARTED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntrue\n\r\n"


async def hanging(_asked, writer):
    writer.write(STARTED)
    return "hang"


@only(url)
@HOOKS
async def test_an_app_that_breaks_its_answer_off_has_failed(make, name):
    runtime, printed = make(), Printed()
    result = await runtime.call(told(["print", "true"], ["kill", 9], name=name), printed)
    assert (result.outcome, result.started) == (Outcome.FAILED, True)
    assert result.reason == "the connection was reset"
    assert set(printed.lines) <= {b"true"}
    assert (await runtime.call(told(), nobody)).is_accepted
    await runtime.stop()


@pytest.mark.parametrize("ending", ["timeout", "cancel", "stop"])
async def test_a_hook_that_is_ended_takes_its_connection_along(ending):
    async with web(hanging) as site:
        patience = PATIENCE if ending == "timeout" else 20.0
        runtime, printed = Url(host(site.url(), timeout=patience), settings()), Printed()
        call = asyncio.create_task(runtime.call(told(name="auth"), printed))
        assert await printed.until(1) == [b"true"]
        if ending == "cancel":
            call.cancel()
        elif ending == "stop":
            await runtime.stop()
        (result,) = await asyncio.gather(call, return_exceptions=True)
        await site.until(lambda site: site.open == 0)
        assert (runtime.busy, runtime.queued, site.connections) == (0, 0, 1)
        assert ending == "cancel" or not result.is_accepted
        await runtime.stop()


async def test_cancelling_frees_the_place_of_the_event():
    async with web(hanging) as site:
        runtime, printed = Url(host(site.url(), concurrency=1), settings()), Printed()
        call = asyncio.create_task(runtime.call(told(), printed))
        await printed.until(1)
        next_call = asyncio.create_task(runtime.call(told(), printed))
        await asyncio.sleep(0)
        assert (runtime.busy, runtime.queued) == (1, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await printed.until(2)
        await runtime.stop()
        assert (await next_call).outcome is Outcome.FAILED


@HOOKS
async def test_a_500_fails_every_hook_and_what_it_says_is_no_output(name):
    async with web(answered(b"true\n", status=500)) as site:
        runtime, printed = Url(host(site.url()), settings()), Printed()
        result = await runtime.call(told(name=name), printed)
        assert (result.outcome, result.started) == (Outcome.FAILED, True)
        assert result.reason == "the app answered 500"
        assert printed.lines == []
        await runtime.stop()


@HOOKS
async def test_a_403_refuses_who_asks_to_come_in_and_is_a_failure_else(name):
    async with web(answered(b"true\n", status=403)) as site:
        runtime, printed = Url(host(site.url()), settings()), Printed()
        result = await runtime.call(told(name=name), printed)
        refuses = name in ("connect", "auth")
        assert result.outcome is (Outcome.REFUSED if refuses else Outcome.FAILED)
        assert printed.lines == []
        await runtime.stop()


async def test_events_of_an_app_that_is_not_there_fail_and_have_not_started():
    async with web(answered(b"true\n")) as site:
        address = site.url()
    runtime = Url(host(address), settings())
    result = await runtime.call(told(name="auth"), nobody)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert "refused" in result.reason
    assert runtime.problem == ""
    await runtime.stop()
