from __future__ import annotations

from phlows_cli.broker.drops import Drops


def reported(caplog):
    lines = [(r.reason, r.count, r.total) for r in caplog.records if r.name == "phlows.drops"]
    caplog.clear()
    return lines


def test_each_reason_is_reported_with_what_is_new_and_what_is_all(caplog):
    drops = Drops()
    drops.count("slow consumer")
    drops.count("bad message", 41)
    drops.report()
    assert reported(caplog) == [("slow consumer", 1, 1), ("bad message", 41, 41)]
    drops.count("bad message")
    drops.report()
    assert reported(caplog) == [("bad message", 1, 42)]


def test_without_anything_new_nothing_is_logged(caplog):
    drops = Drops()
    drops.report()
    drops.count("slow consumer")
    drops.report()
    caplog.clear()
    drops.report()
    assert reported(caplog) == []
    assert drops.totals == {"slow consumer": 1}


def test_nothing_dropped_is_nothing_to_report(caplog):
    drops = Drops()
    drops.count("slow consumer", 0)
    drops.report()
    assert reported(caplog) == []
