"""What a chaos run does, all of it decided by the seed before it begins.

The same seed and length give the same steps. What a step meets (which process is just
running, how far a client has come) is the machine's doing, and is not replayed.
"""

from __future__ import annotations

import random
from typing import NamedTuple

HOSTS = {
    "one.chaos": "message",
    "two.chaos": "upgrade",
    "three.chaos": "none",
    "guest.chaos": "message",
}
"""The hosts and their auth modes; "two" and "guest" have resident apps."""

TOKENS = ("anna", "ben", "cleo", "dora")
SLOTS = 40
"""Clients at a time, at most."""

PAUSE = 0.04
"""Seconds between two steps, at most."""

LEAVES = ("politely", "politely", "reset", "drop", "in the midst")
FAULTS = (
    "kill the broker", "kill the broker", "kill the broker twice", "stop the broker",
    "kill a hook", "kill a hook", "kill a hook", "reload", "reload", "fill the disk",
    "jump in time", "freeze", "disconnect",
)  # fmt: skip
"""Each of them comes once in so many seconds, in another order."""

STEPS = {
    "come": 45, "speak": 30, "leave": 30, "stall": 3, "flood": 1, "be rude": 2, "speak slowly": 2,
    "half a head": 2, "cast": 20, "cast much": 1,
}  # fmt: skip


class Step(NamedTuple):
    """Something to do: when (seconds after the start), what, and how."""

    at: float
    name: str
    how: dict


def plan(seed, seconds):
    """The steps of a run, in order."""
    dice = random.Random(seed)
    steps = [*usual(dice, seconds), *faults(dice, seconds)]
    return sorted(steps, key=lambda step: step.at)


def usual(dice, seconds):
    """What clients and casters do."""
    at = 0.0
    while (at := at + dice.uniform(0, PAUSE)) < seconds:
        (name,) = dice.choices(list(STEPS), weights=STEPS.values())
        yield Step(at, name, details(dice))


def faults(dice, seconds):
    """Every fault, again and again, over the whole run."""
    begin = 0.0
    while begin < seconds:
        span = min(len(FAULTS), seconds - begin)
        for name in FAULTS:
            yield Step(begin + dice.uniform(0, span), name, details(dice))
        begin += len(FAULTS)


def details(dice):
    """All that any step needs: drawn for every step alike, so that one more changes none."""
    host = dice.choice([*HOSTS])
    token = dice.choices([*TOKENS, "nobody", "stranger"], weights=[20] * len(TOKENS) + [3, 3])[0]
    targets = [
        ["all"], [f"token:{token}"], [f"token:not:{token}"],
        [f"token:{other}" for other in dice.sample(TOKENS, 2)],
    ]  # fmt: skip
    return {
        "slot": dice.randrange(SLOTS),
        "host": host,
        "token": token,
        "targets": dice.choice(targets),
        "leave": dice.choice(LEAVES),
        "count": dice.randrange(1, 8),
        "share": dice.random(),
        "seconds": dice.choice([-86400.0, -61.0, 3.0, 61.0, 7200.0, 10.0**8]),
    }
