"""An app that is a URL: each event is a POST, the answer's lines are its output.

Source: docs/protocol.md, "Calling the app".
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from phlows_cli.model import Hook, HookResult, Outcome
from phlows_cli.runtime.admission import Admission, not_started, with_output
from phlows_cli.runtime.answer import LineSplitter, outcome_of
from phlows_cli.runtime.command import encode_argument
from phlows_cli.runtime.http_connection import IDLE_LIMIT, Pool, UnreachableError
from phlows_cli.wire.answer_reader import AnswerBroken, AnswerEnd, AnswerHead
from phlows_cli.wire.endpoint import Endpoint, origin_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from phlows_cli.model import Event, Host
    from phlows_cli.runtime.settings import OnLine, RuntimeSettings
    from phlows_cli.runtime.worker import WorkerReport
    from phlows_cli.wire.answer_reader import AnswerEvent

READ_FACTOR: Final = 16
READ_AT_LEAST: Final = 16 << 20
"""Of an answer so many times limits.output is read, but never less than this."""

_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


def trusted_by_the_system() -> ssl.SSLContext:
    """Make what verifies an https app: the system's authorities, or SSL_CERT_FILE's."""
    import ssl

    return ssl.create_default_context()


class Url:
    """Sends each event of one host to its app's URL, at most once."""

    message_limit = sys.maxsize
    problem = ""

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
        self._admission = Admission(host, settings, "connection")
        self._pool = Pool(self._endpoint, tls, idle_limit)
        self._limits: set[asyncio.Timeout] = set()

    @property
    def busy(self) -> int:
        """How many events are with the app."""
        return self._admission.busy

    @property
    def queued(self) -> int:
        """How many events wait."""
        return self._admission.queued

    def is_full(self) -> bool:
        """Whether a new event, unless it is a close, would be refused."""
        return self._admission.is_full()

    def workers(self) -> list[WorkerReport]:
        """Return nothing: the app's processes are not ours."""
        return []

    async def warm(self, count: int) -> str:  # noqa: ARG002 - there is nothing to boot
        """Do nothing, and complain about nothing."""
        return ""

    async def call(self, event: Event, on_line: OnLine) -> HookResult:
        """Send one event; see Runtime.call. Cancelling closes its connection."""
        return await self._admission.call(
            event, partial(self._run, event, on_line), partial(_unfit, event)
        )

    async def retire(self) -> None:
        """Wait until the events that were asked for are done, then stop."""
        await self._admission.quiet()
        await self.stop()

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
        answer = _Answer(on_line, self._settings.output)
        try:
            async with asyncio.timeout(self._host.timeout) as limit:
                self._limits.add(limit)
                await self._ask(event, answer)
        except TimeoutError:
            ended = replace(self._admission.ended(), started=answer.is_asked)
            return with_output(ended, answer.output)
        except UnreachableError as error:
            return not_started(str(error))
        finally:
            self._limits.discard(limit)
        outcome, reason = answer.outcome(event)
        result = HookResult(outcome, reason=reason, result=answer.result(event))
        return with_output(result, answer.output)

    async def _ask(self, event: Event, answer: _Answer) -> None:
        connection = await self._pool.take()
        answer.is_asked = True
        try:
            await connection.ask(self._endpoint.request(body_of(event)), answer.take)
        finally:
            self._pool.give_back(connection)


class _Answer:
    """What an app answers to one event, as far as it has."""

    def __init__(self, on_line: OnLine, limit: int) -> None:
        self.output = LineSplitter(limit)
        self._on_line = on_line
        self._left = max(READ_AT_LEAST, READ_FACTOR * limit)
        self._last = b""
        self._status = 0
        self._location = ""
        self._broken = f"the answer exceeds {self._left} bytes (limits.output is {limit})"
        self._is_whole = False
        self.is_asked = False

    def take(self, event: AnswerEvent) -> bool:
        """Take one event; False when no more is wanted."""
        match event:
            case AnswerHead():
                self._status = event.status
                self._location = event.headers.get("location", "")
            case AnswerEnd():
                self._is_whole = True
                self._hand_on(self.output.finish())
            case AnswerBroken():
                self._broken = event.reason
            case _ if self._is_success:
                self._left -= len(event)
                self._hand_on(self.output.feed(event))
        return self._is_success and self._left >= 0

    def outcome(self, event: Event) -> tuple[Outcome, str]:
        """Tell what the whole answer means, and why it is not a yes."""
        if self._is_success and self._is_whole:
            return self._answered(event.name)
        if self._is_success or not self._status:
            return Outcome.FAILED, self._broken
        answers = event.name in ("connect", "auth")
        refuses = answers and 400 <= self._status < 500
        return Outcome.REFUSED if refuses else Outcome.FAILED, self._unsuccessful()

    def result(self, event: Event) -> bytes:
        """Return the last line of a task's whole answer, if it is JSON."""
        is_known = self._is_success and self._is_whole and not self.output.is_truncated
        is_result = is_known and not isinstance(event, Hook) and _is_json(self._last)
        return self._last.strip() if is_result else b""

    @property
    def _is_success(self) -> bool:
        return 200 <= self._status < 300

    def _hand_on(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.strip():
                self._last = line
            self._on_line(line)

    def _answered(self, name: str) -> tuple[Outcome, str]:
        """Read the last line: all of it, so that no page's end lets anyone in."""
        if self.output.is_truncated or name not in ("connect", "auth"):
            return outcome_of(name, 0, self.output.tail, self.output.is_truncated)
        answer = self._last.strip()
        if answer == b"false":
            return Outcome.REFUSED, "the app answered false"
        if name == "auth" and answer != b"true":
            return Outcome.FAILED, "the last line of auth's answer is neither true nor false"
        return Outcome.ACCEPTED, ""

    def _unsuccessful(self) -> str:
        if self._location and 300 <= self._status < 400:
            where = origin_of(self._location) or "the same host"
            return f"redirects are not followed: {self._status} to {where}"
        return f"the app answered {self._status}"


def body_of(event: Event) -> bytes:
    """Make the JSON that tells an app of an event; a message goes as it came."""
    if not isinstance(event, Hook):
        task = {"target": event.target, "args": event.values(), "host": event.host}
        return json.dumps(task).encode()
    facts = {"hook": event.name, "host": event.host, "token": event.token, "socket": event.socket}
    data = b"null" if event.data is None else encode_argument(event.data)
    return json.dumps(facts)[:-1].encode() + b', "data": ' + data + b"}"


def _unfit(event: Event) -> str:
    """Why an event cannot be put into a request; "" when it can."""
    if event.data is None or _is_json(encode_argument(event.data)):
        return ""
    return "the message is not JSON, which a URL is sent"


def _is_json(text: bytes) -> bool:
    try:
        text.decode()
        _RAW.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True
