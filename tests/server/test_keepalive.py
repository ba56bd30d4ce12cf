from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.server.keepalive import Keepalive


class Pinged:
    """A channel that notes the tick of each ping."""

    def __init__(self, clock):
        self.clock = clock
        self.keepalive_slot = 0
        self.pings = []

    def keep_alive(self):
        self.pings.append(self.clock[0])


class Wheel:
    """A keepalive and the number of its last tick."""

    def __init__(self, interval, tick):
        self.now = [0]
        self.keepalive = Keepalive(interval, tick)

    def channel(self):
        channel = Pinged(self.now)
        self.keepalive.add(channel)
        return channel

    def turn(self, ticks):
        for _ in range(ticks):
            self.now[0] += 1
            self.keepalive.tick()


@given(
    interval=st.integers(1, 40),
    start=st.integers(0, 50),
    number=st.integers(1, 60),
    rounds=st.integers(1, 4),
)
def test_each_channel_is_pinged_once_an_interval(interval, start, number, rounds):
    wheel = Wheel(float(interval), 1.0)
    wheel.turn(start)
    channels = [wheel.channel() for _ in range(number)]
    wheel.turn(rounds * interval)
    for channel in channels:
        assert len(channel.pings) == rounds
        gaps = {
            later - earlier
            for earlier, later in zip(channel.pings, channel.pings[1:], strict=False)
        }
        assert gaps <= {interval}


@pytest.mark.parametrize("start", [0, 7, 24])
def test_channels_that_came_together_are_not_pinged_together(start):
    wheel = Wheel(25.0, 1.0)
    wheel.turn(start)
    channels = [wheel.channel() for _ in range(120)]
    wheel.turn(25)
    firsts = [channel.pings[0] - start for channel in channels]
    counts = [firsts.count(tick) for tick in set(firsts)]
    assert counts == [10] * 12, "spread over half of the interval"
    assert min(firsts) >= 25 / 2, "a new socket has at least half an interval"
    assert max(firsts) == 25


def test_a_channel_that_is_gone_is_pinged_no_more():
    wheel = Wheel(3.0, 1.0)
    gone, stays = wheel.channel(), wheel.channel()
    wheel.keepalive.discard(gone)
    wheel.keepalive.discard(gone)
    wheel.turn(3)
    assert (len(gone.pings), len(stays.pings)) == (0, 1)


def test_a_channel_may_leave_within_its_own_ping():
    wheel = Wheel(1.0, 1.0)
    channels = [wheel.channel() for _ in range(3)]
    for channel in channels:
        channel.keep_alive = lambda channel=channel: wheel.keepalive.discard(channel)
    wheel.turn(2)
    assert not any(channel.pings for channel in channels)


def test_an_interval_shorter_than_a_tick_pings_every_tick():
    wheel = Wheel(0.1, 1.0)
    channel = wheel.channel()
    wheel.turn(3)
    assert channel.pings == [1, 2, 3]
