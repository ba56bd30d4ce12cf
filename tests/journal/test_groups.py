from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.journal import groups as groups_module
from phlows_cli.journal.groups import Group, Groups, end_group, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="notes processes on Linux only")

OURS = {"PHLOWS_HOST": "app.test", "PATH": os.environ["PATH"]}


@pytest.fixture
def start():
    """Starts a shell in a group of its own; whatever is left of it is killed."""
    started = []

    def start(script, env=OURS):
        process = subprocess.Popen(
            ["sh", "-c", script], env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "groups"


def left(path):
    """What the next broker finds."""
    after = Groups(path)
    after.forget_left_behind()
    after.close()
    return after.left_behind


def test_what_is_noted_is_found_by_the_next_broker_once(path, start):
    first = Groups(path)
    process = start("echo up; sleep 300")
    first.add(process.pid)
    first.add(1234567)
    first.discard(1234567)
    first.discard(7654321)
    found = left(path)
    assert [group.id for group in found] == [process.pid]
    assert is_alive(found[0])
    assert left(path) == []


def test_what_was_not_ended_yet_is_found_by_the_one_after_that_too(path):
    Groups(path).add(42)
    killed_at_its_start = Groups(path)
    killed_at_its_start.add(43)
    assert [group.id for group in left(path)] == [42, 43]
    assert left(path) == []


def test_a_group_is_ended_with_what_its_leader_left(path, start):
    notes = Groups(path)
    process = start("sleep 300 & echo up; sleep 300")
    notes.add(process.pid)
    (group,) = left(path)
    assert end_group(group, signal.SIGKILL)
    process.wait()
    last = time.monotonic() + 30
    while end_group(group, signal.SIGKILL):  # the child that it left dies when it gets to
        assert time.monotonic() < last


def test_a_leader_that_is_gone_does_not_hide_its_children(path, start):
    notes = Groups(path)
    process = start("sleep 300 & echo up")
    notes.add(process.pid)
    process.wait()
    (group,) = left(path)
    assert is_alive(group)
    assert end_group(group, signal.SIGKILL)


def test_another_process_with_the_same_id_is_left_alone(start):
    process = start("echo up; sleep 300")
    assert not is_alive(Group(process.pid, 1.0))
    assert not end_group(Group(process.pid, 1.0), signal.SIGKILL)
    assert process.poll() is None


def test_a_strangers_child_in_a_group_of_the_same_id_is_left_alone(start):
    process = start("sleep 300 & echo up", env={"PATH": os.environ["PATH"]})
    process.wait()
    group = Group(process.pid, groups_module._now())
    assert not end_group(group, signal.SIGKILL)
    os.killpg(process.pid, signal.SIGKILL)


def test_nothing_is_left_after_the_machine_was_started_anew(path, start, monkeypatch, tmp_path):
    notes = Groups(path)
    notes.add(start("echo up; sleep 300").pid)
    other = tmp_path / "boot_id"
    other.write_text("another")
    monkeypatch.setattr(groups_module, "BOOT_ID", other)
    assert left(path) == []


def test_a_file_of_something_else_is_taken_over(path):
    path.parent.mkdir()
    path.write_bytes(b"x" * 1_000_000)
    assert left(path) == []
    notes = Groups(path)
    notes.add(42)
    assert [group.id for group in left(path)] == [42]


def test_more_groups_than_there_is_room_for_are_not_noted(path, monkeypatch):
    monkeypatch.setattr(groups_module, "SLOTS", 3)
    notes = Groups(path)
    for group in range(1, 6):
        notes.add(group)
    found = [group.id for group in left(path)]
    assert found == list(range(1, len(found) + 1))
    assert 0 < len(found) <= 3


def test_a_place_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"groups: .*; set server\.state_dir"):
        Groups(tmp_path / "file" / "groups")
