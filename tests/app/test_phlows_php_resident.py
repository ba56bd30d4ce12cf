"""phlows.php for many events: lines of JSON in, lines of JSON out."""

from __future__ import annotations

import json
import os

import pytest

from tests.app.php_app import CONTEXT, SDK, Worker

pytestmark = pytest.mark.php

NOTHING = {"t": "done", "result": None}


@pytest.fixture
def worker():
    with Worker() as worker:
        yield worker


@pytest.fixture
def boot(tmp_path):
    """Start an app that has this source after the file it requires."""

    def started(source, before=""):
        path = tmp_path / "app.php"
        path.write_text(f"{before}<?php\nrequire '{SDK}';\n{source}\n")
        return Worker(path, is_ready=False)

    return started


def verdict(worker, hook, token):
    return worker.ask(f"ws::{hook}", CONTEXT[0], token, CONTEXT[2])


@pytest.mark.parametrize(
    ("token", "connect", "auth"),
    [("true", True, True), ("false", False, False), ("null", True, False), ("one", True, False)],
)
def test_connect_and_auth_result_in_true_or_false(worker, token, connect, auth):
    assert verdict(worker, "connect", token) == ([], {"t": "done", "result": connect})
    assert verdict(worker, "auth", token) == ([], {"t": "done", "result": auth})


def test_receive_and_close_result_in_null_whatever_they_return(worker):
    assert worker.receive(a=1) == (
        [json.dumps([CONTEXT, {"do": "data", "a": 1}], separators=(",", ":"))],
        NOTHING,
    )
    assert worker.ask("ws::close", *CONTEXT) == (['{"closed":"0123456789abcdef"}'], NOTHING)


def test_a_frame_has_its_keys_in_the_order_of_the_protocol(worker):
    worker.send("ws::connect", CONTEXT[0], "loud true", CONTEXT[2])
    assert worker.line() == b'{"id":"a1","t":"line","data":"good morning"}'
    assert worker.line() == b'{"id":"a1","t":"done","result":true}'
    worker.send("ws::auth", CONTEXT[0], "throw", CONTEXT[2])
    assert worker.line() == b'{"id":"a2","t":"error","message":"DomainException"}'


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (["a", "b", "\n", "c"], ["ab", "c"]),
        (["a\nb\n", "\n"], ["a", "b", ""]),
        (["", "a\r\n"], ["a\r"]),
        (["x" * 300_000, "y\n"], ["x" * 300_000 + "y"]),
        (["\u2028 / ✓ \0"], ["\u2028 / ✓ \0"]),
        ([], []),
    ],
)
def test_each_printed_line_is_a_frame(worker, texts, lines):
    assert worker.receive("print", texts=texts) == (lines, NOTHING)


