"""A resident worker speaks its protocol, whatever its app does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.app.working import ENV, HEAD

DONE = {"t": "done", "result": None}


def failed(message):
    return {"t": "error", "message": message}


HOOKS = """
    def ws_connect(ws_host, ws_token, ws_socket): return ws_host != "bad"
    async def ws_auth(ws_host, ws_token, ws_socket): return ws_host != "bad"
    def ws_receive(ws_host, ws_token, ws_socket, *items, **data):
        print(ws_host, ws_token, ws_socket, items, data)
        return {"secret": 1}
    def ws_close(ws_host, ws_token, ws_socket): return {"secret": 1}
"""


def test_each_hook_is_answered_with_its_result(worker):
    app = worker(HOOKS)
    assert app.hook("connect") == ([], {"t": "done", "result": True})
    assert app.hook("connect", host="bad") == ([], {"t": "done", "result": False})
    assert app.hook("auth") == ([], {"t": "done", "result": True})
    assert app.hook("auth", host="bad") == ([], {"t": "done", "result": False})
    assert app.hook("receive", '{"a":1}') == (["h t s () {'a': 1}"], DONE)
    assert app.hook("receive", '[1,"b"]') == (["h t s (1, 'b') {}"], DONE)
    assert app.hook("close") == ([], DONE)
    assert app.end() == 0
    assert app.stderr == ""


def test_a_missing_hook_accepts_or_does_nothing(worker):
    app = worker("")
    results = [app.hook(name)[1]["result"] for name in ("connect", "auth", "receive", "close")]
    assert results == [True, True, None, None]


def test_id_and_kind_come_first_in_a_frame_and_no_blanks_stand_in_it(worker):
    app = worker("def ws_receive(*_, **__): print('x')")
    app.give("ws::receive", "h", "t", "s", "{}")
    assert app.process.stdout.readline() == b'{"id":"j1","t":"line","data":"x"}\n'
    assert app.process.stdout.readline() == b'{"id":"j1","t":"done","result":null}\n'


def test_a_thousand_jobs_are_answered_in_order(worker):
    app = worker("def ws_receive(*_, n): print(n)")
    jobs = []
    for number in range(1000):
        jobs.append(app.give("ws::receive", "h", "t", "s", json.dumps({"n": number})))
        if len(jobs) == 50:  # written ahead, as a broker may
            answers = [app.answer(job)[0] for job in jobs]
            assert answers == [[str(n)] for n in range(number - 49, number + 1)]
            jobs.clear()
    assert app.end() == 0


def test_a_line_is_a_frame_when_it_is_printed(worker, tmp_path):
    app = worker("""
        import sys
        def ws_receive(ws_host, ws_token, ws_socket, gate):
            print("first")
            print("sec", end="")
            open(gate).read()
            print("ond")
            sys.stdout.write("third")
    """)
    import os

    gate = tmp_path / "gate"
    os.mkfifo(gate)
    app.give("ws::receive", "h", "t", "s", json.dumps({"gate": str(gate)}))
    assert app.frame()["data"] == "first"  # while the hook waits
    gate.write_text("")
    assert [app.frame().get("data") for _ in range(3)] == ["second", "third", None]


def test_without_stream_what_is_printed_is_dropped(worker):
    app = worker("def hello(): print('dropped'); return 7")
    assert app.call("hello", stream=False) == ([], {"t": "done", "result": 7})
    assert app.call("hello") == (["dropped"], {"t": "done", "result": 7})


# Bytes


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("print('na\\u00efve \\u2713 \\U0001f9a6')", "naïve ✓ 🦦"),
        ("print('a\\ud800b')", "a\ufffdb"),
        ("print('a\\udcffb')", "a\ufffdb"),
        ("sys.stdout.buffer.write(b'a\\xffb\\n')", "a\ufffdb"),
        ("print()", ""),
        ("print('a\\0b\\r')", "a\0b\r"),
    ],
)
def test_what_is_printed_arrives_as_utf_8_whatever_it_was(worker, code, line):
    app = worker(f"import sys\ndef go(): {code}", env={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert app.call("go") == ([line], DONE)


def test_a_result_that_is_not_utf_8_is_replaced_not_lost(worker):
    app = worker("def go(): return 'a\\ud800b'")
    assert app.call("go") == ([], {"t": "done", "result": "a\ufffdb"})


def test_a_message_of_a_megabyte_arrives(worker):
    app = worker("def ws_receive(*_, text): print(len(text))")
    assert app.hook("receive", json.dumps({"text": "x" * 1_000_000})) == (["1000000"], DONE)


def test_a_huge_output_arrives_whole(worker):
    app = worker("""
        def lines():
            for number in range(20000): print(number)
        def line(): print("x" * 3_000_000)
    """)
    assert app.call("lines") == ([str(n) for n in range(20000)], DONE)
    assert app.call("line") == (["x" * 3_000_000], DONE)


def test_a_job_may_arrive_byte_by_byte(worker):
    app = worker("def ws_receive(*_, a): print(a)")
    for (
        byte
    ) in b'{"id":"j1","target":"ws::receive","args":["h","t","s","{\\"a\\":1}"],"stream":true}\n':
        app.write(bytes([byte]))
    assert app.answer("j1") == (["1"], DONE)


@pytest.mark.parametrize(
    "line", [b"{", b"7", b"[]", b"{}", b'{"id":1}', b'{"id":1,"target":2,"args":[]}', b"\xff"]
)
def test_a_line_that_is_no_job_ends_the_worker(worker, line):
    app = worker("")
    app.write(line + b"\n")
    assert app.frame() is None
    assert app.process.wait() == 1
    assert app.stderr == "phlows: a line on stdin is no job\n"


# stdin, stdout and the processes of an app


def test_what_other_programs_print_goes_to_stderr(worker):
    app = worker("""
        import os, subprocess, sys
        def ws_receive(*_, **__):
            subprocess.run(["echo", "from a child"])
            subprocess.run(["echo", "by its file"], stdout=sys.stdout)
            os.write(1, b"raw\\n")
            print("printed")
    """)
    assert app.hook("receive") == (["printed"], DONE)
    assert app.end() == 0
    assert app.stderr == "from a child\nby its file\nraw\n"


def test_nothing_in_a_hook_can_read_the_jobs(worker):
    app = worker("""
        import subprocess, sys
        def ws_receive(*_, **__):
            print(repr(sys.stdin.read()))
            print(subprocess.run(["cat"], stdout=subprocess.PIPE).stdout)
    """)
    first, second = (app.give("ws::receive", "h", "t", "s", "{}") for _ in range(2))
    assert app.answer(first) == (["''", "b''"], DONE)
    assert app.answer(second) == (["''", "b''"], DONE)


def test_a_fork_of_a_hook_neither_answers_nor_takes_jobs(worker):
    app = worker("""
        import os
        def ws_receive(*_, **__):
            child = os.fork()
            print("child" if child == 0 else "parent")
            if child: print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    first, second = (app.give("ws::receive", "h", "t", "s", "{}") for _ in range(2))
    assert app.answer(first) == (["parent", "0"], DONE)
    assert app.answer(second) == (["parent", "0"], DONE)
    assert app.end() == 0


