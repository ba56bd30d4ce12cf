"""How long one event takes through each way of running the same PHP app.

An open loop: messages are sent at a fixed rate whatever the replies do, and a
reply's time counts from when its message was due.
"""

from __future__ import annotations

import select
import shutil
import sys
import tempfile
from collections import deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from benchmarks.errors import ContenderError, MissingToolError
from benchmarks.oneshot import MESSAGE, is_replied
from benchmarks.process import Contender, free_port, running
from benchmarks.sockets import WAIT, upgraded
from benchmarks.wire import upgrade_request

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
CALM: Final = 10
BUSY: Final = 500
"""Events a second: what one-shot and single-use get, and what resident gets."""

CALM_SOCKETS: Final = 10
BUSY_SOCKETS: Final = 100
WARM_UP: Final = 0.5

APP: Final = """#!/usr/bin/env php
<?php
require '{sdk}';
function wsReceive($wsHost, $wsToken, $wsSocket, ...$data) {{ apply(ok: 1); }}
phlows_run();
"""

CONFIG: Final = """
[server]
port = {port}
state_dir = "{folder}/state"
[hosts."bench.test"]
hooks = []
[hosts."oneshot.test"]
app = "{app}"
hooks = ["receive"]
[hosts."single.test"]
app = "{app}"
hooks = ["receive"]
runtime = "resident"
max_jobs = 1
spare = 2
[hosts."resident.test"]
app = "{app}"
hooks = ["receive"]
runtime = "resident"
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One line of the figure: whom to ask how often."""

    name: str
    host: str
    rate: int
    sockets: int


LOADS: Final = (
    Load("phlows resident", "resident.test", BUSY, BUSY_SOCKETS),
    Load("phlows single-use", "single.test", CALM, CALM_SOCKETS),
    Load("phlows one-shot", "oneshot.test", CALM, CALM_SOCKETS),
)
PEER: Final = Load("node ws one-shot", "bench.test", CALM, CALM_SOCKETS)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds from when a message was due to its reply."""

    p50: float
    p99: float


def write_app(folder: Path) -> Path:
    """The PHP app that every contender runs."""
    if shutil.which("php") is None:
        raise MissingToolError("there is no php to run the app")
    app = folder / "app.php"
    app.write_text(APP.format(sdk=ROOT / "phlows_cli" / "assets" / "phlows.php"))
    app.chmod(0o755)
    return app


@contextmanager
def phlows(app: Path) -> Iterator[Contender]:
    """One broker with a host for each runtime."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        config = Path(folder, "phlows.toml")
        config.write_text(CONFIG.format(port=port, folder=folder, app=app))
        command = [sys.executable, "-m", "phlows_cli", "serve", "--config", str(config)]
        with running(Contender("phlows", port), command, ROOT) as contender:
            yield contender


def measure(port: int, load: Load, seconds: float) -> Times:
    """One round on fresh sockets; each message must get its reply."""
    request = upgrade_request(load.host)
    with ExitStack() as stack:
        sockets = stack.enter_context(upgraded(port, load.sockets, lambda _: request))
        poll = stack.enter_context(select.epoll())
        for each in sockets:
            poll.register(each, select.EPOLLIN)
        _send_at_rate(sockets, poll, load.rate, WARM_UP)
        return _percentiles(_send_at_rate(sockets, poll, load.rate, seconds))


def _send_at_rate(
    sockets: list[socket.socket], poll: select.epoll, rate: int, seconds: float
) -> list[float]:
    by_descriptor = {each.fileno(): each for each in sockets}
    due: dict[int, deque[float]] = {descriptor: deque() for descriptor in by_descriptor}
    begin, total = perf_counter(), max(2, round(rate * seconds))
    sent, times = 0, []
    while len(times) < total:
        while sent < total and begin + sent / rate <= perf_counter():
            each = sockets[sent % len(sockets)]
            each.sendall(MESSAGE)
            due[each.fileno()].append(begin + sent / rate)
            sent += 1
        until = begin + sent / rate - perf_counter() if sent < total else WAIT
        ready = poll.poll(max(0.0, until))
        if not ready and sent == total:
            raise ContenderError(f"no reply in {WAIT} s")
        now = perf_counter()
        for descriptor, _ in ready:
            replies = is_replied(by_descriptor[descriptor])
            times += [now - due[descriptor].popleft() for _ in range(replies)]
    return times


def _percentiles(times: list[float]) -> Times:
    ordered = sorted(times)
    last = len(ordered) - 1
    return Times(ordered[round(last * 0.5)] * 1000, ordered[round(last * 0.99)] * 1000)
