"""GET /workers and POST /workers/reload."""

from __future__ import annotations

import pytest

from phlows_cli.errors import UnknownHostError
from phlows_cli.runtime.worker import WorkerReport
from tests.builders import HOST, KEY, Answer
from tests.builders import BridgeScene as Scene

BEARER = {"authorization": f"Bearer {KEY}"}
NO_BODY = {**BEARER, "content-length": "0"}


async def test_workers_are_told_host_by_host_in_the_order_of_the_runtime():
    scene = Scene()
    reports = [WorkerReport(7, "busy", 3, 60.5, 1024), WorkerReport(8, "idle", 0, 1.25, None)]
    scene.stage.runtime.workers = lambda: reports
    answer = scene.ask("/workers", headers=BEARER)
    assert answer.json == {
        "status": "ok",
        "workers": [
            {"host": HOST, "pid": 7, "state": "busy", "jobs": 3, "age": 60.5, "memory": 1024},
            {"host": HOST, "pid": 8, "state": "idle", "jobs": 0, "age": 1.25, "memory": None},
        ],
    }


async def test_no_workers_is_an_empty_list():
    assert Scene().ask("/workers", headers=BEARER).json["workers"] == []


@pytest.mark.parametrize(
    ("body", "asked"),
    [(b"", ""), (b"{}", ""), (b'{"host":"APP.test:80"}', HOST), (b'{"host":"gone"}', "gone")],
)
async def test_a_reload_is_asked_of_the_process(body, asked):
    scene = Scene()
    headers = BEARER if body else NO_BODY
    later = scene.ask("/workers/reload", "POST", body, headers)
    answer = Answer(await later.work)
    assert answer.json == {"status": "ok", "replaced": {}, "failed": {}}
    assert scene.bridge._control.asked == [f"renew {asked}"]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (UnknownHostError("gone"), 400, "unknown host 'gone'"),
        (ValueError("a secret"), 500, "internal error, see the log"),
    ],
)
async def test_a_reload_that_fails_later_is_an_answer_too(
    error, status, message, monkeypatch, caplog
):
    scene = Scene()

    async def fail(_host):
        raise error

    monkeypatch.setattr(scene.bridge._control, "renew", fail)
    answer = Answer(await scene.ask("/workers/reload", "POST", headers=NO_BODY).work)
    assert answer.status == status
    assert message in answer.message
    logged = [record.message for record in caplog.get_records("call")]
    assert logged == (["a bridge request failed"] if status == 500 else [])
    caplog.clear()


@pytest.mark.parametrize("body", [b"[]", b'{"hosts":"a"}', b'{"host":5}', b"{", b"\xff"])
async def test_a_body_that_is_something_else_is_400(body):
    scene = Scene()
    assert scene.ask("/workers/reload", "POST", body, BEARER).status == 400
    assert scene.bridge._control.asked == []
