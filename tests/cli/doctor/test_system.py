from __future__ import annotations

import json
import subprocess
import sys

import pytest

from phlows_cli import service
from phlows_cli.cli.doctor import system

HOST = '[hosts."app.test"]\nhooks = []\n'
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
sys.argv = ["phlows", "doctor", "--only", "System", "--json"]
runpy.run_module("phlows_cli", run_name="__main__")
"""


@pytest.fixture
def kernel(tmp_path):
    """A /proc of our own."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "proc" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "proc"

    return write


def test_the_kept_descriptors_are_those_of_the_service():
    assert system.KEPT_DESCRIPTORS == service.KEPT_DESCRIPTORS


def test_descriptors_that_are_enough_are_ok(look, case):
    result = look("descriptors", case("[limits]\nmax_connections = 10"))
    assert (result.status, result.hint) == ("ok", "")


def test_too_few_descriptors_are_told_by_a_process_that_has_few(environ):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["descriptors"]["status"] == "warn"
    assert "300 hard: 44 sockets at most" in found["descriptors"]["message"]
    assert "ulimit -Hn 1280" in found["descriptors"]["hint"]


def test_more_sockets_than_descriptors_allow_is_a_failure(look, case):
    result = look("descriptors", case("[limits]\nmax_connections = 1000000\n" + HOST))
    room, _ = system.room_for_sockets(case())
    assert (result.status == "fail") == (room < 1_000_000)


@pytest.mark.parametrize(("queue", "status"), [("128\n", "warn"), ("4096\n", "ok")])
def test_the_queue_of_connections_is_as_long_as_the_kernel_lets_it(
    look, case, kernel, queue, status
):
    proc = kernel(sys__net__core__somaxconn=queue)
    result = look("backlog", case(proc=proc))
    assert result.status == status
    assert ("sysctl -w net.core.somaxconn=4096" in result.hint) == (status == "warn")


@pytest.mark.parametrize(
    ("ports", "wanted", "status"),
    [("32768\t60999", 0, "ok"), ("32768\t60999", 50_000, "warn"), ("60000\t60999", 0, "warn")],
)
def test_ports_of_a_proxy_on_this_machine_are_counted(look, case, kernel, ports, wanted, status):
    proc = kernel(sys__net__ipv4__ip_local_port_range=ports)
    text = f"[limits]\nmax_connections = {wanted}"
    assert look("ports", case(text, proc=proc)).status == status


def test_a_unix_socket_needs_no_ports(look, case):
    assert look("ports", case(server='listen = "unix:/run/x.sock"')).status == "skip"


@pytest.mark.parametrize("name", ["backlog", "ports"])
def test_without_proc_a_check_says_why_it_is_left_out(look, case, tmp_path, name):
    result = look(name, case(proc=tmp_path / "none"))
    assert result.status == "skip"
    assert "no /proc" in result.message


def test_the_memory_of_the_control_group_counts(look, case, kernel, tmp_path):
    proc = kernel(self__cgroup="0::/a/b\n")
    group = tmp_path / "sys/fs/cgroup/a"
    (group / "b").mkdir(parents=True)
    (group / "memory.max").write_text("100000000\n")
    (group / "b" / "memory.max").write_text("max\n")
    small = case("[limits]\nsend_total = 1048576", proc=proc, sys=tmp_path / "sys")
    result = look("memory", small)
    assert result.status == "warn"
    assert result.message.startswith("95 MiB for ")
    assert "limits.max_connections = 4818" in result.hint
    fewer = case("[limits]\nsend_total = 1048576\nmax_connections = 4818", proc=proc)
    assert look("memory", fewer).status == "ok"


def test_an_old_control_group_counts_too(look, case, kernel, tmp_path):
    proc = kernel(self__cgroup="5:cpu:/x\n4:memory:/x\n")
    group = tmp_path / "sys/fs/cgroup/memory/x"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("1000000\n")
    result = look("memory", case(proc=proc, sys=tmp_path / "sys"))
    assert result.status == "warn"
    assert "a lower limits.send_total" in result.hint


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is of Linux")
def test_a_kernel_without_pidfd_is_told(look, case, monkeypatch):
    assert look("pidfd", case()).status == "ok"

    def refused(_pid):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("os.pidfd_open", refused)
    assert look("pidfd", case()).status == "warn"


def test_on_another_system_pidfd_is_no_matter(look, case, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert look("pidfd", case()).status == "skip"


def test_a_missing_uvloop_is_told_with_the_command_that_installs_it(look, case, monkeypatch):
    assert look("uvloop", case()).status == "ok"
    monkeypatch.setattr("sys.path", [])
    result = look("uvloop", case())
    assert result.status == "warn"
    assert f"{sys.executable} -m pip install uvloop" in result.hint


@pytest.mark.parametrize(
    ("says", "status"), [("yes", "ok"), ("no", "warn"), ("Failed to connect", "skip")]
)
def test_timedatectl_is_asked_about_the_clock(look, case, tmp_path, monkeypatch, says, status):
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert look("clock", case()).status == status


def test_what_timedatectl_says_is_not_cut_in_mid_sentence(look, case, tmp_path, monkeypatch):
    program = tmp_path / "timedatectl"
    says = "System has not been booted with systemd as init system (PID 1). Can't operate."
    program.write_text(f'#!/bin/sh\necho "{says}" >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    told = "timedatectl does not tell: System has not been booted with systemd as init system"
    assert look("clock", case()).message == told


def test_without_timedatectl_the_clock_is_left_out(look, case, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look("clock", case()).status == "skip"


def test_a_clock_that_is_set_meanwhile_is_told(look, case, monkeypatch):
    assert look("clock-steps", case()).status == "ok"
    times = iter([1000.0, 1005.0])
    monkeypatch.setattr("time.time", lambda: next(times))
    assert look("clock-steps", case()).status == "warn"
