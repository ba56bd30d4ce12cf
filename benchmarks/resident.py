"""Events through one resident worker that is kept busy, the same app for all."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks import contenders, native
from benchmarks.errors import MissingToolError
from benchmarks.oneshot import MESSAGE, REPLY
from benchmarks.process import Contender, free_port, running
from benchmarks.sockets import upgraded
from benchmarks.tools import PEERS, install_ws, node
from benchmarks.wire import upgrade_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.rounds import Round

SOCKETS: Final = 100


def phlows(app: Path) -> AbstractContextManager[Contender]:
    """One worker, so that what is compared is the way to it and back."""
    settings = f'app = "{app}"\nhooks = ["receive"]\nruntime = "resident"\nconcurrency = 1\n'
    return contenders.phlows(host=settings + "max_jobs = 1000000\n")


@contextmanager
def node_resident(app: Path) -> Iterator[Contender]:
    """The Node broker's shape: `ws`, a queue, one worker."""
    install_ws()
    php = shutil.which("php")
    if php is None:
        raise MissingToolError("there is no php to run the app")
    port = free_port()
    command = [node(), "node_resident.js", str(port), php, str(app)]
    with running(Contender("node ws", port), command, PEERS) as contender:
        yield contender


def measure(contender: Contender, seconds: float) -> Round:
    """One round: each socket sends again when its reply is there."""
    request = upgrade_request(contender.host)
    with upgraded(contender.port, SOCKETS, lambda _: request) as sockets:
        return native.ask(sockets, MESSAGE, REPLY, seconds)
