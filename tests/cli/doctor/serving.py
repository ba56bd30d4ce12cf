"""What stands before a broker: nginx, or a server that speaks TLS."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that does not trust us


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def https(certificate):
    """An HTTPS server that answers nothing in particular; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = _Quiet(("127.0.0.1", 0), _Empty)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(folder, text, environ, server=""):
    """`phlows serve` with this configuration: its port, and where the file is."""
    path = folder / "phlows.toml"
    state = folder / "state"
    path.write_text(f'[server]\nport = 0\nstate_dir = "{state}"\n{server}\n{text}\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "phlows_cli", "serve", "--config", str(path), "--json"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        (url,) = json.loads(process.stderr.readline())["addresses"]
        yield int(url.rpartition(":")[2]), path
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=30)
        assert "Traceback" not in rest


WITH_UPGRADE = """
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection "upgrade";
"""
FORWARDED = """
proxy_set_header X-Forwarded-Host $host;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-For $remote_addr;
"""


@contextmanager
def nginx(folder, upstream, certificate, **locations):
    """nginx with a server a location, each over TLS: their ports, in order."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in locations]
    ports = [listener.getsockname()[1] for listener in listeners]
    config = folder / "nginx.conf"
    config.write_text(_nginx_config(folder, upstream, certificate, ports, locations))
    # It takes listening sockets over, as for an upgrade of itself: nobody waits for it.
    inherited = "".join(f"{listener.fileno()};" for listener in listeners)
    process = subprocess.Popen(
        [shutil.which("nginx"), "-c", str(config), "-e", str(folder / "error.log")],
        env={**os.environ, "NGINX": inherited},
        pass_fds=[listener.fileno() for listener in listeners],
        stderr=subprocess.DEVNULL,
    )
    for listener in listeners:
        listener.close()
    try:
        yield ports
    finally:
        process.terminate()
        process.wait(30)


def _nginx_config(folder, upstream, certificate, ports, locations):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    servers = "".join(
        f"server {{ listen 127.0.0.1:{port} ssl; {location.replace('UPSTREAM', upstream)} }}\n"
        for port, location in zip(ports, locations.values(), strict=True)
    )
    return f"""
daemon off;
pid {folder}/nginx.pid;
events {{}}
http {{
access_log off;
ssl_certificate {certificate[0]};
ssl_certificate_key {certificate[1]};
{folders}{servers}}}
"""
