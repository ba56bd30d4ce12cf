"""phlows hook: run one hook of an app, without a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.lazy import did_you_mean
from phlows_cli.cli.options import (
    config_option,
    host_option,
    json_option,
    repeat_option,
    sole_host,
)
from phlows_cli.cli.output import EXIT_CODES, emit, note
from phlows_cli.errors import ConfigError, UsageError
from phlows_cli.model import HOOK_NAMES, Hook, normalise_host

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlows_cli.config import Config
    from phlows_cli.model import Host

HELP = """\
Example: phlows hook receive --token abc '{"type":"ping"}'

Run one hook of an app exactly as the broker would, without a broker: connect,
auth, receive or close, also spelled as the app sees it, ws::receive. Shown are
the command line, each line of output (and of receive, whose lines alone go to
the client, what would be sent), stderr, the result, the exit code and the
milliseconds.

receive takes a MESSAGE: JSON, @FILE, - for stdin, or items: key=text, and
key:=json for a value that is not text. It is checked as the broker checks what
clients send.

The exit code is 0 when the hook accepts or is done, 4 when it refuses, 5 when
it fails and 6 when it takes too long.

\b
More examples:
  phlows hook auth --host app.example.com --token abc
  phlows hook ws::connect --app ./app.php
  phlows hook receive --token abc type=chat.send text='hi there' n:=3
  phlows hook receive --repeat 100 '{"type":"ping"}'
