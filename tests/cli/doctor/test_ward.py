from __future__ import annotations

import threading

from phlows_cli.cli.doctor.check import Check, ok
from phlows_cli.cli.doctor.ward import AT_ONCE, examine
from phlows_cli.errors import PhlowsError


def nothing(_count, _of):
    pass


def test_findings_come_in_the_order_of_the_checks(case):
    late = threading.Event()

    def first(_case, _subject):
        late.wait(20)
        return ok("first")

    def second(_case, _subject):
        late.set()
        return ok("second")

    checks = [Check("System", "a", first), Check("System", "b", second)]
    assert [found.result.message for found in examine(checks, case(), nothing)] == [
        "first",
        "second",
    ]


def test_a_check_is_made_for_each_of_its_subjects(case):
    check = Check("Apps", "x", lambda _, subject: ok(f"saw {subject}"), lambda _: ("a", "b"))
    found = examine([check], case(), nothing)
    assert [(f.subject, f.result.message) for f in found] == [("a", "saw a"), ("b", "saw b")]


def test_checks_that_hang_are_cut_and_hold_nobody_up(case):
    never = threading.Event()
    hangs = [Check("PHP", f"h{n}", lambda *_: never.wait(60)) for n in range(AT_ONCE)]
    found = examine([*hangs, Check("PHP", "x", lambda *_: ok("x"))], case(timeout=0.2), nothing)
    never.set()
    assert [f.result.status for f in found] == ["fail"] * AT_ONCE + ["ok"]
    assert "no answer within 0.2 seconds (--timeout)" in found[0].result.message


def test_a_check_that_breaks_is_a_finding(case):
    def breaks(_case, _subject):
        raise PhlowsError("the thing is broken")

    (found,) = examine([Check("PHP", "a", breaks)], case(), nothing)
    assert found.result.status == "fail"
    assert "the thing is broken" in found.result.message


def test_progress_is_told_up_to_the_end(case):
    told = []
    checks = [Check("PHP", str(n), lambda *_: ok("x")) for n in range(20)]
    examine(checks, case(), lambda count, of: told.append((count, of)))
    assert told[-1] == (20, 20)
    assert told == sorted(told)
