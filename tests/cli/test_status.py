from __future__ import annotations

import json

import pytest

HEALTH = {
    "status": "ok",
    "version": "0.1.0",
    "uptime": 11520.25,
    "hosts": {
        "app.example.com": {"tokens": 3, "sockets": 12, "perToken": {}},
        "b.example.com": {"tokens": 1, "sockets": 1, "perToken": {}},
    },
    "connections": 15,
    "configured": ["app.example.com", "b.example.com", "c.example.com"],
    "registered": ["app.example.com", "b.example.com"],
    "workers": 2,
    "cap": 8,
    "pools": {"/srv/app.php": {"workers": 2, "busy": 2, "queued": 7}},
    "dropped": {"slow consumer": 3, "receive timeout": 1},
}


@pytest.fixture
def status(phlows, recorder):
    def run(*args, health=HEALTH):
        recorder.answers["/health"] = (200, health)
        return phlows("status", "--url", recorder.url, *args)

    return run


def test_status_shows_hosts_sockets_hooks_queues_and_what_was_dropped(status, recorder):
    result = status()
    assert result.exit_code == 0
    assert (
        result.stdout
        == f"""\
phlows 0.1.0 at {recorder.url}, up 3 h 12 min
13 authenticated sockets, 15 sockets in all, 2 of 8 hooks running

HOST             SOCKETS  TOKENS
app.example.com       12       3
b.example.com          1       1
c.example.com          0       0

APP           WORKERS  BUSY  QUEUED
/srv/app.php        2     2       7

DROPPED          COUNT
receive timeout      1
slow consumer        3
"""
    )


def test_status_with_json_is_the_brokers_object(status):
    assert json.loads(status("--json").stdout) == HEALTH


def test_a_broker_without_hosts_says_how_to_add_one(status):
    text = status(health={"status": "ok"}).stdout
    assert "no hosts: `phlows host add`" in text
    assert "0 authenticated sockets, 0 of 0 hooks running" in text
    assert "APP" not in text
    assert "DROPPED" not in text


def test_what_a_broker_says_does_not_steer_the_terminal(status):
    health = {**HEALTH, "version": "\x1b[2J", "configured": ["a\x07b"], "hosts": {}}
    text = status(health=health).stdout
    assert "\x1b" not in text
    assert "\\x1b[2J" in text
    assert "a\\x07b" in text


def test_no_broker_is_exit_code_3(phlows, tmp_path):
    result = phlows("status", "--url", f"unix:{tmp_path}/none")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "`phlows serve`" in result.stderr


def test_no_broker_with_json_is_an_object_on_stderr(phlows, tmp_path):
    result = phlows("status", "--json", "--url", f"unix:{tmp_path}/none")
    assert (result.exit_code, result.stdout) == (3, "")
    assert json.loads(result.stderr)["status"] == "error"
