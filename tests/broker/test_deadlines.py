from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker.deadlines import Deadlines


def test_an_item_is_late_when_its_time_is_over_and_not_before():
    deadlines = Deadlines(10)
    deadlines.add("a", 100)
    assert deadlines.expired(109.9) == []
    assert deadlines.expired(110) == ["a"]
    assert deadlines.expired(111) == [], "told once"


def test_a_second_add_starts_the_time_anew():
    deadlines = Deadlines(10)
    deadlines.add("a", 100)
    deadlines.add("b", 101)
    deadlines.add("a", 105)
    assert deadlines.oldest() == "b"
    assert deadlines.expired(111) == ["b"]
    assert deadlines.expired(115) == ["a"]


def test_what_made_it_in_time_is_forgotten():
    deadlines = Deadlines(10)
    deadlines.add("a", 100)
    assert "a" in deadlines
    deadlines.discard("a")
    deadlines.discard("never there")
    assert "a" not in deadlines
    assert deadlines.expired(1000) == []
    assert deadlines.oldest() is None


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["add", "discard", "look"]))))
def test_it_agrees_with_a_plain_list_of_dues(steps):
    deadlines, rows, now = Deadlines(3), [], 0
    for item, step in steps:
        now += item % 3
        if step == "look":
            assert deadlines.expired(now) == [name for name, due in rows if due <= now]
            rows = [(name, due) for name, due in rows if due > now]
        else:
            rows = [(name, due) for name, due in rows if name != item]
            if step == "add":
                rows.append((item, now + 3))
                deadlines.add(item, now)
            else:
                deadlines.discard(item)
        assert len(deadlines) == len(rows)
        assert deadlines.oldest() == (rows[0][0] if rows else None)
