"""phlows proxy: files for the web server in front of the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from phlows_cli.cli.lazy import Group
from phlows_cli.cli.options import config_option, json_option, registered_hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.deploy.files import Bundle
    from phlows_cli.cli.deploy.site import Front

Command = TypeVar("Command", bound="Callable[..., Any]")

HELP = """\
Example: phlows proxy caddy

Print a ready file, with comments, for the web server in front of this broker:
each host with its certificate, its sockets passed on, its site beside them.
"""

CADDY = """\
Example: phlows proxy caddy --output /etc/caddy/Caddyfile

Print a Caddyfile for this configuration. Certificates come by themselves, and
while the broker is restarted those who connect wait for it.
"""

NGINX = """\
Example: phlows proxy nginx --host app.example.com

Print server blocks of nginx for this configuration, with the commands that
bring the certificates.
"""

FRANKENPHP = """\
Example: phlows proxy frankenphp --output /etc/frankenphp/Caddyfile

Print a Caddyfile for FrankenPHP, which runs the site's PHP itself.
"""


@click.group(
    cls=Group, short_help="Print a web server's file: Caddy, nginx, FrankenPHP.", help=HELP
)
def proxy() -> None:
    """Hold the subcommands."""


def _options(command: Command) -> Command:
    """Add the options that all three have."""
    for option in (
        json_option("an object with files, an array of path and text"),
        config_option,
        click.option("--force", is_flag=True, help="Write over a file that exists."),
        click.option(
            "--output",
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Write the file there, in the place of printing it.",
        ),
        click.option(
            "--https-port", type=click.IntRange(1, 65535), default=443, show_default=True,
            help="The port of https:// and wss://.",
        ),
        click.option(
            "--http-port", type=click.IntRange(1, 65535), default=80, show_default=True,
            help="The port that leads to https://.",
        ),
        click.option(
            "--listen", metavar="ADDRESS", multiple=True, type=str,
            help="Where the web server listens.  [default: everywhere]",
        ),
        click.option("--tls-key", metavar="FILE", help="The PEM key of --tls-cert."),
        click.option(
            "--tls-cert", metavar="FILE",
            help="A PEM chain for all hosts.  [default: server.tls_cert, else by itself]",
        ),
        click.option(
            "--root", metavar="DIR",
            help="The folder of the site's files.  [default: the app's, where it is www or public]",
        ),
        click.option(
            "--upstream", metavar="ADDRESS",
            help="Where the broker is: host:port, https://host:port, unix:/path."
            "  [default: the first of server.listen]",
        ),
        click.option(
            "--host", "hosts", metavar="NAME", multiple=True, type=str,
            shell_complete=registered_hosts, help="Only this host. May be repeated.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


php_option = click.option(
    "--php",
    metavar="ADDRESS",
    help="Where php-fpm listens: unix:/path or host:port.  [default: what is in /run/php]",
)


@proxy.command(short_help="Print a Caddyfile.", help=CADDY)
@php_option
@_options
def caddy(**chosen: Any) -> None:  # noqa: ANN401 - the options
    """Print a Caddyfile."""
    from phlows_cli.cli.deploy.caddy import caddy_bundle

    _deliver(caddy_bundle(_front(**chosen)), **chosen)


@proxy.command(short_help="Print server blocks of nginx.", help=NGINX)
@php_option
@_options
def nginx(**chosen: Any) -> None:  # noqa: ANN401 - the options
    """Print server blocks of nginx."""
    from phlows_cli.cli.deploy.nginx import nginx_bundle

    _deliver(nginx_bundle(_front(**chosen)), **chosen)


@proxy.command(short_help="Print a Caddyfile for FrankenPHP.", help=FRANKENPHP)
@_options
def frankenphp(**chosen: Any) -> None:  # noqa: ANN401 - the options
    """Print a Caddyfile for FrankenPHP."""
    from phlows_cli.cli.deploy.caddy import caddy_bundle

    _deliver(caddy_bundle(_front(**chosen), is_franken=True), **chosen)


def _front(
    *,
    config_path: str | None,
    hosts: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    **chosen: Any,  # noqa: ANN401 - the options
) -> Front:
    """Gather what the files are made of."""
    import os

    from phlows_cli.cli.deploy.files import existing_config, plain
    from phlows_cli.cli.deploy.site import Options, front
    from phlows_cli.errors import UsageError

    config, _ = existing_config(config_path)
    if bool(tls_cert) != bool(tls_key):
        raise UsageError("--tls-cert and --tls-key belong together: give both")
    # Not resolved: a link to the current certificate is to stay one.
    certificate, key = (
        os.path.abspath(file) if file else ""  # noqa: PTH100
        for file in (tls_cert, tls_key)
    )
    options = Options(
        upstream=chosen["upstream"] or "",
        php=chosen.get("php") or "",
        root=chosen["root"] or "",
        certificate=certificate,
        key=key,
        listen=tuple(plain(address, "--listen") for address in chosen["listen"]),
        http_port=chosen["http_port"],
        https_port=chosen["https_port"],
    )
    return front(config, hosts, options)


def _deliver(
    bundle: Bundle,
    *,
    output: str | None,
    force: bool,
    as_json: bool,
    **_: object,
) -> None:
    from pathlib import Path

    from phlows_cli.cli.deploy.files import deliver

    places = {bundle.files[0].name: Path(output)} if output else {}
    deliver(bundle, places, as_json=as_json, is_forced=force)
