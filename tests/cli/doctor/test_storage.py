from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from phlows_cli.cli.doctor import storage
from phlows_cli.journal.journal import Entry
from phlows_cli.journal.store import Store, insertion


def seen(folder):
    return {(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()}


def test_a_state_folder_that_can_be_written_is_ok_and_stays_as_it_is(look, case, tmp_path):
    given = case()
    before = seen(tmp_path / "state")
    for name in ("state-dir", "disk-space", "disk-speed", "journal"):
        assert look(name, given).status == "ok", name
    assert seen(tmp_path / "state") == before


def test_a_state_folder_that_is_not_there_yet_is_not_made(look, case, tmp_path):
    given = case()
    (tmp_path / "state").rmdir()
    result = look("state-dir", given)
    assert (result.status, "can be made in" in result.message) == ("ok", True)
    assert not (tmp_path / "state").exists()


def test_a_state_folder_that_cannot_be_written_fails_and_says_what_to_do(
    look, case, tmp_path, monkeypatch
):
    given = case()
    (tmp_path / "state").chmod(0o500)
    if os.geteuid() == 0:  # root may write anywhere: ask as the rules would be for others
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    result = look("state-dir", given)
    assert result.status == "fail"
    assert "chown" in result.hint
    assert look("disk-speed", given).status == "skip"


def test_a_state_folder_of_another_user_is_told(look, case, monkeypatch):
    given = case()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    result = look("state-dir", given)
    assert (result.status, "sudo -u" in result.hint) == ("warn", True)


def test_a_file_in_the_folder_s_place_is_a_failure(look, case, tmp_path):
    given = case()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("")
    assert look("state-dir", given).status == "fail"


def test_a_read_only_file_system_is_a_failure(look, case, monkeypatch):
    given = case()
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    result = look("state-dir", given)
    assert (result.status, "read-only" in result.message) == ("fail", True)


@pytest.mark.parametrize(
    ("free", "inodes", "status"), [(4, 9999, "fail"), (50, 9999, "warn"), (500, 7, "warn")]
)
def test_a_disk_that_is_nearly_full_is_told(look, case, monkeypatch, free, inodes, status):
    given = case()
    full = SimpleNamespace(f_bavail=free, f_frsize=1 << 20, f_files=10_000, f_favail=inodes)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert look("disk-space", given).status == status


def test_a_slow_disk_is_told(look, case, monkeypatch):
    monkeypatch.setattr(storage, "SLOW_FSYNC", 0.0)
    assert look("disk-speed", case()).status == "warn"


def test_a_full_disk_takes_no_file_and_is_not_measured(look, case, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = look("disk-speed", case())
    assert (result.status, "No space left" in result.message) == ("skip", True)


@pytest.mark.parametrize(
    ("kind", "journal", "status"),
    [("ext4", "sqlite", "ok"), ("nfs4", "sqlite", "fail"), ("fuse.sshfs", "memory", "warn")],
)
def test_a_network_file_system_is_no_place_for_a_journal(
    look, case, tmp_path, kind, journal, status
):
    mounts = tmp_path / "proc/self/mountinfo"
    mounts.parent.mkdir(parents=True)
    mounts.write_text(
        "21 1 8:1 / / rw - ext3 /dev/a rw\n"
        f"22 21 8:2 / {tmp_path} rw,relatime shared:1 - {kind} host:/x rw\n"
        "not a mount\n"
    )
    given = case(server=f'journal = "{journal}"', proc=tmp_path / "proc")
    result = look("file-system", given)
    assert result.status == status
    assert kind in result.message


def test_without_proc_the_file_system_is_not_known(look, case, tmp_path):
    assert look("file-system", case(proc=tmp_path / "none")).status == "skip"


def test_close_hooks_that_are_owed_are_counted_in_a_copy(look, case, tmp_path):
    given = case()
    path = tmp_path / "state" / "journal-3001.db"
    store = Store(path)
    store.write([insertion(Entry("a" * 16, "h", "t", 1.0, 0, ""))])
    before = seen(tmp_path / "state")
    result = look("journal", given)  # while a broker has it open
    assert (result.status, "1 sockets are owed" in result.message) == ("ok", True)
    assert seen(tmp_path / "state") == before
    store.write([insertion(Entry("b" * 16, "h", "t", 1.0, 9, ""), given_up=True)])
    result = look("journal", given)
    store.close()
    assert (result.status, "1 were given up" in result.message) == ("warn", True)
    assert "phlows orphans" in result.hint


def test_a_file_that_is_no_journal_is_a_failure(look, case, tmp_path):
    given = case()
    path = tmp_path / "state" / "journal-3001.db"
    path.write_bytes(b"no database" * 500)
    result = look("journal", given)
    assert result.status == "fail"
    assert f"mv {path} {path}.bad" in result.hint


def test_an_empty_database_is_a_failure_too(look, case, tmp_path):
    given = case()
    with closing(sqlite3.connect(tmp_path / "state" / "journal-3001.db")) as database:
        database.execute("CREATE TABLE other (x)")
    assert look("journal", given).status == "fail"


def test_a_huge_journal_is_not_copied(look, case, tmp_path, monkeypatch):
    given = case()
    (tmp_path / "state" / "journal-3001.db").write_bytes(b"x" * 100)
    monkeypatch.setattr(storage, "COPY_LIMIT", 10)
    assert look("journal", given).status == "warn"


def test_a_journal_in_memory_is_what_was_asked_for(look, case):
    result = look("journal", case(server='journal = "memory"'))
    assert (result.status, "in memory" in result.message) == ("ok", True)


def own(folder, options):
    """The command that gives what it runs next a file system at a folder."""
    mount = f'mount -t tmpfs -o {options} none {folder} && exec "$@"'
    return ["unshare", "-rm", "sh", "-c", mount, "sh"]


def may_mount(folder):
    done = subprocess.run([*own(folder, "ro"), "true"], capture_output=True, check=False)
    return done.returncode == 0


def found_here(fits):
    """A folder on a file system that this machine has, as one in a container has several."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    places = (Path(line.split()[4]) for line in mounts)
    return next(place for place in places if place.is_dir() and fits(os.statvfs(place)))


@pytest.mark.skipif(sys.platform != "linux", reason="a file system is mounted as Linux does")
@pytest.mark.parametrize(
    ("options", "name", "fits"),
    [
        ("size=4m", "disk-space", lambda system: not system.f_bavail),
        ("ro", "state-dir", lambda system: system.f_flag & os.ST_RDONLY),
    ],
)
def test_a_real_full_disk_and_a_real_read_only_one_are_seen(environ, tmp_path, options, name, fits):
    """On one of this test alone, or where this user may not mount any, on one that is there."""
    is_own = may_mount(tmp_path)
    place = tmp_path / "disk" if is_own else found_here(fits)
    if is_own:
        place.mkdir()
    config = tmp_path / "phlows.toml"
    config.write_text(f'[server]\nstate_dir = "{place}"\n')
    doctor = [sys.executable, "-m", "phlows_cli", "doctor", "--only", "System", "--json"]
    command = [*(own(place, options) if is_own else ()), *doctor, "--config", str(config)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    found = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, found[name]) == (1, "fail")