def test_what_the_boot_prints_is_no_frame(worker):
    app = worker("print('booting')")
    assert app.hook("connect") == ([], {"t": "done", "result": True})
    assert app.stderr == "booting\n"


def test_an_exception_at_the_boot_ends_with_a_traceback(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(HEAD + "raise LookupError('no database')\nrun()\n")
    done = subprocess.run(
        [sys.executable, path, "phlo_serve"], capture_output=True, text=True, env=ENV, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("LookupError: no database\n")


# Ends


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("raise LookupError('pass' + 'word')", "LookupError"),
        ("__import__('json').loads('{')", "JSONDecodeError"),
        ("raise __import__('asyncio').CancelledError", "CancelledError"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("return go()", "RecursionError"),
    ],
)
def test_an_exception_is_named_and_told_on_stderr_and_the_worker_lives(worker, kind, code, name):
    if name == "RecursionError":
        code = "f = lambda: f(); f()"
    app = worker(f"{kind} go(): {code}\ndef fine(): return 1")
    assert app.call("go") == ([], failed(name))
    assert app.call("fine") == ([], {"t": "done", "result": 1})
    assert "Traceback" in app.stderr
    assert name in app.stderr


@pytest.mark.parametrize(
    ("value", "name"),
    [("object()", "TypeError"), ("float('nan')", "ValueError"), ("{1, 2}", "TypeError")],
)
def test_a_result_that_is_not_json_is_an_error(worker, value, name):
    app = worker(f"def go(): return {value}")
    assert app.call("go") == ([], failed(name))
    assert app.call("go") == ([], failed(name))


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("code", "last", "exit_code"),
    [
        ("sys.exit()", DONE, 0),
        ("sys.exit(0)", DONE, 0),
        ("sys.exit(3)", failed("exit code 3"), 3),
        ("sys.exit(-1)", failed("exit code 255"), 255),
        ("sys.exit('told')", failed("exit code 1"), 1),
        ("raise KeyboardInterrupt", failed("KeyboardInterrupt"), 130),
    ],
)
def test_an_exit_in_a_hook_answers_and_ends_the_worker(worker, kind, code, last, exit_code):
    app = worker(f"""
        import atexit, sys
        atexit.register(sys.stderr.write, "at exit")
        {kind} go():
            print("before", end="")
            {code}
    """)
    assert app.call("go") == (["before"], {**last, "last": True})
    assert app.frame() is None
    assert app.process.wait() == exit_code
    assert app.stderr == ("told\n" if "told" in code else "") + "at exit"


