"""From a command line to one of the app's functions, and its answer."""

from __future__ import annotations

import os
import sys

from phlows_cli.errors import UsageError

TYPE_CHECKING = False  # typing's own costs each hook 8 ms of start
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

HOOK_NAMES = ("connect", "auth", "receive", "close")  # as in model, which imports dataclasses
SERVE = "phlo_serve"  # as in runtime.protocol: the command of a process for many events
USAGE = """\
usage: {app} <class>::<connect|auth|close> <host> <token> <socket>
       {app} <class>::receive <host> <token> <socket> <message>
       {app} <function|object::method> [argument...]
       {app} phlo_serve
to try a hook: phlows hook receive --app {app} --host example.com '{{"text": "hi"}}'
"""


class Current:
    """What this process is doing: casts go to the host of its hook."""

    host = ""
    is_app = False  # whether run() was called: this is an app's process, not a web server


class Call:
    """One of the app's functions and its arguments; `hook` is "" for others."""

    __slots__ = ("args", "function", "hook", "keywords")

    def __init__(
        self, hook: str, function: Callable[..., Any], args: list[Any], keywords: dict[str, Any]
    ) -> None:
        self.hook = hook
        self.function = function
        self.args = args
        self.keywords = keywords

    @property
    def host(self) -> str:
        """Whose event it is; "" when it is no event."""
        return str(self.args[0]) if self.hook else ""

    def start(self) -> object:
        """Call the function; the value may be one to wait for."""
        return self.function(*self.args, **self.keywords)

    def answer(self, value: object) -> object:
        """What the function's value means to the broker."""
        if not self.hook:
            return value
        if self.hook == "auth":
            return _is_true(value)
        # only an explicit False refuses a connect: most apps have nothing to say there
        return value is not False if self.hook == "connect" else None


def run() -> None:
    """Do what the command line names: an app's last line.

    The functions `ws_connect`, `ws_auth`, `ws_receive` and `ws_close` of the
    calling file are used, plain or async. What they print goes out as it is;
    an exception is a failed hook. In a file that is imported (by a test, say)
    nothing happens. docs/apps-python.md has the whole of it.
    """
    app = sys._getframe(1).f_globals  # noqa: SLF001 - the public way imports inspect: 10 ms a hook
    if app.get("__name__") != "__main__":
        return
    Current.is_app = True
    if sys.argv[1:2] == [SERVE]:
        from phlows_cli.app.worker import serve

        serve(app)
    _run_once(app, [_utf8(argument) for argument in sys.argv[1:]])


def apply(**commands: object) -> dict[str, object]:
    """Make commands for a page, as in `apply(toast="hi", title="3 new")`.

    In a hook they are printed, which sends them to its client; anywhere else
    nothing is printed, and a stream yields what is returned.
    """
    if Current.is_app:
        import json

        sys.stdout.write(json.dumps(commands, allow_nan=False) + "\n")
    return commands


def _run_once(app: Mapping[str, Any], arguments: list[str]) -> None:
    _print_whole_lines_at_once()
    try:
        call = find_call(app, "".join(arguments[:1]), arguments[1:])
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE.format(app=sys.argv[0])}")
        sys.exit(error.exit_code)
    Current.host = call.host
    if not call.hook:
        from phlows_cli.app.target import arguments_of

        call.args = arguments_of(call.args)
    answer = call.answer(_settled(call.start()))
    if not call.hook:
        import json

        sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
    elif answer is not None:
        sys.stdout.write("true\n" if answer else "false\n")


def find_call(app: Mapping[str, Any], command: str, values: list[Any]) -> Call:
    """Find what a command means: a hook, else a function of the app.

    Raises:
        UsageError: nothing of that name, or the arguments are not a hook's.
    """
    hook = command.rpartition("::")[2]
    if hook in HOOK_NAMES:
        context, message = parse(command, values)
        function = app.get(f"ws_{hook}", _accept)
        if isinstance(message, dict):
            return Call(hook, function, context, message)
        return Call(hook, function, [*context, *message], {})
    from phlows_cli.app.target import function_of

    return Call("", function_of(app, command), values, {})


def parse(command: str, values: list[Any]) -> tuple[list[str], dict[str, Any] | list[Any]]:
    """Read a hook's arguments.

    Returns:
        Host, token and socket; receive's message, decoded.

    Raises:
        UsageError: the arguments are not those of a hook.
    """
    context = values[:3]
    if len(context) < 3 or not all(isinstance(value, str) for value in context):
        raise UsageError(f"{command} needs a host, a token and a socket id")
    return context, _decode(values[3:]) if command.endswith("receive") else []


def _decode(rest: list[Any]) -> dict[str, Any] | list[Any]:
    import json

    try:
        message = json.loads("".join(rest[:1]))
    except (TypeError, ValueError):
        message = None
    if isinstance(message, (dict, list)):
        return message
    raise UsageError("receive needs a message: a JSON object or array")


def _accept(*_: object, **__: object) -> bool:
    """Stand in for a function that the app does not have."""
    return True


def _is_true(value: object) -> bool:
    """Only True authenticates: a forgotten return must let no one in."""
    if not isinstance(value, bool):
        sys.stderr.write(f"ws_auth returned {type(value).__name__}: only True accepts\n")
    return value is True


def _settled(value: Any) -> object:  # noqa: ANN401 - whatever an app's function returns
    """Wait for the value if it is one to wait for."""
    if not hasattr(value, "__await__"):
        return value
    import asyncio

    return asyncio.run(awaited(value))


async def awaited(value: Awaitable[object]) -> object:
    """Make any awaitable the coroutine that asyncio.run asks for."""
    return await value


def _utf8(argument: str) -> str:
    """Read an argument as the broker sent it, whatever this locale made of it."""
    return os.fsencode(argument).decode("utf-8", "surrogateescape")


def _print_whole_lines_at_once() -> None:
    """Each printed line is a message: it leaves when it is printed, as UTF-8."""
    import io

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
