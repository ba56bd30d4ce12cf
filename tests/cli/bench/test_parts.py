"""The parts that count, against plain ones that cannot be wrong."""

from __future__ import annotations

import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.cli.load.address import PER_SOURCE, place_of
from phlows_cli.cli.load.audience import Group, Listener
from phlows_cli.cli.load.dialing import Opened
from phlows_cli.cli.load.findings import Findings, Ledger
from phlows_cli.cli.load.latency import Latencies
from phlows_cli.cli.load.machine import Effort
from phlows_cli.cli.load.reactor import Reactor
from phlows_cli.cli.load.storm import retry_delay
from phlows_cli.cli.load.wire import numbered_payload, read_answer, server_frame

PING = b"\x89\x02hi"
FOREIGN = b'\x81\x08{"a": 1}'


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 19), max_size=40),
    cuts=st.lists(st.integers(1, 700), min_size=1, max_size=30),
    strangers=st.sets(st.integers(0, 40)),
)
def test_any_stream_in_any_pieces_is_counted_as_one_number_at_a_time(numbers, cuts, strangers):
    stream = b""
    for place, number in enumerate(numbers):
        stream += PING + FOREIGN if place in strangers else b""
        stream += server_frame(numbered_payload("run12345", 0, number, 100))
    assert _by_listener(stream, cuts) == _by_hand(numbers)


def _by_listener(stream, cuts):
    findings, group = Findings(), Group(0, "all", "run12345", 100)
    ours, theirs = socket.socketpair()
    reactor = Reactor()
    ours.setblocking(False)
    with theirs:
        listener = Listener(reactor, Opened(7, ours, b"", 0.0), findings, group)
        for _ in range(20):
            group.numbered(0.0)
        at = 0
        while at < len(stream):
            size = cuts[at % len(cuts)]
            listener.received(stream[at : at + size])
            at += size
        listener.finish()
        listener.close()
    reactor.close()
    return {kind: findings.counts[kind] for kind in ("lost", "duplicated", "reordered")}


def _by_hand(numbers):
    seen, late, twice, highest = set(), 0, 0, -1
    for number in numbers:
        twice += number in seen
        late += number not in seen and number < highest
        seen.add(number)
        highest = max(highest, number)
    return {"lost": 20 - len(seen), "duplicated": twice, "reordered": late}


def test_a_cast_is_complete_when_the_last_socket_has_it():
    findings, group, reactor = Findings(), Group(0, "all", "run12345", 100), Reactor()
    pairs = [socket.socketpair() for _ in range(3)]
    members = [
        Listener(reactor, Opened(number, ours, b"", 0.0), findings, group)
        for number, (ours, _) in enumerate(pairs)
    ]
    frames = [server_frame(group.numbered(0.0)) for _ in range(2)]
    members[0].received(frames[0] + frames[1])
    members[1].received(frames[0] + frames[1][:50])
    assert group.under_way == 2
    members[2].received(frames[0])
    assert group.under_way == 1
    members[2].gone(4000, "slow")  # nobody waits for one that is closed
    members[1].received(frames[1][50:])
    assert (group.under_way, group.delivered, len(group.frames)) == (0, 5, 0)
    for member, (_, theirs) in zip(members, pairs, strict=True):
        member.close()
        theirs.close()
    reactor.close()


def test_a_number_that_was_never_cast_is_damaged():
    findings, group, reactor = Findings(), Group(0, "all", "run12345", 100), Reactor()
    ours, theirs = socket.socketpair()
    listener = Listener(reactor, Opened(0, ours, b"", 0.0), findings, group)
    listener.received(server_frame(numbered_payload("run12345", 0, 3, 100)))
    assert findings.examples[0]["why"] == "a number that was never sent"
    listener.close()
    theirs.close()
    reactor.close()


def test_numbers_that_stay_away_are_lost_for_good_after_a_while():
    findings = Findings()
    ledger = Ledger(0, findings)
    ledger.take(10_000)
    assert findings.counts["lost"] == 10_000 - 4096
    ledger.finish(10_001)
    assert findings.counts["lost"] == 10_000


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=200))
def test_percentiles_are_within_two_in_a_hundred_of_the_sorted_times(times):
    latencies = Latencies()
    for seconds in times:
        latencies.add(seconds)
    ordered = sorted(times)
    assert latencies.max == ordered[-1]
    for share in (50, 90, 99):
        true = ordered[-(-len(times) * share // 100) - 1]
        assert true * 0.999 <= latencies.percentile(share) + 1e-6
        assert latencies.percentile(share) <= true * 1.02 + 2e-6


def test_retries_wait_as_the_browsers_client_does(monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 1.0)
    delays = [round(retry_delay(failures, None), 3) for failures in range(6)]
    assert delays == [0.333, 0.999, 2.997, 8.991, 20.0, 20.0]
    assert (retry_delay(3, 7), retry_delay(0, 9999)) == (8.0, 301.0)


def test_the_span_of_retries_is_that_of_phlows_js():
    from pathlib import Path

    import phlows_cli
    from phlows_cli.cli.load import storm

    script = (Path(phlows_cli.__file__).parent / "assets" / "phlows.js").read_text()
    assert f"FIRST_DELAY = {storm.FIRST_DELAY * 1000:.0f}\n" in script
    assert f"LONGEST_DELAY = {storm.LONGEST_DELAY * 1000:.0f}\n" in script
    assert f"LONGEST_HINT = {storm.LONGEST_HINT}\n" in script


def test_many_sockets_of_this_machine_come_from_several_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = place_of(f"http://127.0.0.1:{server.getsockname()[1]}")
        with place.open(0) as first, place.open(PER_SOURCE) as second:
            assert first.getsockname()[0] == "127.0.0.1"
            assert second.getsockname()[0] == "127.0.0.3"


def test_a_generator_that_is_the_limit_says_so(monkeypatch):
    effort = Effort(load=1000.0)
    monkeypatch.setattr(Effort, "cpu", lambda self: 0.97)
    first, second = effort.warnings()
    assert first.startswith("the load generator itself took 97% of a core")
    assert second.startswith("the machine was busy before the run: load 1000.0")


@pytest.mark.parametrize(
    "stream", [b"SSH-2.0-x", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1." + b"a" * 70000]
)
def test_what_is_no_http_is_not_waited_for(stream):
    with pytest.raises(ValueError, match="no HTTP"):
        read_answer(stream)
