"""The process around the broker: descriptors, time, a watched file."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from types import SimpleNamespace

import pytest

from phlows_cli import system
from phlows_cli.system import FileWatch, FolderWatch, Ticker
from tests.fakes import FakeClock


@pytest.mark.parametrize(
    ("soft", "hard", "works", "expected"),
    [
        (1024, 4096, True, 4096),
        (4096, 4096, True, 4096),
        (1024, resource.RLIM_INFINITY, True, 1_048_576),
        (1024, resource.RLIM_INFINITY, False, 1024),
    ],
)
def test_all_descriptors_are_used_that_the_system_allows(monkeypatch, soft, hard, works, expected):
    def setrlimit(_, limits):
        if not works:
            raise ValueError("not allowed to raise maximum limit")
        assert limits == (expected, hard)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert system.raise_descriptor_limit() == expected


class FakeLoop:
    """Timers that fire when the test lets time pass."""

    def __init__(self):
        self.clock = FakeClock(0.0)
        self.timers = []

    def time(self):
        return self.clock()

    def call_later(self, delay, call):
        at = self.clock() + delay
        timer = SimpleNamespace(at=at, call=call, when=lambda: at)
        timer.cancel = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        end = self.clock() + seconds
        while due := [timer for timer in self.timers if timer.at <= end + 1e-9]:
            self.timers.remove(due[0])
            self.clock.now = max(self.clock.now, due[0].at)
            due[0].call()
        self.clock.now = end


@pytest.fixture
def loop(monkeypatch):
    loop = FakeLoop()
    monkeypatch.setattr(system.asyncio, "get_running_loop", lambda: loop)
    return loop


def test_a_ticker_calls_each_tick_and_each_second(loop):
    ticks, seconds = [], []
    ticker = Ticker(0.25, lambda: ticks.append(loop.time()), lambda: seconds.append(loop.time()))
    loop.advance(3)
    assert len(ticks) == 12
    assert seconds == [1.0, 2.0, 3.0]
    ticker.stop()
    loop.advance(3)
    assert len(ticks) == 12
    assert loop.timers == []


def test_a_failing_tick_does_not_stop_the_clock(loop):
    ticks = []

    def fail():
        ticks.append(1)
        raise ValueError("in a tick")

    Ticker(1.0, fail, lambda: None)
    for _ in range(3):
        with pytest.raises(ValueError, match="in a tick"):
            loop.advance(1)
    assert len(ticks) == 3


def test_uvloop_is_used_where_it_exists(monkeypatch):
    uvloop = pytest.importorskip("uvloop")
    assert system.loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert system.loop_factory() is None


def test_a_tick_that_comes_late_tells_by_how_much(loop):
    ticker = Ticker(0.25, lambda: None, lambda: None)
    assert ticker.lag == 0.0
    (timer,) = loop.timers
    loop.timers.remove(timer)
    loop.clock.now = 2.0
    timer.call()
    assert ticker.lag == 1.75
    loop.advance(0.25)
    assert ticker.lag == 0.0


def test_another_interval_holds_from_the_next_tick_on(loop):
    ticks = []
    ticker = Ticker(1.0, lambda: ticks.append(loop.time()), lambda: None)
    ticker.interval = 0.5
    loop.advance(2)
    assert ticks == [1.0, 1.5, 2.0]


async def test_on_a_real_loop_the_lag_is_what_blocked_it(loop_factory):
    ticked = asyncio.Event()
    ticker = Ticker(0.001, ticked.set, lambda: None)
    await ticked.wait()
    ticker.stop()
    assert 0.0 <= ticker.lag < 5.0


# The watched file


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text("[server]\n")
    return path


def looks(watch, number=3):
    return [watch.has_changed() for _ in range(number)]


def test_a_file_that_nobody_touches_has_not_changed(file):
    assert not any(looks(FileWatch(file)))


def test_a_change_counts_once_and_when_the_file_has_been_at_rest_for_a_look(file):
    watch = FileWatch(file)
    file.write_text("[server]\nport = 1\n")
    assert looks(watch) == [False, True, False]


def test_a_file_that_is_still_being_written_does_not_count_yet(file):
    watch = FileWatch(file)
    with file.open("a") as half:
        for line in ("port = 1", "[hosts]", "[hosts.one]"):
            half.write(f"{line}\n")
            half.flush()
            assert not watch.has_changed(), line
    assert looks(watch) == [True, False, False]


def test_a_file_that_replaces_it_counts_even_with_the_same_size_and_time(file, tmp_path):
    watch = FileWatch(file)
    other = tmp_path / "other"
    other.write_text("[bridge]\n")
    known = file.stat()
    os.utime(other, ns=(known.st_atime_ns, known.st_mtime_ns))
    other.rename(file)
    assert looks(watch) == [False, True, False]


def test_a_file_that_is_gone_does_not_count_until_it_is_back(file):
    watch = FileWatch(file)
    kept = file.with_name("kept")
    file.rename(kept)
    assert not any(looks(watch))
    kept.rename(file)
    assert not any(looks(watch)), "it is the one that is known"
    file.unlink()
    assert not any(looks(watch))
    file.write_text("[server]\nport = 2\n")
    assert looks(watch) == [False, True, False]


def test_a_change_that_was_accepted_does_not_count_again(file):
    watch = FileWatch(file)
    file.write_text("[server]\nport = 1\n")
    watch.accept()
    assert not any(looks(watch))


def test_a_file_that_is_as_it_was_again_has_not_changed(file):
    watch = FileWatch(file)
    known = file.stat()
    file.write_text("[server]\nport = 1\n")
    assert not watch.has_changed()
    file.write_text("[server]\n")
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert not any(looks(watch))


def test_a_broker_without_a_file_watches_nothing():
    assert not any(looks(FileWatch(None)))


# The watched folder of an app


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "www"
    for name in ("lib", ".git", "vendor", "node_modules", "lib/__pycache__"):
        (folder / name).mkdir(parents=True)
    path = folder / "app.php"
    path.write_text("<?php 1;")
    (folder / "lib" / "chat.php").write_text("<?php 2;")
    return path


def test_an_app_that_nobody_touches_has_not_changed(app):
    assert not any(looks(FolderWatch(app)))


@pytest.mark.parametrize("name", ["app.php", "lib/chat.php"])
def test_a_changed_file_of_an_app_counts_once(app, name):
    watch = FolderWatch(app)
    (app.parent / name).write_text("<?php 3; // longer")
    assert looks(watch) == [False, True, False]


@pytest.mark.parametrize("name", ["new.php", "lib/new.phlo", "lib/deep/new.inc", "new.py"])
def test_a_new_file_counts(app, name):
    watch = FolderWatch(app)
    path = app.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    assert looks(watch) == [False, True, False]


def test_a_file_that_was_removed_or_renamed_counts(app):
    watch = FolderWatch(app)
    chat = app.parent / "lib" / "chat.php"
    chat = chat.rename(chat.with_name("talk.php"))
    assert looks(watch) == [False, True, False]
    chat.unlink()
    assert looks(watch) == [False, True, False]


@pytest.mark.parametrize(
    "name",
    [
        "data.sqlite",
        "chat.log",
        "page.html",
        ".git/hook.php",
        ".#app.php",
        "vendor/package.php",
        "node_modules/package.py",
        "lib/__pycache__/chat.py",
        "../other.php",
    ],
)
def test_what_is_no_code_of_the_app_does_not_count(app, name):
    watch = FolderWatch(app)
    (app.parent / name).write_text("1")
    assert not any(looks(watch))
    app.write_text("<?php 3; // longer")
    assert any(looks(watch)), "it does look"


def test_an_app_with_a_suffix_of_its_own_has_others_beside_it(app):
    watch = FolderWatch(app.with_suffix(".sh"))
    app.with_name("other.sh").write_text("exit")
    assert looks(watch) == [False, True, False]


def test_a_deployment_that_still_writes_does_not_count_yet(app):
    watch = FolderWatch(app)
    for number in range(3):
        (app.parent / f"new{number}.php").write_text("<?php")
        assert not watch.has_changed(), number
    assert looks(watch) == [True, False, False]


def test_an_app_in_a_folder_that_a_link_names_is_changed_by_another_link(tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "app.py").write_text("1")
    link = tmp_path / "current"
    link.symlink_to("one")
    watch = FolderWatch(link / "app.py")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    assert looks(watch) == [False, True, False]


def test_an_app_that_is_gone_for_a_while_is_looked_for(app):
    watch = FolderWatch(app)
    kept = app.with_name("kept.txt")
    app.rename(kept)
    looks(watch)
    kept.rename(app)
    assert looks(watch) == [False, True, False]


def test_no_more_files_are_looked_at_than_can_be_in_a_moment(app, monkeypatch):
    monkeypatch.setattr(system, "FILES_WATCHED", 3)
    for number in range(9):
        (app.parent / "lib" / f"{number}.php").write_text("")
    watch = FolderWatch(app)
    (app.parent / "lib" / "8.php").write_text("changed")
    assert not any(looks(watch)), "one of those left out"
    app.write_text("<?php 3; // longer")
    assert looks(watch) == [False, True, False]
