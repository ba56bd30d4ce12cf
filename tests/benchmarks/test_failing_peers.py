"""What becomes of a figure when one of its contenders fails."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError, ContenderError, CountError, MissingToolError
from benchmarks.figures import FIGURES, casts, idle
from benchmarks.figures.plan import Plan, turns
from benchmarks.process import Contender, free_port, running
from benchmarks.rounds import Round, interleaved

sys.path.append(str(Path(__file__).parent))
import tiny_server

SHORT = Plan(rounds=3, seconds=0.05, sockets=10)
LOST = CountError("32 of 32,800 deliveries never came")


def faithful(_cast, _socket, frame):
    return frame


def doubling(_cast, _socket, frame):
    return frame + frame


def tiny(name, delivery=faithful):
    """Starts a broker of 60 lines under this name."""

    @contextmanager
    def start(app=None):
        with tiny_server.running(delivery) as server:
            yield Contender(name, server.port)

    return start


def failing(contender, call, error=LOST):
    """A round that fails at one contender's so many-th call; the first warms it up."""
    calls = []

    def measure(running_, seconds):
        calls.append(running_.name)
        if running_.name == contender and calls.count(contender) == call:
            raise error
        return Round(count=1, rate=float(len(calls)), busy=0.0)

    return measure


def figure_of(measure, *names):
    [figure] = turns(SHORT, "key", "title", "unit", [tiny(name) for name in names], measure)
    return figure


@pytest.mark.parametrize(
    ("call", "when"), [(1, "while it was warmed up"), (2, "in round 1"), (4, "in round 3")]
)
@pytest.mark.parametrize("error", [LOST, ConnectionResetError("the peer is gone")])
def test_a_peer_that_fails_is_left_out_and_the_others_go_on(call, when, error):
    figure = figure_of(failing("nchan", call, error), "phlows", "nchan", "node ws")

    assert [each.contender for each in figure.series] == ["phlows", "node ws"]
    assert [len(each.values) for each in figure.series] == [SHORT.rounds] * 2
    assert f"nchan left out: {error}, {when}" in figure.remarks


@pytest.mark.parametrize("call", [1, 2, 4])
@pytest.mark.parametrize("ours", ["phlows", "phlows socket layer"])
def test_a_figure_in_which_phlows_fails_is_none(call, ours):
    with pytest.raises(CountError, match="32 of 32,800") as caught:
        figure_of(failing(ours, call), ours, "node ws")

    assert f"while {ours} was measured" in caught.value.__notes__


def test_a_figure_that_nobody_is_left_in_is_none():
    with pytest.raises(BenchmarkError, match="nchan left out: 32 of 32,800"):
        figure_of(failing("nchan", 2), "nchan")


def test_a_tool_that_a_round_needs_of_all_is_not_one_peers_failure():
    missing = MissingToolError("there is no C compiler for the load generator")
    with pytest.raises(MissingToolError, match="no C compiler"):
        figure_of(failing("nchan", 1, missing), "nchan", "node ws")


@pytest.mark.cc
def test_a_peer_that_delivers_twice_is_left_out_of_all_that_its_crowd_is_cast(monkeypatch):
    starts = [tiny("phlows"), tiny("nchan", doubling), tiny("node ws")]
    monkeypatch.setattr(casts, "broadcasters", lambda _: starts)
    figures = FIGURES["fanout"](SHORT)

    assert [each.key for each in figures] == ["fanout.10.1", "fanout.10.32"]
    assert [[each.contender for each in figure.series] for figure in figures] == [
        ["phlows", "node ws", "C epoll"],
        ["phlows", "node ws"],  # where casts that wait go out together, it is no floor
    ]
    for figure in figures:
        [told] = [each for each in figure.remarks if each.startswith("nchan left out: expected")]
        assert told.endswith("while it was warmed up with 1 outstanding")


@pytest.mark.cc
def test_a_peer_that_refuses_its_sockets_is_left_out(monkeypatch):
    @contextmanager
    def deaf(app=None):
        yield Contender("nchan", free_port())  # where nobody listens

    monkeypatch.setattr(casts, "broadcasters", lambda _: [tiny("phlows"), deaf])
    for figure in FIGURES["fanout"](SHORT):
        [told] = [each for each in figure.remarks if each.startswith("nchan left out:")]
        assert told.endswith("Connection refused, as its 10 sockets were opened")


def test_a_peer_that_does_not_come_up_is_left_out_with_what_it_said():
    @contextmanager
    def broken(name, app=None):
        command = [sys.executable, "-c", "raise SystemExit('no such\\nsetting')"]
        with running(Contender(name, free_port()), command, Path.cwd()) as contender:
            yield contender

    starts = [tiny("phlows"), lambda: broken("nchan")]
    [figure] = turns(SHORT, "key", "title", "unit", starts, failing("nobody", 0))

    told = "nchan left out: ended with 1, as it started; nchan said: no such setting"
    assert [each.contender for each in figure.series] == ["phlows"]
    assert told in figure.remarks
    with pytest.raises(ContenderError, match="ended with 1"):
        turns(SHORT, "key", "title", "unit", [lambda: broken("phlows")], failing("nobody", 0))


def test_a_peer_that_fails_as_it_idles_is_left_out():
    readings = {"phlows": iter([1.0, 2.0]), "nchan": iter([3.0])}

    def measure(name):
        try:
            return next(readings[name])
        except StopIteration:
            raise LOST from None

    series, remarks = idle._each({"phlows": "phlows", "nchan": "nchan"}, 2, measure)

    assert [(each.contender, each.values) for each in series] == [("phlows", (1.0, 2.0))]
    assert remarks == ["nchan left out: 32 of 32,800 deliveries never came, in round 2"]
    with pytest.raises(CountError):
        idle._each({"phlows": "phlows"}, 1, measure)


def test_one_that_is_dropped_has_no_more_turns():
    taken, dropped = [], []

    def second():
        taken.append("b")
        raise LOST

    runs = [lambda: taken.append("a") or 1, second, lambda: taken.append("c") or 3]
    outcomes = interleaved(runs, 3, lambda *told: dropped.append(told))

    assert taken == ["a", "b", "c", "c", "a", "a", "c"]
    assert outcomes == [[1, 1, 1], [], [3, 3, 3]]
    assert dropped == [(1, 1, LOST)]
