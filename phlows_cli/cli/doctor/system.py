"""The machine: descriptors, ports, memory, the kernel, the clock."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.doctor.check import Case, Check, Result, ok, skip, warn
from phlows_cli.cli.doctor.check import fail as failed
from phlows_cli.cli.output import plural

if TYPE_CHECKING:
    from pathlib import Path

GROUP: Final = "System"

KEPT_DESCRIPTORS: Final = 256
"""What a broker keeps for its bridge and its hooks; a test holds it to the service's."""

FEW_SOCKETS: Final = 1024
FEW_PORTS: Final = 10_000
BYTES_A_SOCKET: Final = 16 * 1024
"""What a quiet socket takes at most, of the broker and the kernel: a generous figure."""

MEMORY_SHARE: Final = 0.8
_MOST: Final = 1_048_576
_NOT_HERE: Final = "this system does not tell (it has no /proc)"


def room_for_sockets(case: Case) -> tuple[int, int]:
    """How many sockets descriptors allow, and how many the configuration names (0: all)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else hard
    hosts = max((host.max_connections for host in case.config.hosts.values()), default=0)
    return max(0, most - KEPT_DESCRIPTORS), max(case.config.limits.max_connections, hosts)


def _descriptors(case: Case, _subject: str) -> Result:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room, wanted = room_for_sockets(case)
    seen = f"{_limit(soft)} soft, {_limit(hard)} hard: {plural(room, 'socket')} at most"
    need = (wanted or FEW_SOCKETS) + KEPT_DESCRIPTORS
    hint = f"raise the hard limit: `ulimit -Hn {need}` as root, or LimitNOFILE={need} in the unit"
    if wanted > room:
        return failed(f"{seen}, but max_connections is {wanted}", hint)
    return warn(seen, hint) if room < FEW_SOCKETS else ok(seen)


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _backlog(case: Case, _subject: str) -> Result:
    from phlows_cli.server.listener import BACKLOG

    text = _read(case.proc / "sys/net/core/somaxconn")
    if not text:
        return skip(_NOT_HERE)
    seen = f"net.core.somaxconn is {text}; the broker asks for {BACKLOG}"
    if int(text) >= BACKLOG:
        return ok(seen)
    return warn(
        f"{seen}: in a storm of connections some are refused",
        f"`sysctl -w net.core.somaxconn={BACKLOG}`, and the same line in /etc/sysctl.d",
    )


def _ports(case: Case, _subject: str) -> Result:
    listens = case.config.server.listen
    if all(address.startswith("unix:") for address in listens):
        return skip("the broker listens on a unix socket alone, which uses no ports")
    text = _read(case.proc / "sys/net/ipv4/ip_local_port_range")
    if not text:
        return skip(_NOT_HERE)
    low, high = map(int, text.split())
    count = high - low + 1
    _, wanted = room_for_sockets(case)
    seen = f"{count} ports: so many sockets a proxy on this machine can hand to one address"
    if count >= (wanted or FEW_PORTS):
        return ok(seen)
    return warn(
        f"{seen}, fewer than the {wanted or FEW_PORTS} expected",
        '`sysctl -w net.ipv4.ip_local_port_range="1024 65535"`, or let the proxy come over a'
        ' unix socket (server.listen = "unix:/run/phlows/phlows.sock")',
    )


def _memory(case: Case, _subject: str) -> Result:
    limits = [size for size in (_total_memory(), _cgroup_limit(case)) if size]
    if not limits:
        return skip("neither the machine nor a control group tells how much memory there is")
    room, wanted = room_for_sockets(case)
    sockets = wanted or min(room, 100_000)
    need = sockets * BYTES_A_SOCKET + case.config.limits.send_total
    seen = f"{_mib(min(limits))} for {plural(sockets, 'socket')} that may need {_mib(need)}"
    if need <= MEMORY_SHARE * min(limits):
        return ok(seen)
    fits = int(MEMORY_SHARE * min(limits) - case.config.limits.send_total) // BYTES_A_SOCKET
    lower = f"limits.max_connections = {max(fits, 1)}" if fits > 0 else "a lower limits.send_total"
    return warn(seen, f"give it more (MemoryMax= of the unit), or set {lower}")


def _total_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def _cgroup_limit(case: Case) -> int:
    """Find the least limit of the groups this process is in; 0 when there is none."""
    found = []
    for line in _read(case.proc / "self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        place, name = case.sys / "fs/cgroup", "memory.max"
        if kinds:
            if "memory" not in kinds.split(","):
                continue
            place, name = place / "memory", "memory.limit_in_bytes"
        folder = place / path.lstrip("/")
        found += [_read(each / name) for each in (folder, *folder.parents) if each >= place]
    limits = [int(text) for text in found if text.isdecimal()]
    return min((limit for limit in limits if limit < 1 << 60), default=0)


def _mib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _pidfd(_case: Case, _subject: str) -> Result:
    if sys.platform != "linux":
        return skip(f"pidfd is of Linux; on {sys.platform} the end of a process is a signal")
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError) as error:
        return warn(
            f"this kernel has no pidfd ({error}): ends of processes are seen by a signal, later",
            "use Linux 5.3 or newer, or allow the system call pidfd_open in the container",
        )
    return ok("the kernel tells of the end of a process at once (pidfd)")


def _uvloop(_case: Case, _subject: str) -> Result:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ok(f"uvloop {version('uvloop')}")
    except PackageNotFoundError:
        return warn(
            "uvloop is not installed: the broker runs on asyncio's own loop, at half the speed",
            f"`{sys.executable} -m pip install uvloop`",
        )


def _clock(case: Case, _subject: str) -> Result:
    from phlows_cli.cli.doctor.programs import run

    program = shutil.which("timedatectl")
    if program is None:
        return skip("there is no timedatectl to ask; --public compares the clock with a server's")
    command = [program, "show", "--property=NTPSynchronized", "--value"]
    told = run(command, case.timeout)
    if told.code or told.stdout.strip() not in ("yes", "no"):
        return skip(f"timedatectl does not tell: {_clause(told.words) or 'it says nothing'}")
    if told.stdout.strip() == "yes":
        return ok("synchronised by NTP")
    return warn(
        "not synchronised: times in logs and certificates drift", "`timedatectl set-ntp true`"
    )


def _clause(words: str) -> str:
    """The beginning of what a program says, up to where a sentence of it ends."""
    return words.partition(" (")[0].partition(". ")[0][:120].rstrip(".")


def _clocks_agree(_case: Case, _subject: str) -> Result:
    import time

    wall, steady = time.time(), time.monotonic()
    time.sleep(0.2)
    drift = (time.time() - wall) - (time.monotonic() - steady)
    seen = f"the wall clock and the monotonic one differ by {abs(drift) * 1000:.1f} ms in 200"
    if abs(drift) < 0.05:
        return ok(seen)
    return warn(seen, "the clock is being set in steps: let NTP slew it (chrony, timesyncd)")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(65_536).strip()
    except OSError:
        return ""


CHECKS: Final = (
    Check(GROUP, "descriptors", _descriptors),
    Check(GROUP, "backlog", _backlog),
    Check(GROUP, "ports", _ports),
    Check(GROUP, "memory", _memory),
    Check(GROUP, "pidfd", _pidfd),
    Check(GROUP, "uvloop", _uvloop),
    Check(GROUP, "clock", _clock),
    Check(GROUP, "clock-steps", _clocks_agree),
)
