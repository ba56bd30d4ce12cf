"""phlows config: look at the configuration before the broker does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlows_cli.cli import completing
from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option
from phlows_cli.cli.output import emit, note, plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.cli.settings_view import Shown
    from phlows_cli.config import Config
    from phlows_cli.errors import ConfigError

HELP = """\
Example: phlows config show --changed

Check the configuration file, show what the broker makes of it, find it, or
write a first one.
"""

CHECK = """\
Example: phlows config check --config /etc/phlows/phlows.toml

Check the configuration file and print every problem with its line, and what
was probably meant. The exit code is 2 when there is one. An app that is not
there, or a setting without effect, is a warning.
"""

SHOW = """\
Example: phlows config show server.port

Show every setting as the broker uses it, and where its value comes from: the
default, a line of the file, the environment, the command line, or what it is
derived from. NAME is one setting, or a table: `server`, a host's name.

A key is never shown, and of a host's env the names alone: its values are
often secrets. --listen, --port and --path are those of `phlows serve`.
"""

PATH = """\
Example: phlows config path --verbose

Print the configuration file that would be used, and with --verbose where it
was looked for. The exit code is 2 when there is none.
"""

INIT = """\
Example: phlows config init /etc/phlows/phlows.toml

Write a first configuration: every setting with its meaning, its bounds and its
default, switched off, and an example of a host. FILE is ./phlows.toml unless
it is named. A file that exists is left alone, unless --force is given.
"""


@click.group(cls=Group, short_help="Check, show, find or begin the configuration.", help=HELP)
def config() -> None:
    """Hold the subcommands."""


@config.command(short_help="Print every problem of the file.", help=CHECK)
@config_option
@json_option("an array of problems, each with path, line and message; [] when there is none")
@click.pass_context
def check(ctx: click.Context, config_path: str | None, as_json: bool) -> None:
    """Print every problem of the file."""
    from phlows_cli.banner import problems as warnings
    from phlows_cli.config import check_config, find_config, load_config
    from phlows_cli.errors import ConfigError

    path = find_config(config_path)
    if path is None:
        raise ConfigError("there is no config file: `phlows config init` writes one")
    problems = check_config(path)
    emit([_as_dict(problem) for problem in problems], as_json, lambda: _render(problems, str(path)))
    for warning in [] if problems else warnings(load_config(path)):
        note(f"warning: {warning}")
    ctx.exit(ConfigError.exit_code if problems else 0)


@config.command(short_help="Show every setting and where it comes from.", help=SHOW)
@click.argument("name", required=False, shell_complete=completing.settings)
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@click.option(
    "--listen",
    metavar="ADDRESS",
    multiple=True,
    envvar="PHLOWS_LISTEN",
    show_envvar=True,
    help="As if `phlows serve` were given it.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=int,
    envvar="PHLOWS_PORT",
    show_envvar=True,
    help="The same.",
)
@click.option(
    "--path",
    metavar="PATH",
    multiple=True,
    envvar="PHLOWS_SERVE_PATH",
    show_envvar=True,
    help="The same.",
)
@config_option
@json_option(
    "an array of settings, each with name, value, source, where and default;"
    " of one setting the object"
)
@click.pass_context
def show(
    ctx: click.Context,
    /,
    name: str | None,
    changed: bool,
    config_path: str | None,
    as_json: bool,
    **server: Any,  # noqa: ANN401 - the options of `phlows serve`
) -> None:
    """Show every setting and where it comes from."""
    from phlows_cli.cli.commands.serve import override
    from phlows_cli.cli.config_output import setting_text, settings_text
    from phlows_cli.cli.settings_view import shown_settings
    from phlows_cli.config import find_config, load_config

    options = {
        name: list(given) if isinstance(given, tuple) else given
        for name, given in server.items()
        if given not in (None, ())
    }
    loaded = override(load_config(find_config(config_path)), options)
    shown = shown_settings(loaded, _chosen(ctx, options))
    if name is not None:
        shown = _named(shown, name)
    is_one = name is not None and len(shown) == 1
    listed = [item for item in shown if item.is_changed or not changed]
    answer: object = [item.as_json() for item in listed]
    if is_one and listed:
        emit(listed[0].as_json(), as_json, lambda: setting_text(listed[0]))
    else:
        emit(answer, as_json, lambda: settings_text(listed))
    if not as_json:
        _remark(loaded, listed)


@config.command("path", short_help="Print which file is used.", help=PATH)
@click.option("--verbose", "-v", is_flag=True, help="Also where it was looked for, in order.")
@config_option
@json_option(
    "an object with path (null: no file) and searched, an array of place, path and is_used"
)
def path_(verbose: bool, config_path: str | None, as_json: bool) -> None:
    """Print which file is used."""
    from phlows_cli.config import config_places
    from phlows_cli.errors import ConfigError

    places = config_places(config_path)
    used = next((place for _, place in places if place.is_file()), None)
    searched = [
        {"place": label, "path": str(place.absolute()), "is_used": place is used}
        for label, place in places
    ]
    found = str(used.absolute()) if used else None
    # Where it was looked for is an answer, too: with --json it comes before the error.
    emit({"path": found, "searched": searched}, as_json, lambda: found or "")
    if (verbose or used is None) and not as_json:
        for label, place in places:
            note(f"{'used' if place is used else '-':<4}  {label:<19}  {place.absolute()}")
    if used is None and len(places) == 1:
        raise ConfigError("there is no such config file", str(places[0][1]))
    if used is None:
        raise ConfigError("there is no config file: `phlows config init` writes one")


@config.command(short_help="Write a first configuration.", help=INIT)
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Write over a file that exists.")
@json_option("an object with path")
def init(file: str | None, force: bool, as_json: bool) -> None:
    """Write a first configuration."""
    from pathlib import Path

    from phlows_cli.cli.config_template import write_starting_file
    from phlows_cli.config import default_config_path

    place = Path(file) if file else default_config_path()
    write_starting_file(place, is_forced=force)
    emit({"path": str(place.absolute())}, as_json, lambda: f"wrote {place}")
    if not as_json:
        note("next: phlows host add app.example.com /srv/app/www/app.php")


def _chosen(ctx: click.Context, options: Iterable[str]) -> dict[str, str]:
    """Which settings were chosen outside of the file, and by what."""
    from click.core import ParameterSource

    chosen = {}
    for name in options:
        is_typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        chosen[name] = f"--{name}" if is_typed else _variable(ctx, name)
    return chosen


def _variable(ctx: click.Context, name: str) -> str:
    parameter = next(each for each in ctx.command.params if each.name == name)
    names = parameter.envvar
    return f"${names if isinstance(names, str) else next(iter(names or ()), name)}"


def _named(shown: list[Shown], name: str) -> list[Shown]:
    from phlows_cli.cli.settings_view import matching, names_like
    from phlows_cli.errors import UsageError

    found = matching(shown, name)
    if not found:
        raise UsageError(f"no setting {name!r}: {names_like(shown, name)}")
    return found


def _remark(loaded: Config, listed: list[Shown]) -> None:
    if loaded.path is None:
        note("there is no config file: `phlows config init` writes one")
    if not listed:
        note("every setting has its default")
    if any(item.setting.name == "env" and item.value for item in listed):
        note("of env the names alone are shown: its values may be secrets")


def _render(problems: list[ConfigError], path: str) -> str:
    if not problems:
        return f"{path} is fine"
    return "\n".join([*map(str, problems), f"{plural(len(problems), 'problem')} in {path}"])


def _as_dict(problem: ConfigError) -> dict[str, object]:
    return {"path": problem.path, "line": problem.line, "message": problem.message}
