"""A contender's process: started, waited for, ended whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from benchmarks.cores import pin_contender
from benchmarks.dialects import Envelope
from benchmarks.errors import FAILURES, BenchmarkError, ContenderError, StartError
from benchmarks.sockets import Exchange
from benchmarks.wire import post_request, upgrade_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.dialects import Channels

HOST: Final = "bench.test"
PROBE_HOST: Final = "probe.test"
_START: Final = 15.0
_STOP: Final = 5.0
_SAID_LIMIT: Final = 2000
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG
_PORTS: Final = range(20_000, 32_768)
"""Below those that Linux hands out by itself, and above what services use most."""


@dataclass(slots=True)
class Contender:
    """A running broker: where it is, and how it is asked."""

    name: str
    port: int
    pid: int = 0
    collects: bool = False
    """Whether `POST /gc` makes it drop its garbage."""
    host: str = HOST
    cast_port: int = 0
    """Where casts go; by default to the same port."""
    speech: Envelope | Channels = field(default_factory=lambda: Envelope(HOST))
    lists_sockets: bool = False
    """Whether it tells its sockets' ids, so that one can be a target."""
    key: bytes = b""
    address: str = field(init=False)

    def __post_init__(self) -> None:
        self.cast_port = self.cast_port or self.port
        self.address = f"127.0.0.1:{self.cast_port}"

    @property
    def probe_request(self) -> bytes:
        """The handshake of a socket that no cast to `all` reaches."""
        return upgrade_request(PROBE_HOST)

    def cast(self, target: str, data: bytes) -> bytes:
        """A request that casts."""
        return self.speech.cast(self.address, target, data)

    def processes(self) -> list[int]:
        """Its own process and those it has started, as far as they run."""
        found = [self.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def processor_time(self) -> float:
        """Seconds of processor that all of them took so far, ended ones included."""
        ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text()
                ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes, after its garbage is gone where it can be told to."""
        if self.collects:
            self._collect()
        return sum(_resident(pid) for pid in self.processes())

    def _collect(self) -> None:
        with contextlib.closing(Exchange(self.cast_port)) as exchange:
            exchange.ask(post_request(self.address, "/gc"))


def _resident(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    line = next(line for line in rollup.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


def free_port() -> int:
    """A loopback port that was free just now, and that the system hands to nobody."""
    for port in random.sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise BenchmarkError(f"100 ports of {_PORTS[0]} to {_PORTS[-1]} are in use")


@contextlib.contextmanager
def running(
    contender: Contender,
    command: list[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Contender]:
    """A process for as long as the block runs; on the contenders' core, if there is one."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_prepare,  # noqa: PLW1509 (there are no threads here)
        )
        try:
            contender.pid = process.pid
            _come_up(contender, process)
            yield contender
        except FAILURES as error:
            log.seek(0)
            said = log.read()[-_SAID_LIMIT:].decode(errors="replace").strip()
            if _is_about(contender, error) or process.poll() is not None:
                error.add_note(f"{contender.name} said: {said or 'nothing'}")
            raise
        finally:
            _stop(process)


def _is_about(contender: Contender, error: Exception) -> bool:
    """Whether it failed while this one was measured, or before any was."""
    notes = "".join(getattr(error, "__notes__", []))
    return not notes or contender.name in notes


def _prepare() -> None:
    pin_contender()
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def _come_up(contender: Contender, process: subprocess.Popen[bytes]) -> None:
    try:
        _wait_until_it_answers(contender, process)
    except FAILURES as error:
        raise StartError(contender.name, str(error)) from error


def _wait_until_it_answers(contender: Contender, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + _START
    while process.poll() is None and monotonic() < deadline:
        try:
            with contextlib.closing(Exchange(contender.cast_port)) as exchange:
                exchange.ask(contender.cast("all", b"{}"))
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
