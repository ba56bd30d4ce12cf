"""The rules of the chaos suite find what they are there to find."""

from __future__ import annotations

import pytest

from tests.chaos.witness import Line, Rules, owed

AUTH = {"h": "message"}


def life(*steps):
    """Lines from "+connect", "-close client 1" and so on; each hook is a process of its own."""
    lines = []
    process = 0
    for step in steps:
        name, *facts = step[1:].split()
        process += step[0] == "+"
        number, reason, attempt, answer = "-", "-", "-", "-"
        match name:
            case "receive":
                number = facts[0]
            case "close":
                reason, attempt = facts
            case "connect" | "auth" if facts:
                (answer,) = facts
        fields = [name, "h", "s", "t", number, reason, attempt, str(process)]
        lines.append(Line(step[0], *fields, answer))
    return lines


ENTRY = ("+connect", "-connect", "+auth", "-auth")
WHOLE = (*ENTRY, "+receive 1", "-receive 1", "+close client 1", "-close client 1")


@pytest.mark.parametrize(
    "steps",
    [
        WHOLE,
        (*ENTRY, "+close client 1", "+close client 2", "-close client 2"),
        (*ENTRY, "+close client 1", "-close client 1", "+close crash 2", "-close crash 2"),
        ("+connect", "+close crash 1", "-close crash 1"),
        ("+close crash 1", "-close crash 1"),
        ("+connect", "-connect false"),
        ("+connect", "-connect false", "+close crash 1", "-close crash 1"),
    ],
)
def test_lives_that_are_allowed_have_no_fault(steps):
    assert Rules(AUTH).check(life(*steps)) == []
    assert owed(life(*steps)) == []


def test_where_brokers_are_killed_a_close_that_succeeded_may_come_again_as_the_next_attempt():
    again = life(*WHOLE, "+close client 2", "-close client 2")
    assert Rules(AUTH, crashes=True).check(again) == []
    same = life(*WHOLE, "+close client 1", "-close client 1")
    assert any("count up" in wrong for wrong in Rules(AUTH, crashes=True).check(same))


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        ("no close", ENTRY),
        ("no close", (*ENTRY, "+close client 1")),
        ("connect refused", ("+connect", "-connect false", "+close client 1", "-close client 1")),
        ("reason that is known", (*ENTRY, "+close because 1", "-close because 1")),
        ("without connect", ("+close client 1", "-close client 1")),
        ("count up", (*ENTRY, "+close client 1", "+close crash 1", "-close crash 1")),
        ("second close", (*WHOLE, "+close client 2", "-close client 2")),
        ("out of order", ("+auth", "-auth", "+connect", "-connect", *WHOLE[-2:])),
        ("twice", ("+connect", "-connect", *WHOLE)),
        ("messages", (*ENTRY, "+receive 2", "-receive 2", *WHOLE[4:6], "+receive 1", *WHOLE[-2:])),
        ("out of order", (*WHOLE, "+receive 2", "-receive 2")),
        ("another hook ran", ("+connect", "+close client 1", "-close client 1", "-connect")),
    ],
)
def test_lives_that_are_not_are_told(fault, steps):
    lines = life(*steps)
    if fault == "another hook ran":
        lines[-1] = lines[-1]._replace(pid=lines[0].pid)
    assert any(fault in wrong for wrong in Rules(AUTH).check(lines))
