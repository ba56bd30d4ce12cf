from __future__ import annotations

import fcntl
import os
import threading

import pytest

from phlows_cli import whole_file
from phlows_cli.errors import TimedOutError
from phlows_cli.whole_file import FileError, rewrite


def append(text):
    return lambda before: (before or b"") + text


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old ")
    return path


def test_a_change_is_written_and_leaves_nothing_beside_it(file):
    rewrite(file, append(b"new"))
    assert file.read_bytes() == b"old new"
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_a_missing_file_is_made_with_the_mode_that_the_umask_leaves(tmp_path):
    umask = os.umask(0o027)
    try:
        rewrite(tmp_path / "file", append(b"new"))
    finally:
        os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o460])
def test_the_mode_is_kept(file, mode):
    file.chmod(mode)
    rewrite(file, append(b"new"))
    assert file.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept(file):
    os.chown(file, 4242, 4243)
    rewrite(file, append(b"new"))
    assert (file.stat().st_uid, file.stat().st_gid) == (4242, 4243)


def test_a_link_stays_and_what_it_names_is_written(file, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to("../file")
    rewrite(link, append(b"new"))
    assert link.is_symlink()
    assert file.read_bytes() == b"old new"
    assert [path.name for path in folder.iterdir()] == ["link"]


def test_a_change_that_fails_writes_nothing(file):
    def change(_before):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        rewrite(file, change)
    assert file.read_bytes() == b"old "
    assert [path.name for path in file.parent.iterdir()] == ["file"]


def test_an_unchanged_content_leaves_the_very_same_file(file):
    inode = file.stat().st_ino
    rewrite(file, lambda before: before)
    assert file.stat().st_ino == inode


def test_what_an_editor_wrote_meanwhile_is_not_lost(file):
    def change(before):
        file.write_bytes(b"from an editor")
        return before + b"new"

    with pytest.raises(FileError, match="changed by another program"):
        rewrite(file, change)
    assert file.read_bytes() == b"from an editor"
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["fifo", "folder", "no folder", "loop"])
def test_what_cannot_be_written_is_an_error_that_names_it(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("x")
    else:
        path = tmp_path / "missing" / "x"
    with pytest.raises(FileError, match="missing" if kind == "no folder" else "x"):
        rewrite(path, append(b"new"))


def test_writers_at_once_all_land(file):
    start = threading.Barrier(16)

    def write(letter):
        start.wait()
        rewrite(file, append(letter))

    letters = [bytes([65 + number]) for number in range(16)]
    threads = [threading.Thread(target=write, args=(letter,)) for letter in letters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(file.read_bytes().removeprefix(b"old ")) == sorted(b"".join(letters))


def test_a_writer_waits_for_the_one_before_it(file):
    folder = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    writer = threading.Thread(target=rewrite, args=(file, append(b"new")))
    writer.start()
    assert file.read_bytes() == b"old "
    os.close(folder)
    writer.join()
    assert file.read_bytes() == b"old new"


def test_a_lock_that_is_never_released_is_an_error_that_names_the_folder(file, monkeypatch):
    monkeypatch.setattr(whole_file, "LOCK_TIMEOUT", 0.05)
    folder = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(TimedOutError, match=str(file.parent)):
        rewrite(file, append(b"new"))
    os.close(folder)
    assert file.read_bytes() == b"old "
    # The thread that gave up must not keep what it was still waiting for.
    for thread in threading.enumerate():
        if thread.name.endswith("(_wait_for_lock)"):
            thread.join()
    rewrite(file, append(b"new"))
    assert file.read_bytes() == b"old new"
