"""Programs are started alike, by the C library and by Python."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from phlows_cli.runtime import spawn
from phlows_cli.runtime.reaping import collect
from tests.runtime.apps import gone
from tests.runtime.leaks import open_descriptors

ENV = {"PATH": os.environ["PATH"], "GREETING": "gr\u00fc\u00df"}

ALL_OF_IT = """
import os, sys
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
fds.pop()  # the folder that is being listed
print(fds, os.getpid() == os.getsid(0) == os.getpgid(0), os.getcwd(), sys.argv[1:],
      sorted(set(os.environ) - {"LC_CTYPE"}), os.environ["GREETING"])
print(repr(sys.stdin.read()), flush=True)
"""
IGNORED = """
ignored=$(grep SigIgn /proc/$$/status | cut -f2)
echo $(( (0x$ignored >> 12) & 1 )) $(( (0x$ignored >> 24) & 1 ))
"""
"""Whether SIGPIPE and SIGXFSZ are ignored, as a shell sees it."""


@pytest.fixture(params=["by the C library", "by Python"])
def way(request, monkeypatch):
    """Each way of starting a program."""
    if request.param == "by Python":
        monkeypatch.setattr(spawn, "_libc", None)
    elif not spawn.is_for_threads():
        pytest.skip("this C library cannot do it: glibc 2.34 can")
    return request.param


def finished(child, given=None):
    """What a child printed, once it was given its stdin, and its exit code."""
    if given is not None:
        child.stdin.write(given)
        child.stdin.close()
    with child.stdout as out, child.stderr as err:
        said = out.read(), err.read()
    child.returncode = collect(child.pid, 0)
    return *said, child.returncode


def start(command, folder, *, has_stdin=False, env=ENV):
    return spawn.start(command, str(folder), env, has_stdin=has_stdin)


@pytest.mark.parametrize("given", [None, b"one line"])
def test_a_program_gets_what_it_should_and_nothing_else(way, given, tmp_path):
    inheritable = os.dup(0)
    os.set_inheritable(inheritable, True)
    try:
        code = [sys.executable, "-c", ALL_OF_IT, "a b", "\u00e4"]
        child = start(code, tmp_path, has_stdin=given is not None)
        out, err, status = finished(child, given)
    finally:
        os.close(inheritable)
    assert (err, status) == (b"", 0)
    about, stdin = out.decode().splitlines()
    expected = f"[0, 1, 2] True {tmp_path} ['a b', '\u00e4'] ['GREETING', 'PATH'] gr\u00fc\u00df"
    assert about == expected
    assert stdin == repr((given or b"").decode())


def test_signals_that_python_ignores_end_a_program_as_ever(way, tmp_path):
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    assert finished(start(["/bin/sh", "-c", IGNORED], tmp_path)) == (b"0 0\n", b"", 0)


def test_a_program_without_a_slash_is_looked_for_in_its_path(way, tmp_path):
    assert finished(start(["sh", "-c", "echo found"], tmp_path)) == (b"found\n", b"", 0)


def test_an_end_by_signal_is_told(way, tmp_path):
    assert finished(start(["/bin/sh", "-c", "kill -SEGV $$"], tmp_path))[2] == -signal.SIGSEGV


@pytest.mark.parametrize(
    ("command", "env", "error", "name"),
    [
        (["/nowhere/app"], ENV, FileNotFoundError, "/nowhere/app"),
        (["/"], ENV, PermissionError, "/"),
        (["/bin/sh", "x" * 200_000], ENV, OSError, "/bin/sh"),
        (["/bin/sh", "a\0b"], ENV, ValueError, None),
        (["/bin/sh"], {"A": "b\0c"}, ValueError, None),
        (["/bin/sh"], {"A=B": "c"}, ValueError, None),
    ],
)
def test_a_failed_start_names_its_file_and_leaves_nothing(way, command, env, error, name, tmp_path):
    before = open_descriptors()
    with pytest.raises(error) as raised:
        start(command, tmp_path, env=env)
    assert open_descriptors() == before
    assert getattr(raised.value, "filename", None) == name


def test_a_folder_that_is_gone_is_named(way, tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        start(["/bin/sh"], tmp_path / "gone")
    assert raised.value.filename == str(tmp_path / "gone")


def test_a_program_that_names_no_interpreter_is_not_taken_for_a_script(way, tmp_path):
    app = tmp_path / "app"
    app.write_text("echo no\n")
    app.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        start([str(app)], tmp_path)


def test_no_pipe_left_fails_the_start_and_leaves_nothing(way, tmp_path, monkeypatch):
    made = []

    def one_pipe(pipe=os.pipe):
        if made:
            raise OSError(24, "Too many open files")
        made.append(pipe())
        return made[0]

    before = open_descriptors()
    monkeypatch.setattr(os, "pipe", one_pipe)
    with pytest.raises(OSError, match="Too many open files"):
        start(["/bin/sh"], tmp_path)
    monkeypatch.undo()
    assert open_descriptors() == before


async def test_a_child_that_nobody_wants_is_ended_with_its_group(way, tmp_path):
    before = open_descriptors()
    child = start(["/bin/sh", "-c", "sleep 300 & echo $!; wait"], tmp_path)
    grandchild = int(child.stdout.read(20))
    spawn.end_at_once(child)
    assert child.returncode == -signal.SIGKILL
    await gone(grandchild)
    assert open_descriptors() == before