def test_a_line_leaves_when_it_is_printed(worker, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    worker.send("ws::receive", *CONTEXT, json.dumps({"do": "wait", "fifo": str(fifo)}))
    assert worker.frame()["data"] == "before"
    fifo.write_text("go on")
    assert worker.frame()["data"] == "after"


def test_what_nobody_wants_is_dropped(worker):
    assert worker.receive("print", stream=False, texts=["a\nb"]) == ([], NOTHING)
    assert worker.receive("print", texts=["c"]) == (["c"], NOTHING)


def test_text_that_is_not_utf8_is_substituted(worker):
    assert worker.receive("bytes") == (['{"a":"\ufffd\ufffd"}', "", '"\ufffd'], NOTHING)
    assert worker.ask("tasks::broken_text") == ([], {"t": "done", "result": "a\ufffdb"})


def test_buffers_that_the_hook_left_open_are_passed_on(worker):
    assert worker.receive("nested") == (["one two THREE"], NOTHING)
    assert worker.look()["buffers"] == 1


def test_a_hook_that_ends_every_buffer_loses_its_output_and_is_told(worker):
    assert worker.receive("unbuffered") == (["seen"], NOTHING)
    assert worker.receive("print", texts=["a"]) == (["a"], NOTHING)
    assert worker.end() == 0
    assert worker.stderr.count("the hook ended every output buffer") == 1


def test_an_exception_is_an_error_without_its_text_and_the_worker_lives(worker):
    lines, frame = worker.receive("throw", **{"with": "in full"})
    assert (lines, frame) == (["so far"], {"t": "error", "message": "DomainException"})
    assert worker.receive("throw_anonymous")[1] == {
        "t": "error",
        "message": "RuntimeException@anonymous",
    }
    assert verdict(worker, "auth", "true")[1]["result"] is True
    assert worker.end() == 0
    assert "DomainException: topsecret in full" in worker.stderr
    assert "do_throw()" in worker.stderr


def test_a_warning_is_no_output(worker):
    assert worker.receive("warn") == (['{"after":1}'], NOTHING)
    assert worker.end() == 0
    assert worker.stderr.count("Undefined variable $undefined") == 1


@pytest.mark.parametrize(("with_", "printed"), [(0, "so far"), (3, "so far"), ("bye", "so farbye")])
def test_exit_is_done_without_a_result_and_the_end(worker, with_, printed):
    assert worker.receive("end", **{"with": with_}) == ([printed], {**NOTHING, "last": True})
    assert worker.end() == (with_ if isinstance(with_, int) else 0)


@pytest.mark.parametrize(
    ("do", "lines", "message"),
    [
        ("out_of_memory", ["a", "b"], "fatal error: out of memory"),
        ("out_of_time", [], "fatal error: out of time"),
        ("fatal", [], "fatal error"),
    ],
)
def test_a_fatal_error_is_an_error_and_the_end(worker, do, lines, message):
    assert worker.receive(do) == (lines, {"t": "error", "last": True, "message": message})
    assert worker.end() == 255
    assert "Fatal error: " in worker.stderr


def test_what_writes_to_stdout_itself_comes_between_no_frames(worker):
    assert worker.receive("stdout") == ([], {"t": "error", "message": "TypeError"})
    assert worker.receive("child") == (["from a child"], NOTHING)
    assert worker.receive("print", texts=["a"]) == (["a"], NOTHING)


def test_a_child_reads_no_event_meant_for_the_app(worker):
    child = worker.send("ws::receive", *CONTEXT, '{"do":"child"}')
    second = worker.send("ws::auth", CONTEXT[0], "true", CONTEXT[2])
    assert [worker.frame()["id"] for _ in range(3)] == [child, child, second]


@pytest.mark.parametrize(
    ("target", "args", "result"),
    [
        ("tasks::echoed", ["a", {"b": [1.0, None]}], ["a", {"b": [1.0, None]}]),
        ("tasks::typed", ["4"], 5),
        ("tasks::nothing", [], None),
        ("plain", ["a", "b"], "a b"),
    ],
)
def test_a_function_of_the_app_answers_with_its_value(worker, target, args, result):
    assert worker.ask(target, *args, stream=False) == ([], {"t": "done", "result": result})


def test_an_empty_object_in_a_result_stays_one(worker):
    worker.send("tasks::echoed", stream=False)
    assert worker.line() == b'{"id":"a1","t":"done","result":[]}'
    worker.write(b'{"id":"x","target":"tasks::echoed","args":[1.50,18446744073709551616]}')
    assert worker.line() == b'{"id":"x","t":"done","result":[1.5,1.8446744073709552e+19]}'


def test_a_value_that_is_not_json_is_an_error(worker):
    assert worker.ask("tasks::endless")[1] == {"t": "error", "message": "JsonException"}


@pytest.mark.parametrize(
    ("target", "args", "refusal"),
    [
        ("system", ["echo pwned"], "of this app is called 'system'"),
        ("DateTime::getLastErrors", [], "of this app is called"),
        ("dates::getLastErrors", [], "of this app is called"),
        ("tasks::hidden", [], "of this app is called 'tasks::hidden'"),
        ("wsCast", [], "of this app is called 'wsCast'"),
        ("ws::auth", [], "ws::auth needs a host, a token and a socket id"),
        ("ws::receive", [*CONTEXT, "7"], "ws::receive needs a message"),
        ("", [], "of this app is called ''"),
    ],
)
def test_what_cannot_be_called_is_an_error(worker, target, args, refusal):
    lines, frame = worker.ask(target, *args)
    assert (lines, frame["t"]) == ([], "error")
    assert refusal in frame["message"]


def test_the_end_of_stdin_ends_it_cleanly(worker):
    worker.receive(a=1)
    assert worker.end() == 0
    assert worker.stderr == ""


def test_a_line_that_is_no_job_ends_it(worker):
    worker.write(b"{")
    assert worker.end() == 1
    assert "no job" in worker.stderr


def test_sigterm_ends_it_at_once(worker):
    worker.process.terminate()
    assert worker.line() == b""
    assert worker.end() == -15


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("throw new RuntimeException('topsecret');", "uncaught RuntimeException"),
        ("unknown_function();", "uncaught Error"),
        ("trigger_error('topsecret', E_USER_ERROR);", "fatal error"),
    ],
)
def test_a_boot_that_fails_is_fatal(boot, source, message):
    with boot(source) as worker:
        assert worker.frame() == {"t": "fatal", "message": message}
        assert worker.end() == 1
        assert "Fatal error: " in worker.stderr


