from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
from contextlib import suppress

import pytest

from phlows_cli.runtime import process as module
from phlows_cli.runtime import spawn
from phlows_cli.runtime.launcher import Launcher
from phlows_cli.runtime.process import Process
from phlows_cli.runtime.reaping import LOST_STATUS
from tests.runtime.apps import Printed, gone, is_running
from tests.runtime.leaks import open_descriptors

pytestmark = pytest.mark.usefixtures("loop_factory")

ENV = {"PATH": os.environ["PATH"]}
SOON = 0.2
LONG = 20.0

POLITE = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("bye", flush=True)
sys.exit(7)
"""
"""An app that hears TERM whenever it comes, and cleans up."""


def start(command, tmp_path, on_stdout=lambda _chunk: None, on_stderr=lambda _chunk: None):
    if isinstance(command, str):
        command = ["/bin/sh", "-c", command]
    child = spawn.start(command, str(tmp_path), ENV, has_stdin=False)
    return Process(child, on_stdout, on_stderr)


async def run(command, tmp_path):
    """Run to the end; return the exit code, stdout and stderr."""
    out, err = [], []
    process = start(command, tmp_path, out.append, err.append)
    assert await process.finish(LONG)
    process.close()
    return process.exit_code, b"".join(out), b"".join(err)


def wait_without_reaping(pid, waitid=os.waitid):
    with suppress(ChildProcessError):  # a thread was quicker
        waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def no_pidfd(_pid):
    raise OSError(errno.ENOSYS, "not in this kernel")


@pytest.fixture(params=["pidfd", "thread", "thread that reaps"])
def way(request, monkeypatch):
    """Each way of being told that a process has ended."""
    if request.param != "pidfd":
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    if request.param == "thread that reaps":
        monkeypatch.delattr(os, "waitid")
    return request.param


async def test_output_and_exit_code_are_told(way, tmp_path):
    assert await run("echo out; echo err >&2; exit 3", tmp_path) == (3, b"out\n", b"err\n")


async def test_an_end_by_signal_is_a_negative_code(way, tmp_path):
    assert await run("kill -SEGV $$", tmp_path) == (-signal.SIGSEGV, b"", b"")


async def test_many_processes_at_once_each_get_their_own_end(way, tmp_path):
    results = await asyncio.gather(*(run(f"echo {n}; exit {n}", tmp_path) for n in range(20)))
    assert results == [(n, b"%d\n" % n, b"") for n in range(20)]


async def test_it_leads_a_session_of_its_own_in_its_folder_with_its_environment(tmp_path):
    code = (
        "import os\n"
        "print(os.getsid(0) == os.getpgrp() == os.getpid(), os.getcwd(), len(os.environ))"
    )
    _, out, _ = await run([sys.executable, "-S", "-c", code], tmp_path)
    leads, folder, variables = out.split()
    assert (leads, folder) == (b"True", bytes(tmp_path.resolve()))
    assert int(variables) <= 2  # Python may add LC_CTYPE to the one that was given


async def test_it_has_an_empty_stdin_and_no_descriptor_but_three(tmp_path):
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    code = (
        "import os, sys\n"
        "def is_open(fd):\n"
        "    try: return bool(os.fstat(fd))\n"
        "    except OSError: return False\n"
        "print([fd for fd in range(4096) if is_open(fd)], sys.stdin.read())"
    )
    try:
        _, out, _ = await run([sys.executable, "-c", code], tmp_path)
    finally:
        os.close(inherited)
    assert out == b"[0, 1, 2] \n"


async def test_a_background_child_that_holds_stdout_is_neither_awaited_nor_killed(way, tmp_path):
    code, out, _ = await run("sleep 300 & echo $!", tmp_path)
    child = int(out)
    assert code == 0
    assert is_running(child)
    os.kill(child, signal.SIGKILL)
    await gone(child)


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="it cannot be known in time without waitid")
async def test_what_a_process_that_was_killed_left_running_is_killed(tmp_path):
    printed = Printed()
    process = start("sleep 300 & echo $!; exec sleep 300", tmp_path, printed)
    await printed.until(1)
    os.kill(process.pid, signal.SIGKILL)
    assert await process.finish(LONG)
    process.close()
    await gone(int(printed.lines[0]))


async def test_what_stdout_holds_at_the_exit_is_read(way, tmp_path):
    out = []
    process = start("head -c 60000 /dev/zero", tmp_path, out.append)
    # the loop learns of the output and of the exit in one turn
    wait_without_reaping(process.pid)
    assert await process.finish(LONG)
    process.close()
    assert len(b"".join(out)) == 60000


async def test_a_background_child_that_never_stops_writing_is_not_read_for_ever(tmp_path):
    printed = Printed()
    process = start("yes & echo $! >&2", tmp_path, on_stderr=printed)
    assert await process.finish(LONG)
    process.close()
    await gone(int(printed.lines[0]))  # nobody reads: SIGPIPE ends it


async def test_chunks_are_handed_on_while_the_process_runs(gate, tmp_path):
    printed = Printed()
    process = start(f"echo one; read _ <{gate.path}; echo two", tmp_path, printed)
    assert await printed.until(1) == [b"one\n"]
    gate.let_one_pass()
    assert await process.finish(LONG)
    process.close()
    assert printed.lines == [b"one\n", b"two\n"]


async def test_a_process_that_closes_its_pipes_is_still_awaited(gate, tmp_path):
    code, out, _ = await asyncio.wait_for(run("echo x; exec >&- 2>&-; exit 4", tmp_path), LONG)
    assert (code, out) == (4, b"x\n")


async def test_finish_gives_up_when_patience_runs_out(way, tmp_path):
    process = start("exec sleep 300", tmp_path)
    assert not await process.finish(0.01)
    await process.end(LONG)
    process.close()
    assert process.exit_code == -signal.SIGTERM


async def test_an_interrupted_finish_gives_up_at_once(way, tmp_path):
    process = start("exec sleep 300", tmp_path)
    asyncio.get_running_loop().call_soon(process.interrupt)
    assert not await process.finish(LONG)
    await process.end(LONG)
    process.close()


async def test_interrupting_a_process_that_has_exited_changes_nothing(tmp_path):
    process = start("exit 0", tmp_path)
    assert await process.finish(LONG)
    process.interrupt()
    assert await process.finish(LONG)
    process.close()
    assert process.exit_code == 0


async def test_term_comes_first_and_leaves_time_to_clean_up(way, tmp_path):
    printed = Printed()
    process = start([sys.executable, "-c", POLITE], tmp_path, printed)
    await printed.until(1)
    await process.end(LONG)
    process.close()
    assert (printed.lines, process.exit_code) == ([b"up\n", b"bye\n"], 7)


async def test_the_grace_is_for_the_group_when_its_leader_goes_at_once(way, tmp_path):
    printed = Printed()
    process = start(f"{sys.executable} -c '{POLITE}' & exec sleep 300", tmp_path, printed)
    await printed.until(1)
    await process.end(LONG)
    process.close()
    assert printed.lines == [b"up\n", b"bye\n"]


async def test_a_deaf_process_is_killed_after_the_grace(way, tmp_path):
    printed = Printed()
    process = start("trap '' TERM; echo up; sleep 300", tmp_path, printed)
    await printed.until(1)
    await process.end(SOON)
    process.close()
    assert process.exit_code == -signal.SIGKILL


async def test_a_deaf_grandchild_that_left_the_pipes_is_killed_as_well(way, tmp_path):
    printed = Printed()
    script = "(trap '' TERM; exec sleep 300 >/dev/null 2>&1) & echo $!; exec sleep 300"
    process = start(script, tmp_path, printed)
    await printed.until(1)
    await process.end(SOON)
    process.close()
    await gone(int(printed.lines[0]))


async def test_cancelling_the_end_kills_without_the_grace(tmp_path):
    printed = Printed()
    process = start("trap '' TERM; echo up; sleep 300", tmp_path, printed)
    await printed.until(1)
    ending = asyncio.create_task(process.end(LONG))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    process.close()
    await asyncio.wait((process._exited,))
    await asyncio.sleep(0)
    assert process.exit_code == -signal.SIGKILL


async def test_a_process_that_cannot_be_killed_is_let_go_and_reaped_later(monkeypatch, tmp_path):
    def forbidden(_group, _number):
        raise PermissionError(errno.EPERM, "it runs as another user now")

    process = start("exec sleep 300", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", forbidden)
        await process.end(0.01)
    process.close()
    assert process.exit_code is None
    os.killpg(process.pid, signal.SIGKILL)
    await asyncio.wait((process._exited,))
    await asyncio.sleep(0)
    assert process.exit_code == -signal.SIGKILL


async def test_ending_a_process_that_has_exited_is_harmless(way, tmp_path):
    process = start("exit 5", tmp_path)
    assert await process.finish(LONG)
    await process.end(LONG)
    process.close()
    assert process.exit_code == 5


async def test_a_callback_that_fails_does_not_lose_the_exit(tmp_path):
    def fails(_chunk):
        raise RuntimeError("a mistake in the caller")

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    process = start("echo x", tmp_path, fails)
    assert await process.finish(LONG)
    process.close()
    assert [str(context["exception"]) for context in told] == ["a mistake in the caller"]


async def test_a_status_that_the_system_threw_away_counts_as_a_failure(way, tmp_path, caplog):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        code, out, _ = await run("echo true; exit 0", tmp_path)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (code, out) == (LOST_STATUS, b"true\n")
    assert "SIGCHLD" in caplog.text


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["/nowhere/app"], FileNotFoundError),
        (["/"], PermissionError),
        (["/bin/sh", "a\0b"], ValueError),
        (["/bin/sh", "x" * 200_000], OSError),
    ],
)
async def test_a_failed_start_raises_and_leaves_nothing(command, error, tmp_path):
    with pytest.raises(error):
        start(command, tmp_path)


async def test_a_folder_that_is_gone_fails_the_start(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        start("true", tmp_path / "gone")
    assert raised.value.filename == str(tmp_path / "gone")


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_loop_that_takes_no_reader_leaves_no_process(failing, tmp_path, monkeypatch):
    async def attempt():
        loop = asyncio.get_running_loop()
        add_reader, calls = loop.add_reader, []

        def full(*args):
            calls.append(args)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, "no watch left")
            return add_reader(*args)

        monkeypatch.setattr(loop, "add_reader", full)
        with pytest.raises(OSError, match="no watch left"):
            start("exec sleep 300", tmp_path)
        monkeypatch.undo()
        assert len(calls) == failing

    asyncio.run(attempt())


def test_a_loop_that_is_gone_before_the_process_disturbs_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    monkeypatch.delattr(os, "waitid")
    before = set(threading.enumerate())

    async def leave():
        process = start("exec sleep 300", tmp_path)
        process.close()
        return process

    process = asyncio.run(leave())
    os.killpg(process.pid, signal.SIGKILL)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert process.exit_code == -signal.SIGKILL
    monkeypatch.undo()


async def test_starts_are_at_most_one_a_loop_turn():
    loop, launcher = asyncio.get_running_loop(), Launcher()
    turn, starts = 0, []

    def tick():
        nonlocal turn
        turn += 1
        loop.call_soon(tick)

    async def start_one(name):
        await launcher._turn()
        starts.append((name, turn))

    loop.call_soon(tick)
    await asyncio.gather(*(start_one(name) for name in range(6)))
    await asyncio.gather(*(start_one(name) for name in range(6, 9)))
    turns = [turn for _, turn in starts]
    assert [name for name, _ in starts] == list(range(9))
    assert len(set(turns)) == len(turns)


async def test_a_start_that_is_cancelled_does_not_hold_up_the_next():
    launcher = Launcher()
    first, cancelled, following = (asyncio.create_task(launcher._turn()) for _ in range(3))
    await asyncio.sleep(0)
    cancelled.cancel()
    await following
    assert first.done()
    assert cancelled.cancelled()


async def test_what_costs_a_descriptor_is_kept_to_two_pipes_and_a_pidfd(tmp_path):
    before = len(open_descriptors())
    process = start("exec sleep 300", tmp_path)
    assert len(open_descriptors()) == before + 3
    await process.end(LONG)
    process.close()
    process.close()
    assert len(open_descriptors()) == before
    assert module.GRACE == 1.0
