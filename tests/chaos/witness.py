"""What apps/witness.* wrote down, and what must hold of it: docs/protocol.md, "close".

It knows nothing of the broker: a list of lines in, a list of what is wrong out.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

APPS = Path(__file__).parent / "apps"
ONE_SHOT = str(APPS / "witness.sh")
RESIDENT = str(APPS / "witness.py")

ORDER = {
    "message": ("connect", "auth", "receive", "close"),
    "upgrade": ("auth", "connect", "receive", "close"),
    "none": ("connect", "receive", "close"),
}
REASONS = {
    "client", "timeout", "limit", "protocol", "refused", "failed", "disconnect", "removed",
    "drain", "crash",
}  # fmt: skip


class Line(NamedTuple):
    """A hook that began ("+") or ended ("-"), as its app saw it."""

    sign: str
    hook: str
    host: str
    socket: str
    token: str
    number: str
    reason: str
    attempt: str
    pid: str
    answer: str

    @property
    def run(self):
        """What the two lines of one hook have in common."""
        return self[1:9]


def read(path):
    """The lines so far; the last may not be whole while an app writes."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [Line(*line.split(" ")) for line in text.split("\n")[:-1]]


def lives(lines):
    """The lines of each socket, in order."""
    found = defaultdict(list)
    for line in lines:
        found[line.socket].append(line)
    return found


def is_owed(life):
    """Whether a socket is owed a close that has not succeeded yet."""
    hooks = {(line.sign, line.hook) for line in life}
    return ("+", "connect") in hooks and not was_refused(life) and ("-", "close") not in hooks


def was_refused(life):
    return any(line.hook == "connect" and line.answer == "false" for line in life)


def owed(lines):
    """The sockets that are owed a close."""
    return [socket for socket, life in lives(lines).items() if is_owed(life)]


class Rules:
    """What is checked of each socket.

    Args:
        auth: the auth mode of each host.
        marks: whether every attempt could be noted in the journal before it began.
        kills: whether hooks were killed, maybe before they wrote that they began.
        crashes: whether brokers were killed, maybe after a close that had succeeded.
    """

    def __init__(self, auth, *, marks=True, kills=False, crashes=False):
        self._crashes = crashes
        self._auth = auth
        self._marks = marks
        self._kills = kills

    def check(self, lines):
        """Each fault that was found, in a sentence."""
        wrong = []
        for socket, life in lives(lines).items():
            faults = [*self._close(life), *self._order(life), *self._turns(life)]
            wrong += [f"{socket} of {life[0].host}: {fault}: {story(life)}" for fault in faults]
        return wrong

    def _close(self, life):
        begun = [line for line in life if line.sign == "+"]
        closes = [line for line in begun if line.hook == "close"]
        if is_owed(life):
            yield "no close"
        if was_refused(life) and any(line.reason != "crash" for line in closes):
            yield "a close though connect refused"
        if any(line.reason not in REASONS for line in closes):
            yield "a close without a reason that is known"
        is_strange = not (self._kills or has(begun, "connect"))
        if closes and closes[0].reason != "crash" and is_strange:
            yield "a close without connect, and no crash"
        attempts = [int(line.attempt) for line in closes]
        # An attempt that the journal could not note is not known to the next broker.
        if self._marks and attempts != sorted(set(attempts)):
            yield "attempts that do not count up"
        for before, after in itertools.pairwise(closes):
            has_ended = any(line.sign == "-" and line.run == before.run for line in life)
            if has_ended and after.reason != "crash" and not self._crashes:
                yield "a second close after one that succeeded, and no crash"

    def _order(self, life):
        begun = [line for line in life if line.sign == "+"]
        hooks = [line.hook for line in begun]
        order = self._auth[life[0].host]
        expected = ORDER[order]
        if [expected.index(hook) for hook in hooks] != sorted(map(expected.index, hooks)):
            yield "hooks out of order"
        if max(hooks.count("connect"), hooks.count("auth")) > 1:
            yield "connect or auth twice"
        numbers = [int(line.number) for line in begun if line.hook == "receive"]
        if numbers != sorted(set(numbers)):
            yield "messages out of order"
        if len({line.host for line in life}) > 1:
            yield "hooks of two hosts"

    def _turns(self, life):
        """One hook at a time: none ends after the next has begun."""
        runs = None
        for line in life:
            if line.sign == "+":
                runs = line.run
            elif line.run != runs:
                yield f"{line.hook} ended while another hook ran"


def has(lines, hook):
    return any(line.hook == hook for line in lines)


def story(life):
    """A socket's life in a line."""
    return ", ".join(
        f"{line.sign}{line.hook}"
        + (f" {line.number}" if line.hook == "receive" else "")
        + (f" {line.reason} {line.attempt}" if line.hook == "close" else "")
        for line in life
    )
