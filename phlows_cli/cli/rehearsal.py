"""One hook called as the broker would, and what it did."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from phlows_cli.address import bridge_url
from phlows_cli.broker.messages import problem_with
from phlows_cli.cli.output import emit, visible
from phlows_cli.errors import UsageError
from phlows_cli.model import Task
from phlows_cli.runtime.answer import describe_exit, values_in
from phlows_cli.runtime.command import with_key
from phlows_cli.runtime.protocol import WORKER_COMMAND
from phlows_cli.runtime.runtime import RuntimeSettings, command_for, runtime_for
from phlows_cli.runtime.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from phlows_cli.config import Config, Interpreters
    from phlows_cli.model import Event, HookResult, Host, Outcome
    from phlows_cli.runtime.runtime import Runtime


# What becomes of a call is shown: the broker's log would say it twice.
logging.getLogger("phlows").addHandler(logging.NullHandler())


T = TypeVar("T")


def message_text(content: bytes, limit: int) -> str:
    """Check a client's message as the broker does before it runs receive.

    Args:
        content: as the client would send it.
        limit: bytes (limits.max_message).

    Raises:
        UsageError: the broker would not run the hook; says what it would do.
    """
    if len(content) > limit:
        raise UsageError(
            f"message of {len(content)} bytes exceeds {limit} (limits.max_message):"
            " the broker would close the socket with 1009"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UsageError(
            "message is not UTF-8: the broker would close the socket with 1007"
        ) from None
    problem = problem_with(text)
    if problem:
        raise UsageError(f"{problem}: the broker would answer with an error, and not run receive")
    return text


class Rehearsal:
    """Calls one hook or task, and keeps all that comes of it.

    With `is_live` every line is shown as it comes, marked by what the broker
    would do with it.
    """

    def __init__(self, host: Host, event: Event, interpreters: Interpreters, is_live: bool) -> None:
        self.command = _command(host, event, interpreters)
        self._host = host
        self._event = event
        self._is_live = is_live
        self._lines: list[dict[str, Any]] = []
        self._stderr: list[str] = []
        self._call: asyncio.Future[HookResult] | None = None
        self._unprintable: OSError | None = None

    async def run(self, settings: RuntimeSettings) -> HookResult:
        """Call the hook through the runtime that the broker would use."""
        runtime = runtime_for(keyed(self._host), settings, self._on_stderr)
        _check_size(self._event, runtime)
        self._show("$", _shell_words(self.command))
        self._call = asyncio.ensure_future(runtime.call(self._event, self._on_line))
        if self._unprintable:
            self._call.cancel()
        try:
            result = await self._call
        except asyncio.CancelledError:
            if self._unprintable is None:
                raise
        finally:
            await runtime.stop()
        if self._unprintable:
            raise self._unprintable
        return result

    def report(self, result: HookResult) -> dict[str, object]:
        """Put everything into one object."""
        told = {"result": _json(result.result)} if isinstance(self._event, Task) else {}
        return {
            "command": self.command,
            "lines": self._lines,
            "stderr": self._stderr,
            **told,
            "outcome": str(result.outcome),
            "reason": result.reason,
            "exit_code": result.exit_code,
            "dropped": result.dropped,
            "ms": round(result.seconds * 1000, 3),
        }

    def _on_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        if isinstance(self._event, Task):
            self._lines.append({"text": text})
            self._show("printed", text)
            return
        # Only receive answers its client: the lines of the other hooks are dropped.
        answer = values_in(line) if self._event.name == "receive" else None
        sent = [value.decode() for value in answer.sendable] if answer else []
        self._lines.append({"text": text, "sent": sent})
        if sent != [text.strip()]:
            # Of another hook no line is ever sent, so there is nothing amiss in it.
            is_amiss = answer is not None and not sent
            why = f"  ({answer.ignored})" if answer and answer.ignored else ""
            self._show("not sent" if is_amiss else "printed", text + why)
        for value in sent:
            self._show("sent", value)

    def _on_stderr(self, _event: Event, line: str) -> None:
        self._stderr.append(line)
        self._show("stderr", line)

    def _show(self, mark: str, text: str) -> None:
        if not self._is_live or self._unprintable:
            return
        width = 0 if mark == "$" else 8
        try:
            click.echo(f"{mark:<{width}} {visible(text)}")
        except OSError as error:
            # The loop calls this, and would swallow the error: run() raises it.
            self._unprintable = error
            if self._call:
                self._call.cancel()


def _command(host: Host, event: Event, interpreters: Interpreters) -> list[str]:
    """What is run, or asked: of a URL the address, of a worker its own command."""
    called = [event.command(host.hook_class), *event.args()]
    if host.is_url:
        return ["POST", host.shown_app, *called]
    prefix = command_for(host, interpreters)
    return [*prefix, WORKER_COMMAND, *called] if host.runtime == "resident" else [*prefix, *called]


def _check_size(event: Event, runtime: Runtime) -> None:
    """Refuse a message that the broker would not give to this app.

    Raises:
        UsageError: it is too long.
    """
    if event.data is not None and len(event.data.encode()) > runtime.message_limit:
        raise UsageError(
            f"message exceeds {runtime.message_limit} bytes, the most that this app can be"
            " given: the broker would close the socket with 1009"
        )


def _json(text: bytes) -> object:
    from json import loads

    return loads(text) if text else None


def run_once(rehearsal: Rehearsal, config: Config) -> HookResult:
    """Run a rehearsal to its end."""
    return run_to_end(rehearsal.run(_settings(config)))


def run_often(host: Host, event: Event, config: Config, count: int, as_json: bool) -> Outcome:
    """Call it many times, print how that went, and return the worst outcome."""
    from phlows_cli.cli.repetition import render, repeat, summary, worst

    results = run_to_end(repeat(keyed(host), event, _settings(config), count))
    told = summary(results)
    emit(told, as_json, lambda: render(told))
    return worst(results)


def keyed(host: Host) -> Host:
    """The host with the key that the broker hands its app, if we may read it."""
    from phlows_cli.cli.client import read_key

    return with_key(host, read_key(Path(host.key_file))) if host.key_file else host


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run work; a signal that would end this process ends what it has started first."""

    async def watched() -> T:
        task, signalled = asyncio.current_task(), []

        def stop(number: int) -> None:
            signalled.append(number)
            if task is not None:
                task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
        try:
            return await work
        except asyncio.CancelledError:
            if signalled:
                raise click.exceptions.Exit(128 + signalled[0]) from None
            raise

    return asyncio.run(watched())


def _settings(config: Config) -> RuntimeSettings:
    return RuntimeSettings(
        interpreters=config.interpreters,
        queue=config.limits.queue,
        output=config.limits.output,
        url=bridge_url(config.server.listen, config.server.port),
        slots=Slots(1),
        tries_again=False,
    )


def verdict(result: HookResult, accepted: str = "accepted") -> str:
    """Say how the call ended, on one line."""
    outcome = accepted if result.is_accepted else str(result.outcome)
    words = [f"{outcome}: {result.reason}" if result.reason else outcome]
    if result.exit_code is not None:
        ended = describe_exit(result.exit_code)
        words += [] if ended in result.reason else [ended]
    if result.dropped:
        words.append(f"{result.dropped} bytes over limits.output ({result.output_limit}) dropped")
    return ", ".join([*words, f"{result.seconds * 1000:.1f} ms"])


def _shell_words(command: list[str]) -> str:
    from shlex import join

    return join(command)
