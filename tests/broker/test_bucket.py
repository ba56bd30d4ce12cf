from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker.bucket import TokenBucket


def test_twice_the_rate_may_come_at_once_and_then_the_rate():
    bucket = TokenBucket(5, 100.0)
    assert [bucket.take(100.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.take(101.0) for _ in range(6)] == [True] * 5 + [False]


def test_a_rate_below_one_half_still_allows_one():
    bucket = TokenBucket(0.1, 0.0)
    assert bucket.take(0.0)
    assert not bucket.take(9.9)
    assert bucket.take(19.9)


def test_what_is_refused_is_not_taken():
    bucket = TokenBucket(10, 0.0)
    for _ in range(100_000):
        bucket.take(0.0)
    assert bucket.take(1.0), "a flood is over when it is over"


def test_several_are_taken_together_or_not_at_all():
    bucket = TokenBucket(1, 0.0)
    assert not bucket.take(0.0, 3)
    assert bucket.take(0.0, 2)
    assert not bucket.take(0.0)


def test_it_never_holds_more_than_the_burst():
    bucket = TokenBucket(2, 0.0)
    assert [bucket.take(1e6) for _ in range(5)] == [True] * 4 + [False]


@given(
    st.floats(0.1, 100),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 20)), min_size=1, max_size=50),
)
def test_no_more_passes_in_any_time_than_burst_and_rate_allow(rate, takes):
    bucket, now, passed = TokenBucket(rate, 0.0), 0.0, 0
    for wait, number in takes:
        now += wait
        passed += number * bucket.take(now, number)
        assert passed <= max(1.0, 2 * rate) + now * rate + 1e-6
