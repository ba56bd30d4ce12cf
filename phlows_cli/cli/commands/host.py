"""`phlows host`: which hosts there are, and the app behind each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from phlows_cli.cli.host_view import as_json_value, overview, settings_table
from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option, registered_hosts
from phlows_cli.cli.output import emit, note, visible
from phlows_cli.errors import ConfigError, UsageError
from phlows_cli.model import AUTH_MODES, RUNTIMES, normalise_host

if TYPE_CHECKING:
    from pathlib import Path

    from phlows_cli.config import Config
    from phlows_cli.model import Host

HELP: Final = """\
Example: phlows host add app.example.com /srv/app/www/app.php

Register, change and list the hosts and their apps. They are kept in
phlows.toml, where all that these commands do not change stays as it is.
"""

ADD_HELP: Final = """\
Example: phlows host add app.example.com /srv/app/www/app.php

Register a host, so that its sockets reach your app: a .php or .py file, an
executable, or a URL. A file is parsed first, never run. Options that are not
given keep their defaults and are left out of the file.

\b
More examples:
  phlows host add chat.local chat.py --hooks connect,receive,close
  phlows host add news.local --hooks none
  phlows host add fast.local app.php --runtime resident --spare 1
  phlows host add web.local http://127.0.0.1:8080/hooks
  phlows host add app.example.com app.php --auth upgrade --env APP_ENV=production
"""

REMOVE_HELP: Final = """\
Example: phlows host remove app.example.com

Take a host out of phlows.toml, with its settings. Its app is not touched.
"""

LIST_HELP: Final = """\
Example: phlows host list

List the registered hosts, each with its app, auth mode and hooks.
"""

SHOW_HELP: Final = """\
Example: phlows host show app.example.com

