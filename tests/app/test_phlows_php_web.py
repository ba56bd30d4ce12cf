"""phlows.php in a web request: a streamed response, and an app that is not one."""

from __future__ import annotations

import os
import urllib.request

import pytest

from tests.app.php_app import APP, DEADLINE, SDK, website

pytestmark = pytest.mark.php

STREAM = """
    ob_start();
    echo 'thrown away';
    phlows_stream();
    apply(inner: ['#progress' => '1/2']);
    file_get_contents(getenv('FIFO'));
    apply(toast: 'Done');
"""


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
