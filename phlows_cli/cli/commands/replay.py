"""phlows replay: recorded hook calls, run again with another version of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli.options import Amount, config_option, json_option, registered_hosts

if TYPE_CHECKING:
    from phlows_cli.cli.recordings.play import Plan, Replay
    from phlows_cli.cli.recordings.source import Source
    from phlows_cli.config import Config

HELP = """\
Example: phlows replay calls.ndjson --app new.php

Run the hook calls of a recording again, as the broker would and without one,
and show where outcome or answers are not what they were. FILE is what `phlows
record` wrote; - is stdin. A socket's calls run in order.

The app runs for real: what it writes, it writes. Give it a database of its
own. Its casts reach nobody, unless it names a broker's address itself.

Masked texts and numbers are compared by their shape. --against runs another
version of the app in the same run, and compares both exactly, casts included.
auth is skipped where its token is masked: --token gives the real one.

The exit code is 0 when all is the same, 1 when something is different, and 5
when a hook fails that did not fail before.

\b
More examples:
  phlows replay calls.ndjson --app new.php --against old.php --ignore time
  phlows replay calls.ndjson --hooks receive,close --speed 1 --concurrency 8
"""

HOOK_FAILED = 5
DIFFERENT = 1
DEPTH = 5000
"""Calls of each other in Python: answers may be nested deeper than its 1000."""


@click.command(short_help="Run recorded hook calls again, and compare.", help=HELP)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--app",
    metavar="FILE",
    type=click.Path(),
    help="The app.  [default: the host's, as registered]",
)
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(),
    help="Compare with this app's answers, not with the recorded ones.",
)
@click.option(
    "--host", metavar="NAME", shell_complete=registered_hosts, help="Only this host's calls."
)
@click.option("--hooks", metavar="NAME,...", help="Only these hooks.")
@click.option(
    "--token",
    "tokens",
    metavar="MASK=TOKEN",
    multiple=True,
    help="The token that a mask stands for: token-ba7816bf8f01=abc. May be given again.",
)
@click.option(
    "--runtime",
    type=click.Choice(("oneshot", "resident")),
    help="How the app is run.  [default: as the host is registered]",
)
@click.option(
    "--speed",
    metavar="FACTOR",
    type=Amount(0, 1_000_000),
    default=0,
    show_default=True,
    help="1 is as fast as it was, 2 twice as fast, 0 as fast as it goes.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Sockets whose calls run side by side.",
)
@click.option(
    "--ignore",
    metavar="KEY",
    multiple=True,
    help="Leave this key out of answers, however deep. May be given again.",
)
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Replay so many calls at most.")
@config_option
@json_option("an object a line for each call that is not the same, then one of type summary")
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    file: str,
    config_path: str | None,
    as_json: bool,
    **typed: Any,  # noqa: ANN401 - as click names them
) -> None:
    """Read, run, compare, show, and exit with what that means."""
    import sys

    from phlows_cli.cli.output import emit
    from phlows_cli.cli.recordings import show
    from phlows_cli.cli.recordings.play import Replay
    from phlows_cli.cli.recordings.source import Source
    from phlows_cli.cli.rehearsal import run_to_end
    from phlows_cli.config import find_config, load_config

    sys.setrecursionlimit(max(DEPTH, sys.getrecursionlimit()))
    run = Replay(_plan(load_config(find_config(config_path)), typed))
    showing = show.Showing(run.figures, as_json)
    with Source(file) as source:
        run_to_end(run.run(source.calls(), showing))
    showing.clear()
    _remark(source, run, is_exact=bool(typed["against"]))
    emit(run.figures.summary(), as_json, lambda: show.summary(run.figures))
    verdicts = run.figures.verdicts
    ctx.exit(HOOK_FAILED if verdicts["failed"] else DIFFERENT if verdicts["different"] else 0)


def _plan(config: Config, typed: dict[str, Any]) -> Plan:
    from phlows_cli.cli.recordings.play import Plan
    from phlows_cli.model import normalise_host

    return Plan(
        config=config,
        app=typed["app"],
        against=typed["against"],
        runtime=typed["runtime"],
        host=normalise_host(typed["host"] or ""),
        hooks=_hooks(typed["hooks"] or ""),
        tokens=dict(map(_token, typed["tokens"])),
        speed=typed["speed"],
        concurrency=typed["concurrency"],
        ignored=frozenset(typed["ignore"]),
        limit=typed["limit"] or 0,
    )


def _hooks(text: str) -> frozenset[str]:
    from phlows_cli.errors import UsageError
    from phlows_cli.model import HOOK_NAMES

    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names.difference(HOOK_NAMES))
    if unknown:
        raise UsageError(f"--hooks {unknown[0]!r} is not one of {', '.join(HOOK_NAMES)}")
    return names


def _token(text: str) -> tuple[str, str]:
    import re

    from phlows_cli.errors import UsageError

    mask, _, token = text.partition("=")
    if not token or not re.fullmatch("token-[0-9a-f]{12}", mask):
        raise UsageError("--token takes MASK=TOKEN, a mask as the recording has it: token-ba78...")
    return mask, token


def _remark(source: Source, run: Replay, *, is_exact: bool) -> None:
    """Say what the comparison could not see."""
    from phlows_cli.cli.output import note, plural

    if source.is_cut:
        note(f"the last line of {source.path} is cut, and was left out")
    if source.lost:
        note(f"missing: {plural(source.lost, 'call')} that the recorder was too slow for")
    if run.has_masked and not is_exact:
        note("masked texts and numbers were compared by shape: --against compares exactly")
