"""When clients are told to come back."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker.comeback import LONGEST, SHORTEST, Comeback


def test_the_same_chances_give_the_same_seconds():
    chances = iter([0.0, 0.05, 0.1, 0.55, 0.999, 1.0])
    comeback = Comeback(0.0, chance=lambda: next(chances))
    assert [comeback.after_refusal(0.0) for _ in range(6)] == [1, 1, 2, 6, 10, 10]


def test_those_who_are_refused_one_by_one_are_spread_evenly_over_ten_seconds():
    comeback = Comeback(0.0, chance=Random(1).random)
    told = Counter(comeback.after_refusal(float(number)) for number in range(10_000))
    assert sorted(told) == list(range(1, SHORTEST + 1))
    assert min(told.values()) > 800


def test_a_crowd_is_spread_over_the_time_that_its_rate_needs():
    comeback = Comeback(0.0, pace=100.0, chance=lambda: 1.0)
    told = [comeback.after_refusal(0.0) for _ in range(10_000)]
    assert told[0] == told[999] == SHORTEST
    assert told[3999] == 40
    assert told[-1] == LONGEST
    assert told == sorted(told)


def test_a_crowd_that_has_had_its_time_is_forgotten():
    comeback = Comeback(0.0, pace=100.0, chance=lambda: 1.0)
    for _ in range(5000):
        comeback.after_refusal(0.0)
    assert comeback.after_refusal(30.0) == 20
    assert comeback.after_refusal(1000.0) == SHORTEST


def test_at_a_restart_there_is_a_second_for_each_500_sockets():
    comeback = Comeback(0.0, chance=lambda: 1.0)
    assert [comeback.after_restart(count) for count in (1, 500, 999, 5000)] == [1, 1, 1, 10]
    assert Comeback(0.0, pace=100.0, chance=lambda: 1.0).after_restart(5000) == 50
    assert Comeback(0.0, pace=0.001, chance=lambda: 1.0).after_restart(5000) == LONGEST
    told = Counter(
        Comeback(0.0, chance=Random(seed).random).after_restart(5000) for seed in range(2000)
    )
    assert sorted(told) == list(range(1, 11))


@given(
    st.floats(0, 1e6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), min_size=1, max_size=50),
    st.integers(0, 10**6),
)
def test_the_time_is_always_a_whole_second_of_the_span(pace, refusals, sockets):
    chances = iter([*[chance for _, chance in refusals], 0.5])
    comeback, now = Comeback(0.0, pace, lambda: next(chances)), 0.0
    for wait, _ in refusals:
        now += wait
        told = comeback.after_refusal(now)
        assert isinstance(told, int)
        assert 1 <= told <= LONGEST
    assert 1 <= comeback.after_restart(sockets) <= LONGEST
