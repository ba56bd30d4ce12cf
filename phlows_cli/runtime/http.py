"""An app that is a URL: each event is a POST, the answer's lines are its output.

Source: docs/protocol.md, "Calling the app".
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import TYPE_CHECKING

from phlows_cli.model import Hook, HookResult
from phlows_cli.runtime.admission import Admission, Workerless, not_started, with_output
from phlows_cli.runtime.command import encode_argument
from phlows_cli.runtime.http_answer import HttpAnswer, is_json
from phlows_cli.runtime.http_connection import IDLE_LIMIT, Pool, UnreachableError
from phlows_cli.wire.endpoint import Endpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.settings import OnLine, RuntimeSettings


def trusted_by_the_system() -> ssl.SSLContext:
    """Make what verifies an https app: the system's authorities, or SSL_CERT_FILE's."""
    import ssl

    return ssl.create_default_context()


class Url(Workerless):
    """Sends each event of one host to its app's URL, at most once."""

    message_limit = sys.maxsize

    def __init__(
        self,
        host: Host,
        settings: RuntimeSettings,
        *,
        tls: Callable[[], ssl.SSLContext] = trusted_by_the_system,
        idle_limit: float = IDLE_LIMIT,
    ) -> None:
        """Prepare the calls; nothing is connected yet.

        Raises:
            ConfigError: the app is no http or https URL.
        """
        self._host = host
        self._settings = settings
        self._endpoint = Endpoint.parse(host.app)
        super().__init__(Admission(host, settings, "connection"))
        self._pool = Pool(self._endpoint, tls, idle_limit)
        self._limits: set[asyncio.Timeout] = set()

    async def call(self, event: Event, on_line: OnLine) -> HookResult:
        """Send one event; see Runtime.call. Cancelling closes its connection."""
        return await self._admission.call(
            event, partial(self._run, event, on_line), partial(_unfit, event)
        )

    async def stop(self) -> None:
        """Refuse what waits, break off what runs, and close every connection."""
        self._admission.stop()
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)
        await self._admission.idle()
        await self._pool.close()

    async def _run(self, event: Event, on_line: OnLine) -> HookResult:
        if stopping := self._admission.stopping():
            return stopping
        answer = HttpAnswer(on_line, self._settings.output)
        try:
            async with asyncio.timeout(self._host.timeout) as limit:
                self._limits.add(limit)
                await self._ask(event, answer)
        except TimeoutError:
            ended = self._admission.ended()._replace(started=answer.is_asked)
            return with_output(ended, answer.output)
        except UnreachableError as error:
            return not_started(str(error))
        finally:
            self._limits.discard(limit)
        outcome, reason = answer.outcome(event)
        result = HookResult(outcome, reason=reason, result=answer.result(event))
        return with_output(result, answer.output)

    async def _ask(self, event: Event, answer: HttpAnswer) -> None:
        connection = await self._pool.take()
        answer.is_asked = True
        try:
            await connection.ask(self._endpoint.request(body_of(event)), answer.take)
        finally:
            self._pool.give_back(connection)


def body_of(event: Event) -> bytes:
    """Make the JSON that tells an app of an event; a message goes as it came."""
    if not isinstance(event, Hook):
        task = {"target": event.target, "args": event.values(), "host": event.host}
        return json.dumps(task).encode()
    facts = {"hook": event.name, "host": event.host, "token": event.token, "socket": event.socket}
    facts |= {name.removeprefix("PHLOWS_CLOSE_").lower(): value for name, value in event.env}
    data = b"null" if event.data is None else encode_argument(event.data)
    return json.dumps(facts)[:-1].encode() + b', "data": ' + data + b"}"


def _unfit(event: Event) -> str:
    """Why an event cannot be put into a request; "" when it can."""
    if event.data is None or is_json(encode_argument(event.data)):
        return ""
    return "the message is not JSON, which a URL is sent"
