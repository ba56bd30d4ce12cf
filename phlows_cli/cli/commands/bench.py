"""phlows bench: how much the broker does, with every message counted."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import Amount, config_option, json_option, registered_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.load.result import Result
    from phlows_cli.cli.load.stage import Stage, Where

Command = TypeVar("Command", bound="Callable[..., Any]")

HELP = """\
Example: phlows bench fanout

Measure a broker, and count every message: one that is lost, comes twice, out
of order or damaged makes the run fail, with the socket and the number.

Without --url, --host or --connect the run starts a broker of its own and ends
it. The exit code is 1 when something was not as it has to be, 3 when no
broker answers and 4 when it refuses.
"""

FANOUT = """\
Example: phlows bench fanout --sockets 1000 --outstanding 32

Cast to many sockets, and count what each of them gets: casts and deliveries a
second, and how long a cast takes to the last client and to each.

With --rate the times are measured from when a cast was due, not from when it
could be sent.

\b
More examples:
  phlows bench fanout --target token --casts 5000
  phlows bench fanout --url http://127.0.0.1:3001 --host app.example.com
  phlows bench fanout --url 3001 --connect wss://app.example.com/websocket
"""

ECHO = """\
Example: phlows bench echo --rate 1000

Send messages through an app and back: from a client to the hook `receive`,
and the app's answer to the same client. Without --app and --url it is a small
Python app; your own has to send each message back with its fields.

At a rate, times are measured from when a message was due: a broker that
stands still for a second is seen in all that was due in that second. With
--closed-loop each socket sends when it was answered, as fast as it goes.
"""

CONNECT = """\
Example: phlows bench connect --count 5000 --concurrency 100

Open sockets, one after another, and close each when it is in: handshakes a
second, how long they take, and what was refused. With --token each socket is
also measured from its upgrade until the app has let it in.
"""

STORM = """\
Example: phlows bench storm --sockets 5000

Let all sockets come at once; then drop them, and let them come back at once.
Who is refused waits as long as it is told, or as the browser's client would,
and tries again. The run fails if one does not get in, or is in and is not
reached by a cast.
"""

WHERE_OPTIONS = (
    click.option(
        "--url",
        metavar="URL",
        envvar="PHLOWS_URL",
        show_envvar=True,
        help="A broker that runs: http://127.0.0.1:3001, https://host or unix:/path."
        " Without this, --host and --connect: one of the run's own. Its key is PHLOWS_KEY,"
        " or that of the key file.",
    ),
    click.option(
        "--host",
        metavar="NAME",
        envvar="PHLOWS_HOST",
        show_envvar=True,
        shell_complete=registered_hosts,
        help="The host at that broker. It may be left out when only one is registered.",
    ),
    config_option,
    click.option(
        "--connect",
        metavar="URL",
        help="Where the sockets connect, if not at --url: wss://app.example.com/websocket.",
    ),
    click.option(
        "--token",
        metavar="TEMPLATE",
        help="Send an auth message with this token; {n} is the number of the socket.",
    ),
    click.option(
        "--cookie",
        metavar="TEMPLATE",
        help="Connect with this cookie, NAME=VALUE or the value of `token`; {n} as in --token.",
    ),
    click.option("--origin", metavar="ORIGIN", help="Connect as a page of this origin."),
    click.option(
        "--ca",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Trust these certificates, not the system's.",
    ),
    click.option(
        "--app",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Run this app in the run's own broker.",
    ),
    click.option(
        "--runtime",
        type=click.Choice(["resident", "oneshot"]),
        default="resident",
        show_default=True,
        help="How --app is run.",
    ),
    click.option(
        "--timeout",
        metavar="SECONDS",
        type=Amount(0.1, 600),
        default=10.0,
        show_default=True,
        help="What has not come when nothing came for so long is lost.",
    ),
    json_option("an object with bench, ok, config, figures, latency_ms, errors and machine"),
)

size_option = click.option(
    "--size",
    metavar="BYTES",
    type=click.IntRange(72, 1_000_000),
    default=128,
    show_default=True,
    help="The payload of each message.",
)
seconds_option = click.option(
    "--seconds",
    metavar="SECONDS",
    type=Amount(0.1, 86400),
    default=5.0,
    show_default=True,
    help="For how long.",
)


def sockets_option(default: int) -> Callable[[Command], Command]:
    """The number of sockets, which each command has another default for."""
    return click.option(
        "--sockets",
        metavar="COUNT",
        type=click.IntRange(1, 999_999),
        default=default,
        show_default=True,
        help="How many sockets.",
    )


def where_options(command: Command) -> Command:
    """Add the options that say which broker is meant, and who connects."""
    return reduce(lambda inner, option: option(inner), reversed(WHERE_OPTIONS), command)


@click.group(cls=Group, short_help="Measure a broker, counting every message.", help=HELP)
def bench() -> None:
    """Hold the subcommands."""


@bench.command(short_help="Casts to many sockets.", help=FANOUT)
@sockets_option(1000)
@size_option
@click.option(
    "--outstanding",
    metavar="COUNT",
    type=click.IntRange(1, 10_000),
    help="Casts under way at once.  [default: 1; with --rate 1000]",
)
@seconds_option
@click.option(
    "--casts",
    metavar="COUNT",
    type=click.IntRange(1, 1_000_000_000),
    help="So many casts, however long they take.",
)
@click.option(
    "--target",
    type=click.Choice(["all", "token", "socket"]),
    default="all",
    show_default=True,
    help="Cast to all, or to one token or socket after the other.",
)
@click.option(
    "--rate",
    metavar="COUNT",
    type=Amount(0.01, 1_000_000),
    help="Casts a second. Without it: as many as it takes.",
)
@where_options
@click.pass_context
def fanout(ctx: click.Context, /, as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Cast to many sockets."""
    from phlows_cli.cli.load.fanout import Fanout, Plan
    from phlows_cli.errors import UsageError

    where = _where(typed)
    if where.connect and not where.url:
        raise UsageError("a fan-out casts: name the broker with --url, beside --connect")
    typed["outstanding"] = typed["outstanding"] or (1000 if typed["rate"] else 1)
    plan = Plan(**typed)
    plan.check()
    needs_auth = plan.target == "token"
    if needs_auth and not where.is_own and where.token is None:
        raise UsageError("--target token needs --token TEMPLATE: who are the sockets?")
    _run(
        ctx,
        where,
        typed,
        as_json,
        lambda stage: Fanout(stage, plan).run(),
        needs_auth=needs_auth,
    )