"""


@click.command(short_help="Run one hook of an app, without a broker.", help=HELP)
@click.argument("name", metavar="HOOK", shell_complete=completing.hook_names)
@click.argument("message", nargs=-1, metavar="[MESSAGE]...")
@host_option
@click.option(
    "--token",
    metavar="TOKEN|@FILE|-",
    default="",
    help="The token that the hook is given, or a file of it, or stdin.",
)
@click.option(
    "--socket",
    metavar="ID",
    shell_complete=completing.sockets,
    help="The socket id; without it: a random one.",
)
@click.option(
    "--app",
    metavar="FILE",
    type=click.Path(),
    help="An app that is not registered; --host is then any name.",
)
@click.option(
    "--hook-class", metavar="NAME", help="With --app: the command is NAME::HOOK.  [default: ws]"
)
@click.option(
    "--timeout", metavar="SECONDS", type=float, help="With --app: the longest run.  [default: 30]"
)
@repeat_option
@config_option
@json_option(
    "an object with command, lines, stderr, outcome, reason, exit_code and ms;"
    " with --repeat: count, outcomes, reason and ms"
)
@click.pass_context
def hook(
    ctx: click.Context,
    /,
    name: str,
    message: tuple[str, ...],
    config_path: str | None,
    as_json: bool,
    **typed: Any,  # noqa: ANN401 - as click names them
) -> None:
    """Call the hook, show what it does and exit with what it means."""
    from phlows_cli.cli.rehearsal import Rehearsal, run_often, run_once, verdict
    from phlows_cli.config import find_config, load_config

    config = load_config(find_config(config_path))
    spelled, hook_name = _parse_name(name)
    host = _host(config, hook_name, spelled, typed)
    event = _event(config, hook_name, host, message, typed["token"], typed["socket"])
    rehearsal = Rehearsal(host, event, config.interpreters, is_live=not as_json)
    if typed["repeat"] is not None:
        ctx.exit(EXIT_CODES[run_often(host, event, config, typed["repeat"], as_json)])
    result = run_once(rehearsal, config)
    if typed["app"] is not None:
        result = result._replace(reason=_as_options(result.reason, host.name))
    emit(rehearsal.report(result), as_json, lambda: verdict(result))
    ctx.exit(EXIT_CODES[result.outcome])


def _parse_name(text: str) -> tuple[str, str]:
    """Split "ws::receive"; "receive" alone has no class."""
    spelled, _, name = text.rpartition("::")
    if name not in HOOK_NAMES:
        raise UsageError(f"hook {text!r} is not one of {', '.join(HOOK_NAMES)}")
    return spelled, name


def _host(config: Config, hook_name: str, spelled: str, typed: Mapping[str, Any]) -> Host:
    """Find the host to call, or make one for --app."""
    hook_class, timeout = typed["hook_class"], typed["timeout"]
    if typed["app"] is not None:
        name = typed["host"] or "localhost"
        return _unregistered(name, typed["app"], hook_class or spelled, timeout)
    if hook_class is not None or timeout is not None:
        raise UsageError("--hook-class and --timeout go with --app: a registered host has its own")
    return _registered(config, typed["host"], hook_name, spelled)


def _registered(config: Config, host: str | None, hook_name: str, spelled: str) -> Host:
    if not host and not config.hosts:
        raise UsageError(
            f"no host is registered in {config.path or 'any phlows.toml'}:"
            " register one with `phlows host add`, or name an app with --app"
        )
    name = normalise_host(host) if host else sole_host(config)
    found = config.hosts.get(name)
    if found is None:
        meant = did_you_mean(name, config.hosts)
        raise UsageError(
            f"unknown host {name!r}"
            + (meant or ": register it with `phlows host add`, or use --app")
        )
    if hook_name not in found.hooks:
        raise UsageError(f"{name} has no {hook_name} in its hooks: the broker would run nothing")
    if spelled and spelled != found.hook_class:
        note(f"{name} has hook_class {found.hook_class!r}: calling {found.hook_class}::{hook_name}")
    return found


def _unregistered(name: str, app: str, hook_class: str, timeout: float | None) -> Host:
    from pathlib import Path

    from phlows_cli.config import read_host

    path = Path(app).absolute()
    table: dict[str, object] = {"app": app if "://" in app else str(path)}
    if hook_class:
        table["hook_class"] = hook_class
    if timeout is not None:
        table["timeout"] = timeout
    try:
        return read_host(name, table, path)
    except ConfigError as error:
        raise UsageError(_as_options(str(error), normalise_host(name))) from None


def _as_options(text: str, host: str) -> str:
    """Name the options of --app where a text names the settings they stand for."""
    for prefix in (f"hosts.{host}.", f'hosts."{host}".'):
        for key in ("app", "hook_class", "timeout"):
            text = text.replace(prefix + key, "--" + key.replace("_", "-"))
    return text


def _event(
    config: Config, name: str, host: Host, words: Sequence[str], token: str, socket: str | None
) -> Hook:
    """Make the event that the app will see."""
    from os import urandom

    if bool(words) != (name == "receive"):
        needs = "takes no MESSAGE" if words else "needs a MESSAGE"
        raise UsageError(f"{name} {needs}")
    if (token, *words) == ("-", "-"):
        raise UsageError("stdin is one thing: the token or the message, not both")
    data = _message(words, config.limits.max_message) if words else None
    return Hook(name, host.name, _token(token), socket or urandom(8).hex(), data)


def _message(words: Sequence[str], limit: int) -> str:
    """Make the message of what was typed for it: JSON, or items."""
    from phlows_cli.cli.items import parse_items, read_argument, shown, to_json
    from phlows_cli.cli.rehearsal import message_text

    first = words[0].lstrip()
    is_whole = len(words) == 1 and (first == "-" or first.startswith(("@", "{", "[")))
    if is_whole:
        # A file or a pipe ends with a newline that no client would send.
        return message_text(read_argument(words[0]).removesuffix(b"\n"), limit)
    if len(words) == 1 and ("=" not in first or first.startswith('"')):
        raise UsageError(
            f"message {shown(first)!r} is not a JSON object or array:"
            " give that, or items, such as type=ping"
        )
    return message_text(to_json(parse_items(words)), limit)


def _token(typed: str) -> str:
    """Read a token as it was typed, or from where that says: without its newline."""
    from phlows_cli.cli.items import read_argument

    return read_argument(typed).removesuffix(b"\n").decode("utf-8", "surrogateescape")
