"""The load generator's hot loops in C: compiled once a run, called with open sockets."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Final

from benchmarks.errors import CountError, MissingToolError
from benchmarks.rounds import Round, Spread

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_SOURCES: Final = Path(__file__).resolve().parent / "load"
_FLAGS: Final = ("-O2", "-fPIC", "-shared")
_Ints = ctypes.POINTER(ctypes.c_int)


class _Spread(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_double) for name in ("p50", "p99", "most")),
        ("count", ctypes.c_int64),
    ]


class _Outcome(ctypes.Structure):
    _fields_ = [
        ("elapsed", ctypes.c_double),
        ("count", ctypes.c_int64),
        ("pings", ctypes.c_int64),
        *((name, _Spread) for name in ("each", "last", "echo")),
        ("problem", ctypes.c_char * 400),
    ]


class _Casting(ctypes.Structure):
    _fields_ = [
        *((name, _Ints) for name in ("listeners", "lines")),
        *(
            (name, ctypes.c_char_p)
            for name in ("request", "frame", "receipt", "probe", "probe_echo")
        ),
        *((name, ctypes.c_int) for name in ("listener_count", "line_count", "receivers")),
        *(
            (name, ctypes.c_int)
            for name in ("request_size", "request_data", "frame_size", "frame_data")
        ),
        *((name, ctypes.c_int) for name in ("probe_fd", "probe_size", "probe_echo_size")),
        *((name, ctypes.c_double) for name in ("seconds", "rate", "probe_rate")),
    ]


class _Asking(ctypes.Structure):
    _fields_ = [
        ("lines", _Ints),
        *((name, ctypes.c_char_p) for name in ("request", "answer")),
        *(
            (name, ctypes.c_int)
            for name in ("line_count", "request_size", "answer_size", "is_http", "depth")
        ),
        ("seconds", ctypes.c_double),
    ]


class _Shaking(ctypes.Structure):
    _fields_ = [
        ("request", ctypes.c_char_p),
        ("fds", _Ints),
        *((name, ctypes.c_int) for name in ("request_size", "count", "under_way", "port")),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Casts:
    """A round of casts; without lines, only pings are answered."""

    listeners: Sequence[socket.socket]
    lines: Sequence[socket.socket]
    seconds: float
    request: bytes = b""
    request_data: int = 0
    """Where the data begins in the request."""
    frame: bytes = b""
    receipt: bytes = b""
    receivers: int = 0
    rate: float = 0.0
    probe: socket.socket | None = None
    probe_frames: tuple[bytes, bytes] = (b"", b"")
    """What the probe sends, and what must come back."""
    probe_rate: float = 0.0


@cache
def _library() -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingToolError("there is no C compiler for the load generator")
    with tempfile.TemporaryDirectory(prefix="phlows-bench-") as folder:
        library = Path(folder, "load.so")
        command = [compiler, *_FLAGS, "-o", str(library), *map(str, sorted(_SOURCES.glob("*.c")))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise MissingToolError(f"the load generator cannot be compiled: {done.stderr[-300:]}")
        return ctypes.CDLL(str(library))


def is_there() -> bool:
    """Whether there is a compiler for it."""
    try:
        _library()
    except MissingToolError:
        return False
    return True


def cast(plan: Casts) -> Round:
    """Raises CountError unless each delivery came once, whole and in order."""
    listeners, lines = _descriptors(plan.listeners), _descriptors(plan.lines)
    data_size = len(plan.frame) - (2 if len(plan.frame) < 128 else 4)
    given = _Casting(
        listeners=listeners,
        lines=lines,
        request=plan.request,
        frame=plan.frame,
        receipt=plan.receipt,
        probe=plan.probe_frames[0],
        probe_echo=plan.probe_frames[1],
        listener_count=len(plan.listeners),
        line_count=len(plan.lines),
        receivers=plan.receivers,
        request_size=len(plan.request),
        request_data=plan.request_data,
        frame_size=len(plan.frame),
        frame_data=len(plan.frame) - data_size,
        probe_fd=plan.probe.fileno() if plan.probe else -1,
        probe_size=len(plan.probe_frames[0]),
        probe_echo_size=len(plan.probe_frames[1]),
        seconds=plan.seconds,
        rate=plan.rate,
        probe_rate=plan.probe_rate,
    )
    return _run("load_cast", given)


def ask(
    lines: Sequence[socket.socket],
    request: bytes,
    answer: bytes,
    seconds: float,
    *,
    depth: int = 1,
    is_http: bool = False,
) -> Round:
    """Ask again as soon as an answer is there; each is looked at."""
    given = _Asking(
        lines=_descriptors(lines),
        request=request,
        answer=answer,
        line_count=len(lines),
        request_size=len(request),
        answer_size=len(answer),
        is_http=is_http,
        depth=depth,
        seconds=seconds,
    )
    return _run("load_ask", given)


def shake(port: int, request: bytes, count: int, under_way: int) -> tuple[Round, list[int]]:
    """Open so many sockets; they stay open, and are the caller's to close."""
    descriptors = (ctypes.c_int * count)()
    given = _Shaking(
        request=request,
        fds=descriptors,
        request_size=len(request),
        count=count,
        under_way=under_way,
        port=port,
    )
    try:
        return _run("load_shake", given), list(descriptors)
    except CountError:
        for each in descriptors:
            if each >= 0:
                os.close(each)
        raise


def _descriptors(sockets: Sequence[socket.socket]) -> ctypes.Array[ctypes.c_int]:
    return (ctypes.c_int * len(sockets))(*(each.fileno() for each in sockets))


def _run(name: str, plan: ctypes.Structure) -> Round:
    outcome = _Outcome()
    ran = process_time()
    failed = getattr(_library(), name)(ctypes.byref(plan), ctypes.byref(outcome))
    ran = process_time() - ran
    if failed:
        raise CountError(outcome.problem.decode(errors="replace"))
    return Round(
        count=outcome.count,
        rate=outcome.count / outcome.elapsed,
        busy=ran / outcome.elapsed,
        ran=ran,
        pings=outcome.pings,
        each=_spread(outcome.each),
        last=_spread(outcome.last),
        echo=_spread(outcome.echo),
    )


def _spread(told: _Spread) -> Spread:
    return Spread(told.p50 * 1000, told.p99 * 1000, told.most * 1000, told.count)
