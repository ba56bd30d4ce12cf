"""Everything at once: kills, resets, floods, a full disk, reloads, a clock that jumps.

A run that fails is tried again with its seed, as the line says that it prints. What the
machine adds of its own, the moment at which each step meets the broker, is not replayed.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.chaos.chaos import churn, report
from tests.chaos.plan import FAULTS, HOSTS, plan

IS_LONG = bool(os.environ.get("PHLOWS_CHAOS"))
GIVEN = os.environ.get("SEED")
SECONDS = float(os.environ.get("SECONDS") or (60 if IS_LONG else 2))
FIXED = 5


def seeds():
    """The one that was given; else one that is always the same, and one that never is."""
    return [int(GIVEN)] if GIVEN else [FIXED, random.randrange(10**6)]


@pytest.mark.parametrize("nth", range(len(seeds())))
def test_whatever_happens_what_was_promised_holds(tmp_path, nth):
    seed = seeds()[nth]
    again = f'make chaos SEED={seed} SECONDS={SECONDS:g} ARGS="-k whatever"'
    print(f"\n{again}")  # noqa: T201 - to see a failure again
    chaos = churn(tmp_path, seed, SECONDS)
    text = report(chaos, seed, SECONDS)
    print(text)  # noqa: T201 - what it did
    assert not chaos.wrong, text
    assert chaos.arena.lives > 2, text
    assert chaos.done.keys() >= set(FAULTS), text
    expected = {"hooks connect", "hooks close", "closes crash"}
    if IS_LONG:
        expected |= {"hooks auth", "hooks receive", "answers", "casts heard", "closes client"}
    assert expected <= {what for what, count in chaos.seen.items() if count}, text


def test_a_seed_decides_every_step():
    assert plan(7, 20.0) == plan(7, 20.0)
    assert plan(7, 20.0) != plan(8, 20.0)
    assert {step.how["host"] for step in plan(7, 20.0)} == set(HOSTS)


def test_a_run_has_every_fault_however_short():
    assert {step.name for step in plan(7, 2.0)} >= set(FAULTS)
