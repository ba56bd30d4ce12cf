"""Server blocks of nginx for this configuration."""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.deploy.files import Bundle, File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlows_cli.cli.deploy.site import Front, Site

PATH: Final = "/etc/nginx/conf.d/phlows.conf"

HEAD: Final = """\
# {path}
# Made by `phlows proxy nginx`. Put it there, or take from it what your own file lacks, and type:
{commands}
#
# nginx cannot wait for a broker that is restarted: with `phlows service systemd --socket`
# it need not, else clients get 502 for a moment and come back by themselves.
"""

REDIRECT: Final = """\
server {{
{listen}
    server_name {name};
    location /.well-known/acme-challenge/ {{
        root /var/www/html;
    }}
    location / {{
        return 301 https://$host{port}$request_uri;
    }}
}}
"""

SERVER: Final = """\
server {{
{listen}
    server_name {name};
    # wss:// speaks HTTP/1.1; for the rest of the site add `http2` to listen, or from nginx 1.25.1
    # on a line `http2 on;`.
{tls}
    ssl_protocols TLSv1.2 TLSv1.3;

{sockets}
{rest}
}}
"""

SOCKET: Final = """\
location = {path} {{
    proxy_pass {upstream};
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    # Who the visitor is. What the visitor sent under these names is replaced. nginx gives what
    # no block is for to its first one: $server_name lets nobody reach another host through it.
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-Host $server_name;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;
{ssl}    # The broker pings every {ping:g} seconds: a socket is silent for less than this.
    proxy_read_timeout {timeout}s;
    proxy_send_timeout {timeout}s;
    # What comes is passed on at once, and an upgrade has no body.
    proxy_buffering off;
    client_max_body_size 1k;
}}
"""

SCRIPT: Final = """\
location = {path} {{
    proxy_pass {upstream};
{ssl}}}
"""

TLS_UPSTREAM: Final = """\
    proxy_ssl_server_name on;
    proxy_ssl_name {name};
    # Without this nginx takes any certificate of the broker's:
    # proxy_ssl_verify on;
    # proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;
"""

FILES: Final = """\
# The rest is the site.
root {root};
index {index};
# No .git, no .env; no settings, source, keys.
location ~* (?:/\\.(?!well-known/)|\\.(?:{endings})$) {{
    return 404;
}}
{private}"""

HIDDEN: Final = """\
location {path} {{
    return 404;
}}
"""

STATIC: Final = """\
location / {
    try_files $uri $uri/ =404;
}
"""

PHP: Final = """\
{note}location / {{
    try_files $uri $uri/ /{index}$is_args$args;
}}
# What a visitor may upload:
# client_max_body_size 16m;
location ~ \\.php$ {{
    # Files that are there, and nothing behind their names.
    try_files $uri =404;
    include fastcgi_params;
    # The real path: a release that is swapped by a link is seen at once.
    fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;
    fastcgi_param DOCUMENT_ROOT $realpath_root;
    fastcgi_pass {php};
}}
"""

OTHER: Final = """\
# The rest is the app's own site.
location / {{
    proxy_pass {origin};
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;
}}
"""

NOTHING: Final = """\
# The site itself: its folder is not known. As in
#   root /srv/site/public;
location / {
    return 404;
}
"""


def nginx_bundle(front: Front) -> Bundle:
    """Make the server blocks."""
    made = [command for site in front.sites for command in _certificate_commands(site)]
    commands = (*made, "nginx -t", "systemctl reload nginx")
    head = HEAD.format(path=PATH, commands="\n".join(f"#   {command}" for command in commands))
    blocks = [head]
    for site in front.sites:
        blocks += [_redirect(front, site), _server(front, site)]
    remarks = (*front.remarks, *front.php_remarks)
    return Bundle((File(PATH, "\n".join(blocks)),), commands, remarks)


