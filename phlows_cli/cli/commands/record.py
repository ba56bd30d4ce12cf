"""phlows record: hook calls of a running broker, into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli.options import Amount, config_option, json_option, registered_hosts, url_option

if TYPE_CHECKING:
    from phlows_cli.cli.recordings.capture import Captured
    from phlows_cli.cli.recordings.sink import Sink

HELP = """\
Example: phlows record calls.ndjson --host app.example.com

Record the hook calls of a running broker until Ctrl-C: what each was asked,
what it answered, how it ended and how long that took. `phlows replay` runs
them again with another version of the app. FILE is for its owner alone
(mode 0600); - is stdout.

Tokens are masked by the broker, always. So are the texts and numbers of
messages and answers, which keep their shape, and their type: --keep NAME
keeps the values of another key, --payloads all keeps everything but tokens.
What is recorded then is what people have said: treat the file like that.

\b
More examples:
  phlows record calls.ndjson --keep room --keep action --seconds 60
  phlows record - --payloads all --count 1000
"""


@click.command(short_help="Record hook calls, to run them again.", help=HELP)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--host", metavar="NAME", shell_complete=registered_hosts, help="Only this host.")
@click.option(
    "--payloads",
    type=click.Choice(("masked", "all")),
    default="masked",
    show_default=True,
    help="Whether the texts and numbers of messages and answers are masked.",
)
@click.option(
    "--keep",
    metavar="NAME",
    multiple=True,
    help="Keep the values of this key at the top of masked payloads. May be given again.",
)
@click.option("--seconds", metavar="N", type=Amount(0, min_open=True), help="End after so long.")
@click.option("--count", metavar="N", type=click.IntRange(1), help="End after so many calls.")
@click.option(
    "--max-size",
    metavar="MIB",
    type=click.IntRange(1, 1_048_576),
    default=100,
    show_default=True,
    help="End before FILE is larger, in MiB.",
)
@click.option("--append", is_flag=True, help="Go on with a recording that FILE holds.")
@click.option("--force", is_flag=True, help="Write over FILE.")
@url_option
@config_option
@json_option("an object with file, calls, lost, bytes and ended")
def record(
    file: str,
    url: str | None,
    config_path: str | None,
    as_json: bool,
    **typed: Any,  # noqa: ANN401 - as click names them
) -> None:
    """Ask the broker for its recording, write it, and say what it holds."""
    from phlows_cli.cli.client import client_for
    from phlows_cli.cli.recordings.capture import capture
    from phlows_cli.cli.recordings.sink import Sink
    from phlows_cli.cli.streams import for_a_reader
    from phlows_cli.config import find_config, load_config
    from phlows_cli.errors import BrokerUnreachableError, UsageError

    if typed["append"] and typed["force"]:
        raise UsageError("--append and --force are two different things: give one")
    limit = typed["max_size"] * 1024 * 1024
    sink = Sink(file, limit, appends=typed["append"], forces=typed["force"])
    sink.check()
    client = client_for(load_config(find_config(config_path)), url)
    lines = client.lines("/record", _query(typed))
    with for_a_reader(), sink:
        done = capture(lines, sink, typed["seconds"], typed["count"])
        _tell(done, sink, as_json)
        if done.ended == "broker":
            raise BrokerUnreachableError(f"the broker at {client.url} has gone away")


def _query(typed: dict[str, Any]) -> dict[str, str]:
    query = {"payloads": typed["payloads"]}
    if typed["host"]:
        query["host"] = typed["host"]
    if typed["keep"]:
        query["keep"] = ",".join(typed["keep"])
    return query


def _tell(done: Captured, sink: Sink, as_json: bool) -> None:
    """Say what was recorded: to stderr where the recording itself is the answer."""
    from phlows_cli.cli.output import emit, json_bytes, note, plural
    from phlows_cli.cli.recordings.sink import STDOUT

    told = {
        "file": sink.path,
        "calls": done.calls,
        "lost": done.lost,
        "bytes": sink.size,
        "ended": done.ended,
    }
    into = "" if sink.path == STDOUT else f" into {sink.path}"
    lost = f", {done.lost} lost: the broker was faster than this" if done.lost else ""
    full = "; the rest would exceed --max-size" if done.ended == "max-size" else ""
    text = f"recorded {plural(done.calls, 'call')}{into}{lost}{full}"
    if sink.path == STDOUT:
        note(json_bytes(told).decode() if as_json else text)
    elif as_json:
        emit(told, as_json, lambda: text)
    else:
        note(text)
