"""What one event leaves behind in a worker does not reach the next one."""

from __future__ import annotations

import json

from tests.app.test_worker import DONE, failed

DROPPED = "phlows: output of an event that has ended was dropped\n"


def test_context_variables_begin_as_they_were_at_the_boot(worker):
    app = worker("""
        from contextvars import ContextVar
        user = ContextVar("user")
        user.set("nobody")
        def set_(name): user.set(name); return user.get()
        async def set_async(name): user.set(name); return user.get()
        def get(): return user.get()
        async def get_async(): return user.get()
    """)
    for setter in ("set_", "set_async"):
        assert app.call(setter, "ann")[1]["result"] == "ann"
        assert app.call("get")[1]["result"] == "nobody"
        assert app.call("get_async")[1]["result"] == "nobody"


def test_async_events_share_one_loop_and_leave_no_task_running(worker):
    app = worker("""
        import asyncio
        loops, ended = set(), []
        async def background():
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(1)
                print("cleaned up")
        async def start():
            loops.add(id(asyncio.get_running_loop()))
            asyncio.create_task(background())
            await asyncio.sleep(0)
            return [len(loops), len(ended), len(asyncio.all_tasks())]
    """)
    assert app.call("start") == (["cleaned up"], {"t": "done", "result": [1, 0, 2]})
    assert app.call("start") == (["cleaned up"], {"t": "done", "result": [1, 1, 2]})
    assert app.end() == 0
    assert app.stderr == "phlows: 1 tasks were left behind and are cancelled\n" * 2


def test_tasks_are_cancelled_when_their_hook_has_failed(worker):
    app = worker("""
        import asyncio
        async def fail():
            asyncio.create_task(asyncio.sleep(3600))
            raise LookupError
        async def count(): return len(asyncio.all_tasks())
    """)
    assert app.call("fail") == ([], failed("LookupError"))
    assert app.call("count")[1]["result"] == 1


def test_threads_of_an_event_print_into_it_while_it_lasts(worker):
    app = worker("""
        import threading
        def go():
            def say():
                for _ in range(200): print("line\\n", end="")
            threads = [threading.Thread(target=say) for _ in range(5)]
            for t in threads: t.start()
            for t in threads: t.join()
    """)
    assert app.call("go") == (["line"] * 1000, DONE)


def test_what_a_thread_prints_after_its_event_is_dropped_with_a_note(worker):
    app = worker("""
        import threading
        go_on, said = threading.Event(), threading.Event()
        def say():
            go_on.wait()
            print("to nobody")
            print("to nobody")
            said.set()
        def start(): threading.Thread(target=say).start()
        def next_(): go_on.set(); said.wait(); print("mine")
    """)
    assert app.call("start") == ([], DONE)
    assert app.call("next_") == (["mine"], DONE)
    assert app.end() == 0
    assert app.stderr == DROPPED


def test_a_thread_that_is_used_again_prints_into_the_event_it_works_for(worker):
    app = worker("""
        import asyncio, threading
        uses = []
        def say(text): uses.append(threading.current_thread()); print(text)
        async def go(text):
            await asyncio.to_thread(say, text)
            await asyncio.get_running_loop().run_in_executor(None, say, text)
        def used_again(): return len(uses) > len(set(uses))
    """)
    for number in range(50):
        assert app.call("go", str(number)) == ([str(number)] * 2, DONE)
    assert app.call("used_again")[1]["result"] is True
    assert app.end() == 0
    assert app.stderr == ""


def test_a_timer_of_an_ended_event_prints_into_no_other(worker):
    app = worker("""
        import asyncio
        async def start(): asyncio.get_running_loop().call_later(0.001, print, "late")
        async def next_(): await asyncio.sleep(0.05); print("mine")
    """)
    assert app.call("start") == ([], DONE)
    assert app.call("next_") == (["mine"], DONE)
    assert app.end() == 0
    assert app.stderr == DROPPED


def test_streams_folder_alarm_and_locale_are_put_back(worker):
    app = worker("""
        import io, locale, os, signal, sys
        before = os.getcwd()
        def spoil():
            os.chdir("/")
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 3600)
            locale.setlocale(locale.LC_ALL, "C.UTF-8")
            sys.stdout.detach()
            sys.stdout = sys.stderr = io.StringIO()
            print("into the air")
        def look():
            print("seen")
            print("told", file=sys.stderr)
            here = os.getcwd() == before
            return [here, signal.getitimer(signal.ITIMER_REAL)[0], locale.setlocale(locale.LC_ALL)]
    """)
    before = app.call("look")
    assert before[0] == ["seen"]
    assert before[1]["result"][:2] == [True, 0.0]
    assert app.call("spoil") == ([], DONE)
    assert app.call("look") == before


def test_a_closed_stdout_is_open_again_for_the_next_event(worker):
    app = worker("""
        import sys
        def close(): sys.stdout.close()
        def say(): print("here")
        def shut(): close()
    """)
    assert app.call("shut") == ([], DONE)
    assert app.call("say") == (["here"], DONE)


def test_a_handler_of_a_signal_may_print_and_raise(worker):
    app = worker("""
        import signal, time
        def rang(*_):
            print("rang")
            raise TimeoutError
        def go():
            signal.signal(signal.SIGALRM, rang)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            time.sleep(60)
    """)
    assert app.call("go") == (["rang"], failed("TimeoutError"))
    assert app.call("go") == (["rang"], failed("TimeoutError"))


def test_a_cast_goes_to_the_host_of_its_event(worker):
    app = worker("""
        from phlows_cli.app.hooks import Current
        async def ws_connect(*_): print(Current.host)
        def ws_receive(*_, **__): print(Current.host)
        def task(): return Current.host
    """)
    assert app.hook("connect", host="one") == (["one"], {"t": "done", "result": True})
    assert app.hook("receive", host="two") == (["two"], DONE)
    assert app.call("task") == ([], {"t": "done", "result": ""})


def test_casts_from_a_worker_reach_the_broker_with_that_host(worker, tmp_path):
    import socket
    import threading

    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    data = b""
                    while not data.endswith(b"}"):
                        data += peer.recv(65536)
                    asked.append(json.loads(data.partition(b"\r\n\r\n")[2]))
                    peer.sendall(b'HTTP/1.0 200 OK\r\ncontent-length: 10\r\n\r\n{"sent":1}')

        thread = threading.Thread(target=answer)
        thread.start()
        app = worker(
            "def ws_receive(*_, **data): print(ws_cast(**data))",
            env={"PHLOWS_URL": f"http://127.0.0.1:{server.getsockname()[1]}"},
        )
        for host in ("one", "two"):
            assert app.hook("receive", '{"toast":"}hi"}', host=host) == (["{'sent': 1}"], DONE)
        thread.join()
    assert [(cast["host"], cast["data"]) for cast in asked] == [
        ("one", {"toast": "}hi"}),
        ("two", {"toast": "}hi"}),
    ]
