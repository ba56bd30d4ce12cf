"""Ports for what tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from pathlib import Path

FIRST = 10_000
"""Under it are the ports of services that may run on this machine."""

SHARE = 1_000
"""Ports of one pytest worker."""

LAST = 65_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""From where on the system hands out ports by itself, to any program at any time."""


def shares(ephemeral):
    """The first ports of all shares that fit under those the system hands out."""
    room = ephemeral if ephemeral >= FIRST + SHARE else LAST
    return range(FIRST, room - SHARE + 1, SHARE)


def first_ephemeral():
    try:
        return int(EPHEMERAL.read_text().split()[0])
    except FileNotFoundError:  # not Linux: the range that IANA names
        return 49_152


def own_share():
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    firsts = shares(first_ephemeral())
    first = firsts[int(worker) % len(firsts)]
    return range(first, first + SHARE)


def in_turn(share):
    """Its ports one after the other, from anywhere on: another run has this share, too."""
    return itertools.islice(itertools.cycle(share), random.randrange(SHARE), None)


_ports = in_turn(own_share())


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def free_port():
    """One that nobody listens on, and that nobody else is given soon."""
    return next(port for port in itertools.islice(_ports, SHARE) if is_free(port))