@bench.command(short_help="Messages through the app and back.", help=ECHO)
@sockets_option(100)
@size_option
@seconds_option
@click.option(
    "--rate",
    metavar="COUNT",
    type=Amount(0.01, 1_000_000),
    help="Messages a second, over all sockets.  [default: 500]",
)
@click.option("--closed-loop", is_flag=True, help="Each socket sends when it was answered.")
@where_options
@click.pass_context
def echo(ctx: click.Context, /, as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Send messages through the app and back."""
    from phlows_cli.cli.load.echo import RATE, Echo, Plan
    from phlows_cli.errors import UsageError

    where = _where(typed)
    if typed["closed_loop"] and typed["rate"]:
        raise UsageError("--rate and --closed-loop exclude each other")
    if not typed["closed_loop"]:
        typed["rate"] = typed["rate"] or RATE
    plan = Plan(typed["sockets"], typed["size"], typed["seconds"], typed["rate"])
    _run(ctx, where, typed, as_json, lambda stage: Echo(stage, plan).run(), needs_app=True)


@bench.command(short_help="Handshakes a second.", help=CONNECT)
@click.option(
    "--count",
    metavar="COUNT",
    type=click.IntRange(1, 10_000_000),
    default=1000,
    show_default=True,
    help="How many handshakes.",
)
@click.option(
    "--concurrency",
    metavar="COUNT",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="How many at once.",
)
@where_options
@click.pass_context
def connect(ctx: click.Context, /, as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Open and close sockets."""
    from phlows_cli.cli.load.handshakes import Handshakes, Plan

    # --connect, too, is a parameter of this command: _where() takes it out.
    where = _where(typed)
    plan = Plan(**typed)
    _run(ctx, where, typed, as_json, lambda stage: Handshakes(stage, plan).run())


@bench.command(short_help="Everybody at once, twice.", help=STORM)
@sockets_option(2000)
@click.option(
    "--patience",
    metavar="SECONDS",
    type=Amount(1, 3600),
    default=120.0,
    show_default=True,
    help="For how long each wave may try.",
)
@where_options
@click.pass_context
def storm(ctx: click.Context, /, as_json: bool, **typed: Any) -> None:  # noqa: ANN401 - as click names them
    """Let all come at once, and come back."""
    from phlows_cli.cli.load import storm as load

    where = _where(typed)
    plan = load.Plan(**typed)
    _run(ctx, where, typed, as_json, lambda stage: load.storm(stage, plan))


def _where(typed: dict[str, Any]) -> Where:
    """Take the options of WHERE_OPTIONS out of what was typed."""
    from dataclasses import fields

    from phlows_cli.cli.load.stage import Where

    return Where(**{each.name: typed.pop(each.name) for each in fields(Where)})


def _run(
    ctx: click.Context,
    where: Where,
    config: dict[str, Any],
    as_json: bool,
    measure: Callable[[Stage], Result],
    **needs: bool,
) -> None:
    """Do a run, print what it has found and end with its exit code."""
    from phlows_cli.cli.load.machine import allow_sockets
    from phlows_cli.cli.load.stage import staged
    from phlows_cli.cli.main import INTERRUPTED
    from phlows_cli.cli.output import emit, note

    allow_sockets(config.get("sockets") or config["concurrency"])
    with staged(where, **needs) as stage:
        result = measure(stage)
        broker = "temporary" if where.is_own else stage.sockets.shown
        result.config = {**config, "broker": broker, "host": stage.host}
    emit(result.as_dict(), as_json, result.render)
    for warning in result.warnings:
        note(f"warning: {warning}")
    ctx.exit(INTERRUPTED if result.is_interrupted else 0 if result.is_ok else 1)
