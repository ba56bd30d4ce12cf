"""What every test may rely on: the programs it names, and an event loop."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import resource
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `tests` is not installed

PROGRAMS = {
    "php": (("php-zts", "php"), "php-cli"),
    "fish": (("fish",), "fish"),
    "zsh": (("zsh",), "zsh"),
    "tmux": (("tmux",), "tmux"),
    "man": (("man",), "man-db"),
    "systemd": (("systemd-analyze",), "systemd"),
    "nginx": (("nginx",), "nginx"),
    "supervisor": (("supervisord",), "supervisor"),
    "caddy": (("caddy",), "caddy"),
    "node": (("node",), "nodejs"),
    "cc": (("cc",), "build-essential"),
    "browser": (("google-chrome", "chromium-browser", "chromium"), "chromium"),
}
"""Marker -> the commands of which one must be there, and Debian's package for it."""

MODULES = {"browser": "playwright"}
"""Marker -> what its tests import, and other tests do not."""

PERSONAL = ("XDG_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES")
"""How the variables begin by which people suit programs to themselves."""

EVERYBODYS = {"SHELL": "/bin/bash", "TERM": "xterm-256color"}
"""What every terminal sets, and a machine that runs tests may not."""

STOPS = pytest.StashKey[list]()
"""What ends the things that a test has started, when it fails before it does so itself."""

TEST_TIMEOUT = 30.0
"""Seconds after which a test that waits for something is told that it never came."""


def pytest_configure():
    """Tests see the same variables, whoever runs them and where."""
    for name in [name for name in os.environ if name.startswith(PERSONAL)]:
        del os.environ[name]
    os.environ.update(EVERYBODYS)


def pytest_runtest_setup(item):
    for marker, (commands, package) in PROGRAMS.items():
        if item.get_closest_marker(marker) is None:
            continue
        if not any(map(shutil.which, commands)):
            leave_out(f"{commands[-1]} is missing: apt install {package}")
        module = MODULES.get(marker)
        if module is not None and find_spec(module) is None:
            leave_out(f"{module} is missing: pip install {module}")


def leave_out(reason):
    if os.environ.get("PHLOWS_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (PHLOWS_REQUIRE_ALL=1 allows no skipping)", pytrace=False)
    pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run `async def` tests, each on a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = pyfuncitem.funcargs
    arguments = {name: given[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run():
        try:
            async with asyncio.timeout(TEST_TIMEOUT):
                await pyfuncitem.obj(**arguments)
        except BaseException:
            # uvloop waits for ever on a loop that still watches a process
            for stop in pyfuncitem.stash.get(STOPS, ()):
                await stop()
            raise

    with asyncio.Runner(loop_factory=given.get("loop_factory")) as runner:
        runner.run(run())
    return True


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    """Asks for the test to be run on both kinds of event loop."""
    if request.param == "asyncio":
        return asyncio.new_event_loop
    return pytest.importorskip("uvloop").new_event_loop


@pytest.fixture
def no_error_is_logged(caplog):
    """What fails in the background is only logged: here it fails the test, too."""
    yield
    errors = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, "\n".join(f"{r.name}: {r.getMessage()}\n{r.exc_text}" for r in errors)


@pytest.fixture
def this_process():
    """Undo what a broker does to the process that it has for itself."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    thresholds, on_child = gc.get_threshold(), signal.getsignal(signal.SIGCHLD)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    signal.signal(signal.SIGCHLD, on_child)
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


class Log(logging.Handler):
    """Calls back with each record of a message."""

    def __init__(self, **wanted):
        super().__init__()
        self.wanted = wanted

    def emit(self, record):
        call = self.wanted.get(record.getMessage().replace(" ", "_"))
        if call is not None:
            call(record)


@pytest.fixture
def on_log():
    """on_log(message_with_underscores=function): follow the log of the service."""
    log = logging.getLogger("phlows.service")
    level, handlers = log.level, list(log.handlers)
    log.setLevel(logging.INFO)
    yield lambda **wanted: log.addHandler(Log(**wanted))
    log.handlers[:] = handlers
    log.setLevel(level)