Show every setting of a host as the broker uses it, defaults included.
"""

name_argument = click.argument("name", shell_complete=registered_hosts)


@click.group(cls=Group, help=HELP, short_help="Register, change and list the hosts and their apps.")
def host() -> None:
    """Hold the commands on hosts."""


@host.command(help=ADD_HELP, short_help="Register a host and its app.")
@click.argument("name")
@click.argument("app", required=False, type=click.Path())
@click.option("--auth", type=click.Choice(AUTH_MODES), help="When a token is checked.")
@click.option(
    "--hooks",
    metavar="NAMES",
    help='Those the app has, comma-separated; "none" is a push-only host.  [default: all four]',
)
@click.option("--hook-class", metavar="NAME", help="The command is NAME::receive.  [default: ws]")
@click.option("--token-cookie", metavar="NAME", help='The cookie with the token; "" is none.')
@click.option(
    "--origin", "origins", metavar="URL", multiple=True, help="Another site that may connect."
)
@click.option("--timeout", type=float, metavar="SECONDS", help="One hook call.  [default: 30]")
@click.option("--concurrency", type=int, metavar="COUNT", help="Processes at once; 0: by cores.")
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    help="A process for each event, or workers that stay.  [default: oneshot]",
)
@click.option("--max-jobs", type=int, metavar="COUNT", help="Jobs of a worker; 1: single-use.")
@click.option("--spare", type=int, metavar="COUNT", help="Workers kept booted and idle.")
@click.option("--idle-timeout", type=float, metavar="SECONDS", help="When idle workers end.")
@click.option(
    "--watch-app", is_flag=True, default=None, help="New workers when a file of the app changes."
)
@click.option("--tick", metavar="TARGET", help="What to run each minute, as in tasks::run.")
@click.option("--env", metavar="NAME=TEXT", multiple=True, help="More environment for the app.")
@click.option("--no-check", is_flag=True, help="Do not look at the app.")
@click.option("--replace", is_flag=True, help="Write a registered host anew.")
@config_option
@json_option("an object, the settings of the host, and config, the file")
def add(
    name: str,
    app: str | None,
    config_path: str | None,
    as_json: bool,
    **chosen: Any,  # noqa: ANN401 - the options
) -> None:
    """Register a host and its app."""
    from phlows_cli.config import default_config_path, find_config, load_config, read_host
    from phlows_cli.registry import add_host

    path = find_config(config_path) or default_config_path()
    table = _table(app, **{key: chosen[key] for key in _TABLE_OPTIONS})
    added = read_host(name, table, path)
    config = load_config(path if path.exists() else None)
    replaced = added.name in config.hosts
    if added.app and not (added.is_url or chosen["no_check"]):
        from phlows_cli.cli.app_check import check_app

        check_app(added.app, config.interpreters)
        _warn_of_mute(added)
    add_host(path, added.name, table, replace=chosen["replace"])
    verb = "replaced" if replaced else "added"
    emit(
        as_json_value(added) | {"config": str(path)},
        as_json,
        lambda: f"{verb} {added.name} in {path}",
    )
    note(f"a broker that is running sees {added.name} within two seconds, or with `phlows reload`")


@host.command(help=REMOVE_HELP, short_help="Take a host out.")
@name_argument
@config_option
@json_option("an object with host and config, the file")
def remove(name: str, config_path: str | None, as_json: bool) -> None:
    """Take a host out."""
    from phlows_cli.config import find_config
    from phlows_cli.registry import remove_host

    path = _existing(find_config(config_path))
    gone = normalise_host(name)
    remove_host(path, gone)
    emit({"host": gone, "config": str(path)}, as_json, lambda: f"removed {gone} from {path}")
    note(f"a broker that is running drops {gone} within two seconds, or with `phlows reload`")


@host.command("list", help=LIST_HELP, short_help="List the registered hosts.")
@config_option
@json_option("an array of hosts, each an object as that of `host show`")
def list_(config_path: str | None, as_json: bool) -> None:
    """List the registered hosts."""
    config = _load(config_path)
    hosts = [config.hosts[name] for name in sorted(config.hosts)]
    emit([as_json_value(each) for each in hosts], as_json, lambda: overview(hosts))
    if not (hosts or as_json):
        note("no host is registered: phlows host add registers one")


@host.command(help=SHOW_HELP, short_help="Show every setting of a host.")
@name_argument
@config_option
@json_option("an object, the settings of the host")
def show(name: str, config_path: str | None, as_json: bool) -> None:
    """Show every setting of a host."""
    from phlows_cli.registry import no_such_host

    config = _load(config_path)
    shown = config.hosts.get(normalise_host(name))
    if shown is None:
        raise no_such_host(normalise_host(name), config.hosts, str(config.path or "phlows.toml"))
    emit(as_json_value(shown), as_json, lambda: settings_table(shown))


def _warn_of_mute(added: Host) -> None:
    from phlows_cli.cli.doctor.app_text import beginning, is_mute, mute_words

    # A program that can be run need not be one that can be read.
    if os.access(added.app, os.R_OK) and is_mute(added, beginning(added.app)):
        what, fix = mute_words(added)
        note(f"warning: {visible(what)}; {fix}")


_TABLE_OPTIONS: Final = (
    "auth", "hooks", "hook_class", "token_cookie", "origins", "timeout", "concurrency", "env",
    "runtime", "max_jobs", "spare", "idle_timeout", "watch_app", "tick",
)  # fmt: skip


def _table(
    app: str | None,
    hooks: str | None,
    env: tuple[str, ...],
    **rest: Any,  # noqa: ANN401 - the options
) -> dict[str, object]:
    """Make the host's table of what was chosen, and of nothing else."""
    table: dict[str, object] = {}
    names = None if hooks is None else _hook_names(hooks)
    if app and names == []:
        raise UsageError("--hooks none is a push-only host, which runs no app: leave one out")
    if app:
        table["app"] = app if "://" in app else os.path.abspath(app)  # noqa: PTH100 - resolve() would follow a release's symlink
    elif names != []:
        raise UsageError("a host with hooks needs its app: name the APP, or give --hooks none")
    if names is not None:
        table["hooks"] = names
    for key, value in rest.items():
        if value is not None and value != ():
            table[key] = list(value) if key == "origins" else value
    if env:
        table["env"] = dict(_pair(item) for item in env)
    return table


def _hook_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if names == [""]:
        raise UsageError('--hooks is empty: name some, or give "none" for a push-only host')
    return [] if names == ["none"] else names


def _pair(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise UsageError(f"--env takes NAME=TEXT, not {item!r}")
    return name, value


def _load(config_path: str | None) -> Config:
    from phlows_cli.config import find_config, load_config

    return load_config(find_config(config_path))


def _existing(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise ConfigError("there is no config file: phlows host add makes one", str(path or ""))
    return path
