"""Options that several commands share, each written once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import click

from phlows_cli.cli.completing import hosts as registered_hosts

__all__ = [
    "Amount",
    "config_option",
    "host_option",
    "json_option",
    "registered_hosts",
    "repeat_option",
    "sole_host",
    "url_option",
]

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.config import Config


Command = TypeVar("Command", bound="Callable[..., Any]")


class Amount(click.FloatRange):
    """A number in a range; "nan" is none, which click's own lets pass, and so is "inf"."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raise BadParameter for what is not a finite number in the range."""
        converted = float(super().convert(value, param, ctx))
        if not math.isfinite(converted):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return converted


def sole_host(config: Config, how: str = "with --host") -> str:
    """Return the host that is meant when none is named.

    Raises:
        UsageError: there is none, or more than one.
    """
    from phlows_cli.errors import UsageError

    if len(config.hosts) == 1:
        return next(iter(config.hosts))
    where = config.path or "any phlows.toml"
    if not config.hosts:
        raise UsageError(f"no host is registered in {where}: name one {how}")
    names = ", ".join(sorted(config.hosts)[:5]) + (", ..." if len(config.hosts) > 5 else "")
    raise UsageError(f"{len(config.hosts)} hosts are registered ({names}): name one {how}")


config_option = click.option(
    "--config",
    "-c",
    "config_path",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    envvar="PHLOWS_CONFIG",
    show_envvar=True,
    help="The configuration file. Without it: ./phlows.toml, then the user's, then the system's.",
)


def json_option(shape: str) -> Callable[[Command], Command]:
    """Make the option that asks for JSON; its help says what that looks like."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print JSON, not text: {shape}.")


repeat_option = click.option(
    "--repeat",
    metavar="COUNT",
    type=click.IntRange(1, 1_000_000),
    help="Call it so often, one after the other, and show the percentiles.",
)

url_option = click.option(
    "--url",
    metavar="URL",
    envvar="PHLOWS_URL",
    show_envvar=True,
    help="The broker's address: http://127.0.0.1:3001, its port alone, or"
    " unix:/run/phlows.sock. Without it: where the configuration says it listens."
    " Its key is PHLOWS_KEY, or that of the key file.",
)

host_option = click.option(
    "--host",
    metavar="NAME",
    envvar="PHLOWS_HOST",
    show_envvar=True,
    shell_complete=registered_hosts,
    help="The host. It may be left out when only one is registered.",
)