def _redirect(front: Front, site: Site) -> str:
    port = front.options.https_port
    return REDIRECT.format(
        listen=_listen(front, front.options.http_port, ""),
        name=site.address,
        port="" if port == 443 else f":{port}",
    )


def _server(front: Front, site: Site) -> str:
    cert, key = _certificate(site)
    blocks = [_socket(front, site, path) for path in front.paths]
    blocks += [_script(front, site, path) for path in front.scripts]
    note = (
        "# Only these go to the broker: its sockets, and its script for browsers. The bridge\n"
        "# (/message, /health ...) is for this machine, and does not.\n"
    )
    return SERVER.format(
        listen=_listen(front, front.options.https_port, " ssl"),
        name=site.address,
        tls=f"    ssl_certificate {_quoted(cert)};\n    ssl_certificate_key {_quoted(key)};",
        sockets=indent(note + "".join(blocks), "    "),
        rest=indent(_rest(front, site), "    ").rstrip("\n"),
    )


def _listen(front: Front, port: int, kind: str) -> str:
    addresses = front.options.listen or ("", "::")
    ends = [f"[{item}]:{port}" if ":" in item else f"{item}:{port}" for item in addresses]
    return "\n".join(f"    listen {end.removeprefix(':')}{kind};" for end in ends)


def _certificate(site: Site) -> tuple[str, str]:
    if site.certificate:
        return site.certificate
    if site.is_private:
        return f"/etc/ssl/{_file_name(site)}.pem", f"/etc/ssl/private/{_file_name(site)}.key"
    folder = f"/etc/letsencrypt/live/{site.name}"
    return f"{folder}/fullchain.pem", f"{folder}/privkey.pem"


def _file_name(site: Site) -> str:
    return site.name.replace(":", "-")


def _certificate_commands(site: Site) -> list[str]:
    """What brings the certificate where there is none yet."""
    if site.certificate:
        return []
    cert, key = _certificate(site)
    if not site.is_private:
        return [f"certbot certonly --webroot --webroot-path /var/www/html -d {site.name}"]
    kind = "IP" if site.name.replace(".", "").isdecimal() or ":" in site.name else "DNS"
    named = f"-subj /CN={site.name} -addext subjectAltName={kind}:{site.name}"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 365"
    return [f"{made} {named} -keyout {key} -out {cert}"]


def _socket(front: Front, site: Site, path: str) -> str:
    return SOCKET.format(
        path=_quoted(path),
        upstream=_upstream(front),
        ssl=_ssl(front, site),
        ping=front.ping_interval,
        timeout=front.read_timeout,
    )


def _script(front: Front, site: Site, path: str) -> str:
    return SCRIPT.format(path=_quoted(path), upstream=_upstream(front), ssl=_ssl(front, site))


def _ssl(front: Front, site: Site) -> str:
    return TLS_UPSTREAM.format(name=site.name) if front.upstream.is_tls else ""


def _upstream(front: Front) -> str:
    if front.upstream.is_unix:
        return f"http://unix:{front.upstream.address}:"
    return f"{'https' if front.upstream.is_tls else 'http'}://{front.upstream.address}"


def _rest(front: Front, site: Site) -> str:
    if site.origin:
        return OTHER.format(origin=site.origin)
    if not site.root:
        return NOTHING
    files = FILES.format(
        root=_quoted(site.root),
        index=site.index or "index.html",
        endings="|".join(site.private.endings),
        private="".join(_hidden(site)),
    )
    if not site.index:
        return files + STATIC
    note = "".join(f"# {remark}\n" for remark in front.php_remarks)
    return files + PHP.format(note=note, index=site.index, php=front.php)


def _hidden(site: Site) -> Iterator[str]:
    for file in site.private.files:
        yield HIDDEN.format(path=f"= {_quoted(file)}")
    for folder in site.private.folders:
        yield HIDDEN.format(path=f"^~ {_quoted(f'{folder}/')}")


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
