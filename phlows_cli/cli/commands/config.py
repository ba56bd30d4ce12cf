"""phlows config: look at the configuration before the broker does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option
from phlows_cli.cli.output import emit, note, plural

if TYPE_CHECKING:
    from phlows_cli.errors import ConfigError

HELP = """\
Example: phlows config check

Look at the configuration file.
"""

CHECK = """\
Example: phlows config check --config /etc/phlows/phlows.toml

Check the configuration file and print every problem with its line, and what
was probably meant. The exit code is 2 when there is one. An app that is not
there, or a setting without effect, is a warning.
"""


@click.group(cls=Group, short_help="Check the configuration.", help=HELP)
def config() -> None:
    """Hold the subcommands."""


@config.command(short_help="Print every problem of the file.", help=CHECK)
@config_option
@json_option
@click.pass_context
def check(ctx: click.Context, config_path: str | None, as_json: bool) -> None:
    """Print every problem of the file."""
    from phlows_cli.banner import problems as warnings
    from phlows_cli.config import check_config, find_config, load_config
    from phlows_cli.errors import ConfigError

    path = find_config(config_path)
    if path is None:
        raise ConfigError("there is no config file: `phlows host add` makes one")
    problems = check_config(path)
    emit([_as_dict(problem) for problem in problems], as_json, lambda: _render(problems, str(path)))
    for warning in [] if problems else warnings(load_config(path)):
        note(f"warning: {warning}")
    ctx.exit(ConfigError.exit_code if problems else 0)


def _render(problems: list[ConfigError], path: str) -> str:
    if not problems:
        return f"{path} is fine"
    return "\n".join([*map(str, problems), f"{plural(len(problems), 'problem')} in {path}"])


def _as_dict(problem: ConfigError) -> dict[str, object]:
    return {"path": problem.path, "line": problem.line, "message": problem.message}