def test_a_boot_that_exits_is_never_ready(boot):
    with boot("exit(3);") as worker:
        assert worker.line() == b""
        assert worker.end() == 3


def test_text_of_the_boot_stands_on_lines_before_ready(boot):
    with boot("echo 'half a'; phlows_run();", before="first\n") as worker:
        assert [worker.line() for _ in range(3)] == [
            b"first",
            b"half a",
            b'{"t":"ready","env":true}',
        ]
        assert verdict(worker, "auth", "t") == ([], {"t": "done", "result": True})


def test_a_buffer_of_the_boot_goes_to_stderr(boot):
    with boot("ob_start(); echo 'boot'; phlows_run();") as worker:
        assert worker.frame() == {"t": "ready", "env": True}
        assert worker.end() == 0
        assert worker.stderr == "boot"


# What one event leaves to the next


def test_each_event_finds_what_the_boot_left(worker):
    at_boot = worker.look()
    for do in ("change", "take_off", "handled", "throw"):
        worker.receive(do, **{"with": ""})
        assert worker.look() == at_boot
    assert at_boot["error handler"] == "pass"


def test_a_thousand_events_leave_nothing_behind(worker):
    at_boot, early = worker.look(), None
    for number in range(1000):
        assert worker.receive("change") == ([], NOTHING)
        if number == 100:
            early = worker.look("size")
    late = worker.look("size")
    assert worker.look() == at_boot
    assert (early["events"], late["events"]) == (101, 1000)
    assert late["files"] == early["files"]
    assert late["memory"] - early["memory"] < 100_000


def test_an_error_handler_that_throws_is_not_asked_between_events(boot, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    source = f"""
        chdir('{folder}');
        set_error_handler(fn ($level, $text) => throw new ErrorException($text));
        function wsConnect() {{ chdir('/'); rmdir('{folder}'); }}
        phlows_run();"""
    with boot(source) as worker:
        assert worker.frame() == {"t": "ready", "env": True}
        assert worker.ask("ws::connect", *CONTEXT)[1]["result"] is True
        assert worker.ask("ws::connect", *CONTEXT)[1] == {"t": "error", "message": "ErrorException"}
        assert worker.end() == 0


@pytest.mark.parametrize("exits", [True, False])
def test_a_forked_child_answers_nothing(worker, exits):
    assert worker.receive("fork", exits=exits) == (["from the parent"], NOTHING)
    assert worker.receive("print", texts=["a"]) == (["a"], NOTHING)
    assert worker.end() == 0


def test_an_argument_may_be_as_deep_as_a_message(worker):
    deep = json.loads("[" * 510 + "]" * 510)
    assert worker.ask("tasks::echoed", deep)[1]["result"] == [deep]


def test_many_events_may_be_written_at_once(worker):
    sent = [worker.send("ws::auth", CONTEXT[0], "true", CONTEXT[2]) for _ in range(200)]
    assert [worker.frame()["id"] for _ in sent] == sent


def test_the_host_of_one_event_is_not_that_of_the_next(tmp_path):
    source = f"""<?php require '{SDK}';
        function host_now() {{ return phlows_host(null); }}
        function wsConnect($wsHost) {{ echo host_now(), "\\n"; }}
        phlows_run();"""
    (tmp_path / "app.php").write_text(source)
    with Worker(tmp_path / "app.php") as worker:
        assert worker.ask("ws::connect", *CONTEXT)[0] == ["app.example.com"]
        assert worker.ask("host_now") == ([], {"t": "done", "result": ""})
