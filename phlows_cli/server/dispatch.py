"""POST /dispatch: an app's own calls, answered whole, later, or as a stream.

Source: docs/protocol.md, "Dispatch".
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from phlows_cli.errors import PhlowsError, RequestError
from phlows_cli.model import HookResult, Outcome, Task, normalise_host
from phlows_cli.wire.response import END_OF_STREAM, chunk, json_response, stream_head

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.hooks import Application

TARGET_LENGTH: Final = 256

LAST_READ: Final = 60.0
"""Seconds that the reader of a stream has for the rest, once its task is done."""

_encoder: Final = msgspec.json.Encoder()


class DispatchBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /dispatch; `build` is taken and ignored."""

    target: str
    app: str = ""
    host: str = ""
    args: list[Any] = msgspec.field(default_factory=list)
    stream: bool = False
    is_async: bool = msgspec.field(name="async", default=False)
    build: Any = None


def application_of(broker: Broker, body: DispatchBody) -> Application:
    """The registered app that is meant: its host, or its file, or both.

    Raises:
        RequestError: none is meant, or the app is not registered.
    """
    if not 0 < len(body.target) <= TARGET_LENGTH or "\0" in body.target:
        raise RequestError(f"target is not the name of a call, 1 to {TARGET_LENGTH} characters")
    if body.host:
        return _by_host(broker, normalise_host(body.host), body.app)
    if not body.app:
        raise RequestError('dispatch needs "app", the file of a registered app, or "host"')
    wanted = _real(body.app)
    for app in broker.apps.values():
        if app.host.app and not app.host.is_url and _real(app.host.app) == wanted:
            return app
    raise RequestError("app is not the file of a registered host: see `phlows host list`")


def _by_host(broker: Broker, name: str, path: str) -> Application:
    app = broker.apps.get(name)
    if app is None:
        raise RequestError(f"unknown host {name[:255]!r}")
    if path and (app.host.is_url or _real(app.host.app) != _real(path)):
        raise RequestError(f"app is not the one of host {name}")
    return app


def _real(path: str) -> str:
    """The path without links, as PHP's own realpath() gives it."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL
        return ""


def task_of(app: Application, body: DispatchBody) -> Task:
    """What the app is asked to run.

    Raises:
        RequestError: the host has no app, or its queue is full.
    """
    if app.runtime is None:
        raise RequestError(f"host {app.host.name} has no app: it is only pushed to")
    if app.is_full:
        raise RequestError(f"events of host {app.host.name} queue up to limits.queue", 503)
    return Task(app.host.name, body.target, tuple(body.args))


async def answer(broker: Broker, app: Application, task: Task, *, keep_alive: bool) -> bytes:
    """Run a task and answer with its result.

    Raises:
        RequestError: it was not run, or failed.
    """
    result = await broker.run(app, task)
    if result.outcome is Outcome.OVERLOADED:
        raise RequestError(result.reason, 503)
    if not result.is_accepted:
        raise RequestError(_why(result))
    value = msgspec.Raw(result.result or b"null")
    return json_response({"status": "ok", "result": value}, keep_alive=keep_alive)


async def run_unheard(broker: Broker, app: Application, task: Task) -> None:
    """Run a task that nobody waits for; what it says is in the log."""
    try:
        await broker.run(app, task)
    except RequestError:  # the broker is stopping: it was told so before it answered
        broker.drops.count("dispatch while the broker stops")


def _why(result: HookResult) -> str:
    """The app's own words, or ours."""
    try:
        return msgspec.json.decode(result.result, type=str) or result.reason
    except msgspec.MsgspecError:
        return result.reason


class TaskStream:
    """The lines of a task as it prints them, then its result, then the end.

    What a task prints is bounded by limits.output, so a slow reader is too.
    """

    def __init__(self, broker: Broker, app: Application, task: Task) -> None:
        self._broker = broker
        self._app = app
        self._task = task
        self._transport: asyncio.Transport | None = None
        self._end: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport) -> None:
        """Send the head and run the task."""
        self._transport = transport
        transport.write(stream_head())
        self._broker.tasks.spawn(self._run())

    def stop(self) -> None:
        """The reader is gone; the task runs on."""
        self._transport = None
        if self._end is not None:
            self._end.cancel()

    def stall(self) -> None:
        """The reader is slower than the task: the transport holds the rest."""

    def unstall(self) -> None:
        """The reader has caught up."""

    async def _run(self) -> None:
        try:
            result = await self._broker.run(self._app, self._task, self._on_line)
        except PhlowsError as error:
            self._write({"t": "error", "message": str(error)})
        else:
            self._write(_end_of(result))
        if self._transport is not None:
            self._transport.write(END_OF_STREAM)
            self._end = asyncio.get_running_loop().call_later(LAST_READ, self._transport.abort)
            self._transport.close()

    def _on_line(self, line: bytes) -> None:
        self._write({"t": "line", "data": line.decode("utf-8", "replace")})

    def _write(self, frame: object) -> None:
        if self._transport is not None:
            self._transport.write(chunk(_encoder.encode(frame) + b"\n"))


def _end_of(result: HookResult) -> dict[str, object]:
    if result.is_accepted:
        return {"t": "done", "result": msgspec.Raw(result.result or b"null")}
    return {"t": "error", "message": _why(result)}
