"""A contender's process: started, waited for, ended whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from benchmarks.errors import BenchmarkError, ContenderError
from benchmarks.sockets import Exchange
from benchmarks.wire import cast_request, post_request

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST: Final = "bench.test"
_START: Final = 15.0
_STOP: Final = 5.0
_SAID_LIMIT: Final = 2000
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG


@dataclass(slots=True)
class Contender:
    """A running broker: where it is, and how it is asked."""

    name: str
    port: int
    pid: int = 0
    collects: bool = False
    """Whether `POST /gc` makes it drop its garbage."""
    host: str = HOST
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.address = f"127.0.0.1:{self.port}"

    def processor_time(self) -> float:
        """Seconds of processor taken so far, ended children included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes, after its garbage is gone where it can be told to."""
        if self.collects:
            self._collect()
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        line = next(line for line in rollup.splitlines() if line.startswith("Rss:"))
        return int(line.split()[1]) * 1024

    def _collect(self) -> None:
        with contextlib.closing(Exchange(self.port)) as exchange:
            exchange.ask(post_request(self.address, "/gc"))


def free_port() -> int:
    """A loopback port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(contender: Contender, command: list[str], folder: Path) -> Iterator[Contender]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (there are no threads here)
        )
        try:
            contender.pid = process.pid
            _wait_until_it_answers(contender, process)
            yield contender
        except (BenchmarkError, OSError) as error:
            log.seek(0)
            said = log.read()[-_SAID_LIMIT:].decode(errors="replace").strip()
            error.add_note(f"{contender.name} said: {said or 'nothing'}")
            raise
        finally:
            _stop(process)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _wait_until_it_answers(contender: Contender, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + _START
    while process.poll() is None and monotonic() < deadline:
        try:
            with contextlib.closing(Exchange(contender.port)) as exchange:
                exchange.ask(cast_request(contender.address, contender.host, b"{}"))
        except ConnectionRefusedError:
            sleep(0.02)
        else:
            return
    ended = process.poll()
    raise ContenderError(f"not up after {_START:g} s" if ended is None else f"ended with {ended}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
            return
