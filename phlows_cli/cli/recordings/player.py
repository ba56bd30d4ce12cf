"""One host's app, which is given recorded calls one at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from phlows_cli.cli.app_check import AppError, check_app
from phlows_cli.cli.recordings.receipts import Receipts
from phlows_cli.config import read_host
from phlows_cli.errors import ConfigError, TimedOutError, UsageError
from phlows_cli.runtime.answer import values_in
from phlows_cli.runtime.runtime import RuntimeSettings, runtime_for
from phlows_cli.runtime.slots import Slots

if TYPE_CHECKING:
    from phlows_cli.config import Config
    from phlows_cli.model import Event, Hook, Host
    from phlows_cli.runtime.runtime import Runtime

STDERR_LINES: Final = 5
"""Lines of an app's stderr that are kept of one call: the last ones."""

OF_THE_BROKER: Final = frozenset({"PHLOWS_URL", "PHLOWS_KEY"})
"""Variables with which an app would find the real one."""


@dataclass(frozen=True, slots=True)
class Played:
    """What an app has made of one call."""

    outcome: str
    reason: str
    ms: float
    answers: list[Any] = field(default_factory=list)
    casts: list[dict[str, Any]] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)


class Player:
    """Runs hooks as the broker would; what the app casts meanwhile is kept."""

    def __init__(self, host: Host, config: Config) -> None:
        self._host = host
        self._config = config
        self._receipts = Receipts(host.name)
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._runtime: Runtime | None = None

    async def play(self, hook: Hook) -> Played:
        """Run one call to its end.

        Raises:
            UsageError: the app does not boot.
        """
        runtime = self._runtime or await self._start()
        self._stderr.clear()
        self._receipts.take()  # what a call before left behind is not of this one
        answers: list[Any] = []

        def on_line(line: bytes) -> None:
            if hook.name == "receive":
                answers.extend(map(_value_of, values_in(line).sendable))

        result = await runtime.call(hook, on_line)
        ms = round(result.seconds * 1000, 3)
        said = (answers, self._receipts.take(), list(self._stderr))
        return Played(str(result.outcome), result.reason, ms, *said)

    async def stop(self) -> None:
        """End the app, and what stood in for the broker."""
        if self._runtime is not None:
            await self._runtime.stop()
        await self._receipts.stop()

    async def _start(self) -> Runtime:
        settings = RuntimeSettings(
            interpreters=self._config.interpreters,
            queue=1,
            output=self._config.limits.output,
            url=await self._receipts.start(),
            slots=Slots(1),
            tries_again=False,
        )
        try:
            self._runtime = runtime_for(self._host, settings, self._on_stderr)
        except ConfigError as error:
            raise UsageError(str(error)) from None
        problem = await self._runtime.warm(1)
        if problem:
            raise UsageError(self._mistake() or f"{self._host.shown_app} does not boot: {problem}")
        return self._runtime

    def _mistake(self) -> str:
        """Where the app does not parse, with its line; "" when that is not what ails it."""
        if self._host.is_url:
            return ""
        try:
            check_app(self._host.app, self._config.interpreters)
        except AppError as error:
            return str(error)
        except TimedOutError:
            return ""
        return ""

    def _on_stderr(self, _event: Event, line: str) -> None:
        self._stderr.append(line)


def _value_of(text: bytes) -> object:
    """An answer as it is compared; one that is too much to read stands as text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text.decode("utf-8", "replace")


def host_for(config: Config, name: str, app: str | None, runtime: str | None) -> Host:
    """Find how a recorded host's app is called, or make it of an app that is named.

    Raises:
        UsageError: there is no such host, or no such app.
    """
    registered = config.hosts.get(name)
    if app is not None:
        named = app if "://" in app else str(Path(app).absolute())
        has_app = registered is not None and registered.app
        host = replace(registered, app=named) if registered and has_app else _made(name, named)
    elif registered is None:
        raise UsageError(f"host {name!r} of the recording is not registered: name an --app")
    else:
        host = registered
    if not host.is_url and not Path(host.app).is_file():
        raise UsageError(f"app {host.app or 'of ' + name} does not exist")
    env = {key: value for key, value in host.env.items() if key not in OF_THE_BROKER}
    host = replace(host, env=env, concurrency=1, spare=0, key_file="")
    return host if runtime is None else replace(host, runtime=runtime)


def _made(name: str, app: str) -> Host:
    try:
        return read_host(name, {"app": app}, Path(app))
    except ConfigError as error:
        raise UsageError(f"--app {app}: {error.message}") from None