def test_a_process_that_ends_at_once_answers_nothing(worker):
    app = worker("import os\ndef go(): print('x'); os._exit(7)")
    app.give("go")
    assert app.frame()["t"] == "line"
    assert app.frame() is None
    assert app.process.wait() == 7


def test_the_end_of_stdin_ends_the_worker_cleanly(worker):
    app = worker("import atexit, sys\natexit.register(sys.stderr.write, 'at exit')")
    assert app.end() == 0
    assert app.stderr == "at exit"


def test_threads_that_go_on_do_not_keep_a_worker_from_ending(worker):
    app = worker("""
        import threading
        import phlows_cli.app.worker as worker
        worker.LEAVE_TIMEOUT = 0.1
        threading.Thread(target=threading.Event().wait).start()
    """)
    assert app.end() == 0


def test_sigterm_ends_a_worker_at_once(worker):
    app = worker("def go(): print('in'); __import__('time').sleep(60)")
    app.give("go")
    assert app.frame()["data"] == "in"
    app.process.send_signal(signal.SIGTERM)
    assert app.process.wait() == -signal.SIGTERM


def test_a_worker_whose_broker_has_gone_ends_when_it_prints(worker):
    app = worker("def go(): print('x')")
    app.process.stdout.close()
    app.give("go")
    assert app.process.wait() == 1
    assert "a frame was cut by BrokenPipeError" in app.stderr


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["h"], "ws::receive needs a host, a token and a socket id"),
        (["h", "t", 5, "{}"], "ws::receive needs a host, a token and a socket id"),
        (["h", "t", "s"], "receive needs a message: a JSON object or array"),
        (["h", "t", "s", "7"], "receive needs a message: a JSON object or array"),
        (["h", "t", "s", 7], "receive needs a message: a JSON object or array"),
    ],
)
def test_wrong_arguments_of_a_hook_are_told(worker, args, reason):
    assert worker("").call("ws::receive", *args) == ([], failed(reason))
