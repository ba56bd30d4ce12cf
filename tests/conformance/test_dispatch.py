"""POST /dispatch as apps and others call it, and a Phlo engine from inside a hook."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.conformance.program import APPS, Program
from tests.conformance.stream import dial
from tests.conformance.test_phlo_chat import RUNTIMES, WWW
from tests.conformance.web import read_head, request_bytes

ENGINE, KEYED = "engine.example.com", "keyed.example.com"
SHORT, NARROW, FILED = "short.example.com", "narrow.example.com", "filed.example.com"
OPEN = {"app": "python", "hook_class": "websocket"}
QUEUE = 2


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dispatch")
    release = folder / "release"
    release.mkdir()
    shutil.copy(APPS / "yes.sh", release / "app.sh")
    (folder / "current").symlink_to("release")
    program = Program(
        folder / "broker",
        {
            ENGINE: OPEN,
            KEYED: {"app": "python"},
            SHORT: {**OPEN, "timeout": 0.5},
            NARROW: {**OPEN, "concurrency": 1},
            FILED: {"app": str(folder / "current" / "app.sh"), "hook_class": "websocket"},
        },
        limits={"queue": QUEUE},
    )
    program.apps = folder
    yield program
    program.stop()


def call_of(host, *steps, name="act", **more):
    """The body of a call that makes the actor do these steps."""
    message = json.dumps({"do": steps})
    return {
        "host": host,
        "target": f"tasks::{name}",
        "args": ["", "", name, message],
        **more,
    }


def dispatch(program, body, *, key=False, **how):
    if key:
        return program.ask_with_key("POST", "/dispatch", body)
    return program.ask("POST", "/dispatch", body, **how)


def begun(program, body):
    """A connection on which a call was asked for, and its answer is yet to be read."""
    stream = dial(program.address)
    stream.send(request_bytes("POST", "/dispatch", body))
    return stream


def frames(stream):
    """The frames of a streamed call, as they come, up to the end of the stream."""
    while size := int(stream.read_until(b"\r\n"), 16):
        yield json.loads(stream.read(size))
        stream.read(2)
    stream.read(2)
    assert stream.at_end()


def test_the_answer_is_the_last_json_that_the_app_prints(program):
    stage = program.stages[ENGINE]
    body = call_of(ENGINE, ["print", "words"], ["print", '{"sum":7}'], name="sum", build=False)
    answer = dispatch(program, body)
    assert (answer.status, answer.json) == (200, {"status": "ok", "result": {"sum": 7}})
    call = stage.call("sum")
    assert call.argv == ["tasks::sum", *body["args"]]
    told = program.events.first(type="hook", hook="call", target="tasks::sum")
    assert (told["host"], told["socket"], told["outcome"]) == (ENGINE, "", "accepted")


def test_an_async_call_is_answered_at_once_and_run(program, gate):
    stage = program.stages[ENGINE]
    answer = dispatch(
        program, call_of(ENGINE, ["gate", gate.port], name="later", **{"async": True})
    )
    assert (answer.status, answer.json) == (202, {"status": "ok", "queued": True})
    gate.arrival().let_on()
    stage.until(lambda: [end for end in stage.records("end") if end["hook"] == "later"])


def test_a_stream_has_a_line_before_the_call_is_done(program, gate):
    assert program.stages[ENGINE]
    steps = [["print", "one"], ["gate", gate.port], ["print", "[2]"]]
    stream = begun(program, call_of(ENGINE, *steps, stream=True))
    status, headers = read_head(stream)
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    told = frames(stream)
    assert next(told) == {"t": "line", "data": "one"}
    gate.arrival().let_on()
    assert list(told) == [{"t": "line", "data": "[2]"}, {"t": "done", "result": [2]}]
    stream.close()


def test_a_failing_call_is_400_and_a_stream_of_it_ends_with_the_error(program):
    assert program.stages[ENGINE]
    answer = dispatch(program, call_of(ENGINE, ["exit", 3]))
    assert (answer.status, answer.json) == (400, {"status": "error", "message": "exit code 3"})
    stream = begun(program, call_of(ENGINE, ["exit", 3], stream=True))
    assert read_head(stream)[0] == 200
    assert list(frames(stream)) == [{"t": "error", "message": "exit code 3"}]
    stream.close()


def test_a_call_that_takes_too_long_is_ended_and_names_the_setting(program, gate):
    assert program.stages[SHORT]
    answer = dispatch(program, call_of(SHORT, ["gate", gate.port]))
    assert answer.status == 400
    assert f'hosts."{SHORT}".timeout' in answer.json["message"]


def test_a_full_queue_is_503_and_what_was_taken_is_run(program, gate):
    stage = program.stages[NARROW]
    queued = {"async": True}
    assert dispatch(program, call_of(NARROW, ["gate", gate.port], **queued)).status == 202
    visitor = gate.arrival()
    for _ in range(QUEUE):
        assert dispatch(program, call_of(NARROW, **queued)).status == 202
    for kind in ({}, queued, {"stream": True}):
        answer = dispatch(program, call_of(NARROW, **kind))
        assert (answer.status, "limits.queue" in answer.json["message"]) == (503, True)
    assert dispatch(program, call_of(ENGINE, ["print", "1"])).status == 200, "the neighbour"
    visitor.let_on()
    stage.until(lambda: len(stage.records("end")) == 1 + QUEUE)
    assert dispatch(program, call_of(NARROW, ["print", "1"])).json["result"] == 1


@pytest.mark.parametrize("how", [{}, {"stream": True}], ids=["whole", "stream"])
def test_a_call_goes_on_when_its_caller_has_left(program, gate, how):
    stage = program.stages[ENGINE]
    name = f"left{len(how)}"
    caller = begun(program, call_of(ENGINE, ["gate", gate.port], ["print", "x"], name=name, **how))
    visitor = gate.arrival()
    caller.reset()
    visitor.let_on()
    stage.until(lambda: [end for end in stage.records("end") if end["hook"] == name])
    told = program.events.first(type="hook", target=f"tasks::{name}")
    assert told["outcome"] == "accepted"
    assert dispatch(program, call_of(ENGINE, ["print", "1"])).status == 200


@pytest.mark.parametrize("path", ["current/app.sh", "release/app.sh", "release/../current/app.sh"])
def test_an_app_is_found_by_its_file_whatever_links_lead_to_it(program, path):
    answer = dispatch(program, {"app": str(program.apps / path), "target": "a::b"})
    assert (answer.status, answer.json) == (200, {"status": "ok", "result": True})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"app": "/srv/none.php", "target": "a::b"}, "not the file of a registered host"),
        ({"host": "none.example.com", "target": "a::b"}, "unknown host 'none.example.com'"),
        ({"target": "a::b"}, "dispatch needs"),
        ({"host": ENGINE}, "target"),
    ],
)
def test_what_is_not_registered_is_400(program, body, message):
    answer = dispatch(program, body)
    assert answer.status == 400
    assert message in answer.json["message"]


def test_only_phlo_engines_call_without_the_key(program):
    stage = program.stages[KEYED]
    refused = dispatch(program, call_of(KEYED, ["print", "1"], name="refused"))
    assert refused.status == 401
    assert dispatch(program, call_of(KEYED, ["print", "1"]), key=True).json["result"] == 1
    assert [call.hook for call in stage.started()] == ["act"]
    stage = program.stages[ENGINE]
    proxied = [("X-Forwarded-For", "192.0.2.1")]
    body = call_of(ENGINE, ["print", "1"], name="proxied")
    assert dispatch(program, body, headers=proxied).status == 401
    assert "proxied" not in [call.hook for call in stage.started()]


# A Phlo engine


PHLO = "phlo.example.com"
YES = "%5B%5B%22return%22%2Ctrue%5D%5D"


@pytest.fixture(params=RUNTIMES)
def phlo(request, start, join):
    """A broker with the stand-in for a Phlo engine, and a client whose hooks do as it says."""

    def begin(**more):
        how = {"hook_class": "websocket", "auth": "upgrade", "runtime": request.param}
        program = start({PHLO: {"app": str(WWW / "app.php"), **how, **more}})
        return program, join(program.stages[PHLO], YES, to=program)[0]

    return begin


@pytest.mark.php
def test_a_hook_dispatches_to_another_worker_of_its_app(phlo):
    _, client = phlo(concurrency=2)
    client.send({"do": [["dispatch", ["tasks::sum", [3, 4]]]]})
    assert client.receive_json()["dispatched"]["sum"] == 7
    streamed = [["print", '{"line":1}'], ["return", 5]]
    client.send({"do": [["dispatch", ["tasks::run", [streamed], True]]]})
    assert client.receive_json() == {"line": 1}
    assert client.receive_json() == {"dispatched": 5}
    client.send({"do": [["dispatch", ["tasks::sum", [1], False, True]]]})
    assert client.receive_json() == {"dispatched": None}


@pytest.mark.php
def test_a_dispatch_that_waits_for_its_own_worker_ends_by_the_timeout(phlo):
    program, client = phlo(concurrency=1, timeout=1.0)
    client.send({"do": [["dispatch", ["tasks::sum", [3, 4]]]]})
    assert list(client.receive_json()) == ["error"]
    client.send({"do": [["print", '{"still":"there"}']]})
    assert client.receive_json() == {"still": "there"}
    assert program.cast(PHLO, {"n": 1})["sent"] == 1
    assert client.receive_json() == {"n": 1}
    assert program.health()["dropped"]["receive timeout"] == 1


@pytest.mark.php
def test_a_call_that_fails_says_what_the_app_said(phlo):
    program, _ = phlo()
    answer = dispatch(program, {"host": PHLO, "target": "tasks::none", "args": []})
    assert answer.status == 400
    assert answer.json["message"] in ("there is no tasks::none", "exit code 1")
