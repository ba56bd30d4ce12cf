"""Caddy and nginx with a file that `phlows proxy` made, and a visitor of theirs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace

from tests.certs import ONE, trusting
from tests.cli.deploy.printed import phlows_output
from tests.conformance.client import RefusedError, WebSocket, upgrade_bytes
from tests.conformance.program import Growing
from tests.conformance.stream import DEADLINE, Stream
from tests.conformance.web import read_answer, request_bytes
from tests.ports import free_port

HOST = "app.test"
VISITOR = "127.0.0.2"
"""Another address of this machine than the web server's, which is 127.0.0.1."""

NGINX = """\
daemon off;
{user}pid {folder}/nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/made.conf;
}}
"""


class WebServer:
    """One web server that runs what was made for a broker's configuration."""

    kind = ""
    up = ""

    def __init__(self, folder, config, *args):
        self.folder = folder
        folder.mkdir()
        self.http, self.https = free_port(), free_port()
        ports = ["--http-port", str(self.http), "--https-port", str(self.https)]
        here = ["--listen", "127.0.0.1", "--tls-cert", str(ONE[0]), "--tls-key", str(ONE[1])]
        command = ["proxy", self.kind, "--config", str(config), "--host", HOST]
        self.text = phlows_output(*command, *ports, *here, *args)
        self.write()
        homes = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        self.environ = {**os.environ, **dict.fromkeys(homes, str(folder))}
        self.process = subprocess.Popen(
            self.command(), env=self.environ, stderr=subprocess.PIPE, text=True
        )
        self.said = Growing()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.says(self.up)
        except BaseException:
            self.stop()
            raise

    def _read(self):
        with self.process.stderr as lines:
            for line in lines:
                self.said.add([line])
        self.said.add(["(the end)"])

    def says(self, text):
        found = self.said.until(
            lambda lines: next((s for s in lines if text in s or s == "(the end)"), None)
        )
        assert text in found, self.said.all()

    def run(self, *command):
        """Run a command of the web server's to its end."""
        done = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, timeout=DEADLINE, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(DEADLINE)

    # A visitor

    def stream(self):
        sock = socket.create_connection(
            ("127.0.0.1", self.https), DEADLINE, source_address=(VISITOR, 0)
        )
        try:
            return Stream(trusting().wrap_socket(sock, server_hostname=HOST))
        except BaseException:
            sock.close()
            raise

    def open(self, *, agent="visitor", path="/websocket", headers=(), host=HOST):
        """Open a socket through the web server."""
        headers = [("User-Agent", agent), *headers]
        stream = self.stream()
        try:
            stream.send(upgrade_bytes(f"{host}:{self.https}", path, headers))
            answer = read_answer(stream)
        except BaseException:
            stream.close()
            raise
        if answer.status != 101:
            stream.close()
            # What a web server says by itself is for people.
            is_brokers = answer.body.startswith(b"{")
            raise RefusedError(answer if is_brokers else replace(answer, body=b"{}"))
        return WebSocket(stream, agent)

    def ask(self, method, path, body=None, headers=()):
        """One request; status and whatever came of the body."""
        stream = self.stream()
        try:
            headers = [("Connection", "close"), *headers]
            stream.send(request_bytes(method, path, body, headers, host=HOST))
            head, _, content = stream.read_to_end().partition(b"\r\n\r\n")
            return int(head.split()[1]), content
        finally:
            stream.close()


class Caddy(WebServer):
    """`caddy run`, with its control in the folder."""

    kind = "caddy"
    up = "serving initial configuration"

    def write(self):
        admin = f"\tadmin unix/{self.folder}/admin\n"
        self.file = self.folder / "Caddyfile"
        self.file.write_text(self.text.replace("\n{\n", "\n{\n" + admin, 1))

    def command(self):
        return [shutil.which("caddy"), "run", "--config", str(self.file)]

    def validate(self):
        return self.run("caddy", "validate", "--config", str(self.file))

    def reload(self):
        address = ["--address", f"unix/{self.folder}/admin"]
        self.run("caddy", "reload", "--force", "--config", str(self.file), *address)


class Nginx(WebServer):
    """nginx in the foreground, all of whose files are in the folder."""

    kind = "nginx"
    up = "start worker process "

    def write(self):
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.folder / "made.conf").write_text(self.text)
        self.file = self.folder / "nginx.conf"
        self.file.write_text(NGINX.format(folder=self.folder, user=user))
        with suppress(FileNotFoundError):
            shutil.copy("/etc/nginx/fastcgi_params", self.folder)

    def command(self):
        place = ["-p", str(self.folder), "-c", str(self.file), "-e", "stderr"]
        return [shutil.which("nginx"), *place]

    def validate(self):
        return self.run(*self.command(), "-t")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self.says("gracefully shutting down")


def accepted(client, token="topsecret"):
    """Authenticate, and wait for the first answer."""
    client.authenticate(token)
    client.send({"do": [["print", json.dumps({"hello": 1})]]})
    assert client.receive_json() == {"hello": 1}
    return client
