from __future__ import annotations

import json

import pytest

from phlows_cli.cli.commands.reload import render

CHANGES = {
    "status": "ok",
    "added": ["a.test", "b.test"],
    "removed": ["c.test"],
    "changed": ["d.test"],
    "settings": ["limits.queue"],
    "needs_restart": ["server.port"],
}


@pytest.fixture
def asked(phlows, recorder):
    """Runs `phlows reload` against the recorder, which answers as told."""

    def run(status, answer, *args):
        recorder.answers["/reload"] = (status, answer)
        return phlows("reload", "--url", recorder.url, *args)

    return run


def test_what_was_changed_is_told_a_line_a_kind(asked, recorder):
    done = asked(200, CHANGES)
    assert (done.exit_code, recorder.last.method) == (0, "POST")
    assert done.stdout.splitlines() == [
        "added a.test, b.test",
        "removed c.test",
        "changed d.test",
        "changed limits.queue",
        "needs a restart: server.port",
    ]


def test_a_reload_that_changes_nothing_says_so():
    assert render({"status": "ok", "added": []}) == "nothing has changed"


def test_as_json_it_is_the_brokers_answer(asked):
    assert json.loads(asked(200, CHANGES, "--json").stdout) == CHANGES


@pytest.mark.parametrize(("status", "code"), [(400, 4), (401, 4), (403, 4), (503, 1)])
def test_the_exit_code_says_that_nothing_was_changed(asked, program, recorder, status, code):
    recorder.answers["/reload"] = (status, {"status": "error", "message": "not like this"})
    done = program("reload", "--url", recorder.url)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: not like this")
