"""From a command line to one of the app's functions, and its answer."""

from __future__ import annotations

import os
import sys

from phlows_cli.errors import UsageError

TYPE_CHECKING = False  # typing's own costs each hook 8 ms of start
if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from typing import Any

HOOK_NAMES = ("connect", "auth", "receive", "close")  # as in model, which imports dataclasses
USAGE = """\
usage: {app} <class>::<connect|auth|close> <host> <token> <socket>
       {app} <class>::receive <host> <token> <socket> <message>
to try a hook: phlows hook receive --app {app} --host example.com '{{"text": "hi"}}'
"""


class Current:
    """The hook that this process is running: casts go to its host."""

    host = ""


def run() -> None:
    """Run the hook that the command line names: an app's last line.

    The functions `ws_connect`, `ws_auth`, `ws_receive` and `ws_close` of the
    calling file are used, plain or async. What they print goes out as it is;
    an exception is a failed hook. In a file that is imported (by a test, say)
    nothing happens.
    """
    app = sys._getframe(1).f_globals  # noqa: SLF001 - the public way imports inspect: 10 ms a hook
    if app.get("__name__") != "__main__":
        return
    _print_whole_lines_at_once()
    try:
        name, context, message = parse([_utf8(argument) for argument in sys.argv[1:]])
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE.format(app=sys.argv[0])}")
        sys.exit(error.exit_code)
    Current.host = context[0]
    verdict = answer(app, name, context, message)
    if verdict is not None:
        sys.stdout.write("true\n" if verdict else "false\n")


def parse(arguments: list[str]) -> tuple[str, list[str], dict[str, Any] | list[Any]]:
    """Read a hook's command line.

    Returns:
        The hook's name; host, token and socket; receive's message, decoded.

    Raises:
        UsageError: the arguments are not those of a hook.
    """
    command, context = "".join(arguments[:1]), arguments[1:4]
    name = command.rpartition("::")[2]
    if name not in HOOK_NAMES:
        raise UsageError(f"no hook is called {command!r}")
    if len(context) < 3:
        raise UsageError(f"{command} needs a host, a token and a socket id")
    return name, context, _decode(arguments[4:]) if name == "receive" else []


def _decode(rest: list[str]) -> dict[str, Any] | list[Any]:
    import json

    try:
        message = json.loads("".join(rest[:1]))
    except ValueError:
        message = None
    if isinstance(message, (dict, list)):
        return message
    raise UsageError("receive needs a message: a JSON object or array")


def answer(
    functions: Mapping[str, Any], name: str, context: list[str], message: dict[str, Any] | list[Any]
) -> bool | None:
    """Call the hook's function; a missing one accepts.

    Returns:
        For connect and auth whether the app accepts; else None.
    """
    function = functions.get(f"ws_{name}", _accept)
    if isinstance(message, dict):
        value = _settled(function(*context, **message))
    else:
        value = _settled(function(*context, *message))
    if name == "auth":
        return _is_true(value)
    # only an explicit False refuses a connect: most apps have nothing to say there
    return value is not False if name == "connect" else None


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

    return asyncio.run(_awaited(value))


async def _awaited(value: Awaitable[object]) -> object:
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
