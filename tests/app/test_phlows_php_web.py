"""phlows.php in a web request: a streamed response, and an app that is not one."""

from __future__ import annotations

import os
import subprocess
import threading
import urllib.request
from contextlib import contextmanager

import pytest

from tests.app.php_app import APP, DEADLINE, SDK, environment, php
from tests.conformance.program import free_port

pytestmark = pytest.mark.php

STREAM = """
    ob_start();
    echo 'thrown away';
    phlows_stream();
    apply(inner: ['#progress' => '1/2']);
    file_get_contents(getenv('FIFO'));
    apply(toast: 'Done');
"""


@contextmanager
def website(page, **env):
    """PHP's own web server with one page; yields its address."""
    port = free_port()
    server = subprocess.Popen(
        [php(), "-d", "output_buffering=4096", "-S", f"127.0.0.1:{port}", page],
        env=environment(**env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(DEADLINE, server.kill)
    watchdog.start()
    while "started" not in (line := server.stderr.readline()):
        assert line, "the web server did not start"
    yield f"http://127.0.0.1:{port}/"
    server.kill()
    watchdog.cancel()
    server.communicate()


def test_a_streamed_response_is_a_line_at_once_for_each_apply(tmp_path):
    page, fifo = tmp_path / "page.php", tmp_path / "fifo"
    page.write_text(f"<?php require '{SDK}'; {STREAM}")
    os.mkfifo(fifo)
    with (
        website(page, FIFO=str(fifo)) as url,
        urllib.request.urlopen(url, timeout=DEADLINE) as answer,
    ):
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.readline() == b'{"inner":{"#progress":"1/2"}}\n'
        fifo.write_text("go on")
        assert answer.read() == b'{"toast":"Done"}\n'


@pytest.mark.parametrize("query", ["", "?ws::auth+h+true+s", "?phlo_serve"])
def test_an_app_does_nothing_in_a_web_request(query):
    with website(APP) as url, urllib.request.urlopen(url + query, timeout=DEADLINE) as answer:
        assert answer.read() == b""
