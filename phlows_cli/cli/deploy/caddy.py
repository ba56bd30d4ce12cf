"""A Caddyfile for this configuration, for Caddy itself or for FrankenPHP."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.files import Bundle, File

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.cli.deploy.site import Front, Site

PATH: Final = "/etc/caddy/Caddyfile"
FRANKEN_PATH: Final = "/etc/frankenphp/Caddyfile"

HEAD: Final = """\
# {path}
# Made by `phlows proxy {kind}`. Put it there, or take from it what your own file lacks, and type:
{commands}
"""

SOCKETS: Final = """\
# Only these go to the broker: its sockets, and its script for browsers. The bridge
# (/message, /health ...) is for this machine, and does not.
@phlows path {paths}
handle @phlows {{
	# An upgrade has no body.
	request_body {{
		max_size 1KB
	}}
	# The upgrade is passed on, and X-Forwarded-Host, -Proto and -For say who the visitor
	# is: what the visitor sent under these names is replaced. A socket may be silent for as
	# long as it likes; the broker pings it every {ping:g} seconds.
	reverse_proxy {upstream} {{
{transport}		# What comes is passed on at once.
		flush_interval -1
		# While the broker is restarted, who connects waits so long.
		lb_try_duration 10s
		lb_try_interval 250ms
		# A reload of this file closes the sockets, and their clients come back. From
		# Caddy 2.7 on this closes them later, when most have gone by themselves:
		# stream_close_delay 5m
	}}
}}
"""

TLS_UPSTREAM: Final = """\
		transport http {{
			tls
			tls_server_name {name}
		}}
"""

HIDDEN: Final = """\
# No .git, no .env; no settings, source, keys.
@hidden {{
	path */.* {names}
	not path /.well-known/*
}}
respond @hidden 404
"""


def caddy_bundle(front: Front, *, is_franken: bool = False) -> Bundle:
    """Make the Caddyfile."""
    path = FRANKEN_PATH if is_franken else PATH
    kind = "frankenphp" if is_franken else "caddy"
    commands = (f"{kind} validate --config {path}", f"{kind} reload --config {path}")
    if not is_franken:
        commands = (commands[0], "systemctl reload caddy")
    head = HEAD.format(
        path=path, kind=kind, commands="\n".join(f"#   {command}" for command in commands)
    )
    # As `caddy fmt` has it: no blank line before the block of global options.
    blocks = [head + _global(front, is_franken=is_franken)]
    blocks += [_site(front, site, is_franken=is_franken) for site in front.sites]
    remarks = front.remarks if is_franken else (*front.remarks, *front.php_remarks)
    return Bundle((File(path, "\n".join(blocks)),), commands, remarks)


def _global(front: Front, *, is_franken: bool) -> str:
    options = front.options
    lines = ["# PHP runs inside of this web server.", "frankenphp"] if is_franken else []
    lines += [f"http_port {options.http_port}"] if options.http_port != 80 else []
    lines += [f"https_port {options.https_port}"] if options.https_port != 443 else []
    return _block("", lines) if lines else ""


def _site(front: Front, site: Site, *, is_franken: bool) -> str:
    lines = [f"bind {' '.join(front.options.listen)}"] if front.options.listen else []
    lines += _tls(site)
    upstream = front.upstream
    address = f"unix/{upstream.address}" if upstream.is_unix else upstream.address
    sockets = SOCKETS.format(
        paths=" ".join([*front.paths, *front.scripts]),
        upstream=address,
        transport=TLS_UPSTREAM.format(name=site.name) if upstream.is_tls else "",
        ping=front.ping_interval,
    )
    rest = _block("handle", _rest(front, site, is_franken=is_franken))
    return _block(site.address, [*lines, "", *sockets.splitlines(), "", *rest.splitlines()])


def _tls(site: Site) -> list[str]:
    if site.certificate:
        cert, key = map(_quoted, site.certificate)
        return [f"tls {cert} {key}"]
    if site.is_private:
        return [
            "# Nobody gives out a certificate for such a name: Caddy makes its own, which",
            "# browsers accept after `caddy trust`.",
            "tls internal",
        ]
    return ["# The certificate comes by itself, once the name leads to this machine."]


def _rest(front: Front, site: Site, *, is_franken: bool) -> list[str]:
    """What answers everything that is not the broker's."""
    if site.origin:
        return ["# The rest is the app's own site.", f"reverse_proxy {site.origin}"]
    if not site.root:
        return [
            "# The site itself: its folder is not known. As in",
            "#   root * /srv/site/public",
            "#   file_server",
            "respond 404",
        ]
    lines = ["# The rest is the site.", f"root * {_quoted(site.root)}", *_hidden(site)]
    lines += ["encode gzip"]
    if not site.index:
        return [*lines, "file_server"]
    return [*lines, *_php(front, site, is_franken=is_franken)]


def _hidden(site: Site) -> list[str]:
    private = site.private
    names = [f"*.{ending}" for ending in private.endings]
    names += [_quoted(file) for file in private.files]
    names += [_quoted(f"{folder}/*") for folder in private.folders]
    return HIDDEN.format(names=" ".join(names)).splitlines()


def _php(front: Front, site: Site, *, is_franken: bool) -> list[str]:
    if is_franken:
        index = site.index
        inner = [f"try_files {{path}} {{path}}/{index} {index}"] if index != "index.php" else []
        return _block("php_server", inner).splitlines() if inner else ["php_server"]
    socket = front.php.removeprefix("unix:")
    address = f"unix/{socket}" if front.php.startswith("unix:") else front.php
    return [
        *(f"# {remark}" for remark in front.php_remarks),
        *_block(f"php_fastcgi {address}", [f"index {site.index}"]).splitlines(),
        "file_server",
    ]


def _block(head: str, lines: Sequence[str]) -> str:
    inner = indent("\n".join(lines), "\t")
    return f"{head} {{\n{inner}\n}}\n".lstrip(" ")


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
