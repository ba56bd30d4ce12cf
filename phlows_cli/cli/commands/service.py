"""phlows service: files for what keeps the broker running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.deploy.deployment import Deployment
    from phlows_cli.cli.deploy.files import Bundle

Command = TypeVar("Command", bound="Callable[..., Any]")

HELP = """\
Example: phlows service systemd --socket

Print ready files, with comments, for what starts this broker with the machine
and keeps it running: systemd, supervisor or pm2.
"""

SYSTEMD = """\
Example: phlows service systemd --socket --output /etc/systemd/system

Print a unit for this configuration: the user, the limits, the time to drain,
and hardening that leaves apps working, each line with what it guards. With
--socket systemd holds the socket, and a restart refuses nobody.
"""

SUPERVISOR = """\
Example: phlows service supervisor --output /etc/supervisor/conf.d

Print a program section for this configuration: the user, the time to drain,
and the folder for its state.
"""

PM2 = """\
Example: phlows service pm2 --output /etc/phlows

Print an ecosystem file for this configuration, for machines that run all they
run with pm2.
"""


@click.group(cls=Group, short_help="Print files for systemd, supervisor or pm2.", help=HELP)
def service() -> None:
    """Hold the subcommands."""


def _options(command: Command) -> Command:
    """Add the options that all three have."""
    for option in (
        json_option("an object with files, an array of path and text"),
        config_option,
        click.option("--force", is_flag=True, help="Write over files that exist."),
        click.option(
            "--output",
            metavar="DIR",
            type=click.Path(file_okay=False),
            help="Write the files there, in the place of printing them.",
        ),
        click.option(
            "--program",
            metavar="FILE",
            type=click.Path(),
            help="The phlows that is started.  [default: this one]",
        ),
        click.option(
            "--name", default="phlows", show_default=True, help="What the service is called."
        ),
        click.option(
            "--user", metavar="NAME", help="Who runs it.  [default: the apps' owner, else phlows]"
        ),
    ):
        command = option(command)
    return command


@service.command(short_help="Print units of systemd.", help=SYSTEMD)
@click.option("--socket", "has_socket", is_flag=True, help="Let systemd hold the socket.")
@click.option(
    "--writable",
    metavar="DIR",
    multiple=True,
    type=str,
    help="A folder that apps write to, besides their own. May be repeated.",
)
@_options
def systemd(has_socket: bool, writable: tuple[str, ...], **chosen: Any) -> None:  # noqa: ANN401 - options
    """Print units of systemd."""
    from phlows_cli.cli.deploy.systemd_units import systemd_bundle

    deployment = _deployment(writable, **chosen)
    _deliver(systemd_bundle(deployment, has_socket=has_socket), **chosen)


@service.command(short_help="Print a section for supervisor.", help=SUPERVISOR)
@_options
def supervisor(**chosen: Any) -> None:  # noqa: ANN401 - options
    """Print a section for supervisor."""
    from phlows_cli.cli.deploy.supervisor import supervisor_bundle

    _deliver(supervisor_bundle(_deployment(**chosen)), **chosen)


@service.command(short_help="Print an ecosystem file for pm2.", help=PM2)
@_options
def pm2(**chosen: Any) -> None:  # noqa: ANN401 - options
    """Print an ecosystem file for pm2."""
    from phlows_cli.cli.deploy.pm2 import pm2_bundle

    _deliver(pm2_bundle(_deployment(**chosen)), **chosen)


def _deployment(
    writable: tuple[str, ...] = (),
    *,
    config_path: str | None,
    user: str | None,
    name: str,
    program: str | None,
    **_: object,
) -> Deployment:
    """Gather what the files say, each value fit to be written into one."""
    import os

    from phlows_cli.cli.deploy import deployment as facts
    from phlows_cli.cli.deploy.files import existing_config, plain, word

    config, path = existing_config(config_path)
    # Not resolved: a link to the current release is to stay one.
    command = (os.path.abspath(program),) if program else facts.this_command()  # noqa: PTH100
    found = facts.Deployment(
        config=config,
        path=path,
        name=word(name, "--name"),
        command=command,
        user=word(user or facts.default_user(config), "--user"),
        state_dir=facts.raw_state_dir(config.path or path),
        writable=tuple(os.path.abspath(folder) for folder in writable),  # noqa: PTH100
    )
    for text in (*found.serve, found.state, *found.writable_folders()):
        plain(text, "path")
    return found


def _deliver(
    bundle: Bundle, *, output: str | None, force: bool, as_json: bool, **_: object
) -> None:
    from phlows_cli.cli.deploy.files import deliver, places_in

    deliver(bundle, places_in(output, bundle), as_json=as_json, is_forced=force)
