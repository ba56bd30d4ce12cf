"""A broker that things are done to: killed, stopped, frozen, its disk filled, its clock set."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests.chaos.plan import HOSTS
from tests.chaos.process import children, stat_fields
from tests.chaos.witness import ONE_SHOT, RESIDENT
from tests.conformance.program import Program
from tests.conformance.stream import DEADLINE

MODULE = "tests.chaos.jumping"
DISK = 2 << 20
"""Bytes of the file system that the journal is on."""

PING_INTERVAL = 0.5
TIMEOUT = 2.0
"""Seconds that a hook may take."""

LIMITS = {"message_rate": 40.0, "send_buffer": 65_536, "concurrency": 6, "auth_timeout": 2.0}
OTHER_LIMITS = {**LIMITS, "message_rate": 60.0, "queue": 400, "concurrency": 4}


class Arena:
    """The broker, the ledger of its apps, and the faults that come from outside."""

    def __init__(self, folder):
        self.folder = folder
        self.ledger = folder / "ledger"
        self.clock = folder / "clock"
        self.clock.write_text("0")
        self.dropped = Counter()
        self.lives = 1
        self.was_full = False
        self.state = folder / "broker" / "state"
        self.state.mkdir(parents=True)
        self.has_disk = mount(self.state)
        self._ballast = self.state / "ballast"
        self._turns = 0
        self.program = Program(
            folder / "broker",
            self.hosts(),
            {"CLOCK": str(self.clock)},
            watches=False,
            module=MODULE,
            server={"ping_interval": PING_INTERVAL, "drain_timeout": 10.0},
            limits=LIMITS,
        )

    def hosts(self, *, guest=True, timeout=TIMEOUT):
        """Two hosts with one process an event, and two with resident workers."""
        found = {}
        for name, auth in HOSTS.items():
            if name.startswith("guest") and not guest:
                continue
            is_resident = name in ("two.chaos", "guest.chaos")
            found[name] = {
                "app": RESIDENT if is_resident else ONE_SHOT,
                "runtime": "resident" if is_resident else "oneshot",
                "auth": auth,
                "token_cookie": "token",
                "timeout": timeout,
                "hooks": [*(["auth"] * (auth != "none")), "connect", "receive", "close"],
                "env": {"LEDGER": str(self.ledger), "STAGE": str(self.folder)},
            }
        return found

    # Ends of the broker

    def kill(self):
        """kill -9, and the next one at once; the clock is right again."""
        self.look_at_drops()
        self.program.process.kill()
        self._start_again()

    def kill_twice(self, share):
        """kill -9, and again while the next one is starting."""
        self.look_at_drops()
        self.program.process.kill()
        self._read_last_words()
        path = self.program.folder / "phlows.toml"
        command = [sys.executable, "-m", MODULE, "serve", "--config", str(path)]
        early = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.program.environ,
        )
        with suppress(subprocess.TimeoutExpired):
            early.wait(share)
        early.kill()
        early.wait()
        self._start_again()

    def stop(self):
        """SIGTERM, and the next one when it has ended in order."""
        self.look_at_drops()
        self.program.signal()
        code = self.program.wait()
        self._start_again()
        return [] if code == 0 else [f"a stop ended with {code}"]

    def _start_again(self):
        self._read_last_words()
        self.clock.write_text("0")
        self.program.start_again()
        self.lives += 1

    def _read_last_words(self):
        """See that a broker had nothing to say that tells of a fault of its own."""
        self.program.process.wait()
        self.program._reader.join(DEADLINE)
        self.program.check_words()
        self.program._checked[0] = 0

    def look_at_drops(self):
        """Add up what the lives of the broker have counted, asked just before each ends."""
        self.dropped.update(self.program.health()["dropped"])

    # Other faults

    def kill_hook(self, share):
        """kill -9 of a process that runs a hook, but not of its children."""
        found = sorted(children(self.program.pid))
        if found:
            with suppress(ProcessLookupError):
                os.kill(found[int(share * len(found))], signal.SIGKILL)

    def reload(self):
        """Other limits, another timeout, a host less or more; on SIGHUP."""
        self._turns += 1
        is_odd = self._turns % 2
        hosts = self.hosts(guest=not is_odd, timeout=TIMEOUT + is_odd)
        self._configure(hosts, OTHER_LIMITS if is_odd else LIMITS)

    def restore(self):
        """Everything as in the beginning."""
        self.free_disk()
        self._configure(self.hosts(), LIMITS)

    def _configure(self, hosts, limits):
        def turn(known):
            known.clear()
            known.update(hosts)

        self.program.configure(turn, limits=limits)
        self.program.signal(signal.SIGHUP)

    def fill_disk(self):
        if not self.has_disk:
            return
        self.was_full = True
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free_disk(self):
        self._ballast.unlink(missing_ok=True)

    def jump_in_time(self, seconds):
        self.clock.write_text(str(seconds))
        self.program.signal(signal.SIGUSR2)

    def freeze(self, seconds):
        """Stop the process, as a machine that sleeps does."""
        self.program.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.program.signal(signal.SIGCONT)

    # The end

    def left_behind(self):
        """Processes with the environment of this run's apps."""
        mark = f"LEDGER={self.ledger}".encode()
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                variables = environ.read_bytes().split(b"\0")
                if mark in variables and any(v.startswith(b"PHLOWS_HOST=") for v in variables):
                    found.append(int(environ.parent.name))
        return found

    def close(self):
        """Let go of everything, whatever state it is in."""
        with suppress(ProcessLookupError):
            os.kill(self.program.pid, signal.SIGCONT)
        self.program.kill()
        for pid in self.left_behind():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.has_disk:
            subprocess.run(["umount", "--lazy", str(self.state)], check=True)


def describe(pid):
    """What a process is, for who wonders why it is there."""
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        state, parent, group, *rest = stat_fields(pid)
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        age = up - int(rest[16]) / os.sysconf("SC_CLK_TCK")
        return f"{pid} ({command.strip()}) {state}, of {parent}, group {group}, for {age:.1f} s"
    return f"{pid}, which has ended meanwhile"


def mount(folder):
    """Put a small file system there; False where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "phlows-chaos", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
