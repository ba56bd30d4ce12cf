from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.server.crowd import Crowd
from phlows_cli.server.outbox import FLUSH_SIZE, SLICE, Flusher, Outbox
from tests.fakes import FakeTransport, Turns

CLOSE = b"<close>"


class Client(Outbox):
    """An outbox that does with a slow consumer what a channel does."""

    __slots__ = ("has_ended", "lost", "was_cut")

    def __init__(self, flusher, transport):
        super().__init__(flusher, transport)
        transport.protocol = self
        self.lost = 0
        self.was_cut = False
        self.has_ended = False

    def pause_writing(self):
        self.stall()

    def resume_writing(self):
        self.unstall()

    def on_slow_consumer(self):
        self.lost += 1 + self.clear()
        if not self.is_sealed:
            self.seal(CLOSE, ends=False)

    def cut(self):
        self.was_cut = True
        self.lost += self.abandon()
        self.transport.abort()

    def on_end(self):
        self.has_ended = True
        self.transport.write_eof()


class Scene:
    """A flusher whose loop turns when the test says so."""

    def __init__(self, send_buffer=1000, send_total=10_000):
        self.turns = Turns()
        self.flusher = flusher_on(self.turns, send_buffer, send_total)

    def client(self, appetite=10**9):
        return Client(self.flusher, FakeTransport(appetite))

    def stalled(self, first=b"x"):
        """A client whose transport holds `first`, of which nothing is read."""
        client = self.client(appetite=0)
        client.send(first)
        self.turns.run()
        assert client.is_stalled
        return client


def flusher_on(turns, send_buffer, send_total):
    running, asyncio.get_running_loop = asyncio.get_running_loop, lambda: turns
    try:
        return Flusher(send_buffer, send_total)
    finally:
        asyncio.get_running_loop = running


@pytest.fixture
def scene():
    return Scene()


# While the client reads


def test_frames_of_one_turn_leave_in_order_and_in_one_write(scene):
    client = scene.client()
    for frame in (b"a", b"b", b"c"):
        assert client.send(frame)
    assert client.transport.writes == []
    scene.turns.run()
    assert client.transport.writes == [b"abc"]
    client.send(b"d")
    scene.turns.run()
    assert client.transport.writes == [b"abc", b"d"]
    assert not scene.turns, "nothing is scheduled while nothing waits"


def test_a_slice_of_the_sockets_is_written_each_turn(scene):
    clients = [scene.client() for _ in range(2 * SLICE + 1)]
    for client in clients:
        client.send(b"a")
    for written in (SLICE, 2 * SLICE, 2 * SLICE + 1):
        scene.turns.run()
        assert sum(bool(client.transport.writes) for client in clients) == written
    assert not scene.turns


def test_a_reply_does_not_wait_behind_a_large_cast(scene):
    clients = [scene.client() for _ in range(3 * SLICE)]
    for client in clients:
        client.send(b"cast ")
    last = clients[-1]
    assert last.reply(b"reply")
    scene.turns.run()
    assert last.transport.written == b"cast reply", "in order, and in one write"
    assert [client.transport.written for client in clients[SLICE:-1]] == [b""] * (2 * SLICE - 1)
    last.send(b" more")
    for _ in range(3):
        scene.turns.run()
    assert {client.transport.written for client in clients[:-1]} == {b"cast "}
    assert last.transport.written == b"cast reply more"
    assert not scene.turns


def test_a_reply_alone_is_written_in_the_next_turn(scene):
    client = scene.client()
    client.reply(b"a")
    client.reply(b"b")
    scene.turns.run()
    assert client.transport.written == b"ab"


def test_a_crowd_of_replies_leaves_a_turn_for_casts(scene):
    member, clients = scene.client(), [scene.client() for _ in range(2 * SLICE)]
    member.send(b"cast")
    for client in clients:
        client.reply(b"reply")
    scene.turns.run()
    assert member.transport.written == b"cast"
    scene.turns.run()
    assert {client.transport.written for client in clients} == {b"reply"}


def test_a_reply_to_a_stalled_client_waits_as_a_cast_does(scene):
    client = scene.stalled()
    assert client.reply(b"reply", 10)
    client.transport.reads()
    scene.turns.run()
    assert client.transport.written == b"xreply"


def test_frames_that_come_before_a_sockets_slice_leave_with_the_earlier_ones(scene):
    clients = [scene.client() for _ in range(SLICE + 1)]
    for client in clients:
        client.send(b"a")
    scene.turns.run()
    for client in clients:
        client.send(b"b")
    scene.turns.run()
    assert clients[0].transport.writes == [b"a", b"b"]
    assert clients[-1].transport.writes == [b"ab"]


def test_much_at_once_is_not_gathered_any_longer_so_that_tcp_can_push_back():
    scene = Scene(send_buffer=1_000_000)
    client = scene.client()
    client.send(b"x" * FLUSH_SIZE)
    assert client.transport.writes == []
    client.send(b"y")
    assert [len(write) for write in client.transport.writes] == [FLUSH_SIZE + 1]


def test_a_socket_flushed_early_is_written_once():
    scene = Scene(send_buffer=10)
    client = scene.client()
    client.send(b"x" * 11)
    client.send(b"y")
    scene.turns.run()
    assert client.transport.written == b"x" * 11 + b"y"


def test_a_failing_write_does_not_keep_the_others_from_theirs(scene):
    broken, client = scene.client(), scene.client()
    broken.transport.is_lost = True
    broken.send(b"a")
    client.send(b"b")
    with pytest.raises(AssertionError, match="lost"):
        scene.turns.run()
    scene.turns.run()
    assert client.transport.written == b"b"


# While it does not


def test_a_stalled_client_keeps_frames_here_and_gets_them_in_order_and_in_one_write(scene):
    client = scene.stalled(b"1")
    for frame in (b"2", b"3", b"4"):
        assert client.send(frame)
    scene.turns.run()
    assert client.transport.writes == [b"1"]
    assert scene.flusher.waiting == 1 + 3
    client.transport.reads(10)
    assert client.transport.writes == [b"1", b"234"]
    assert scene.flusher.waiting == 0
    assert not scene.flusher.stalled


def test_a_frame_that_would_pass_send_buffer_makes_a_slow_consumer():
    scene = Scene(send_buffer=100)
    client = scene.stalled(b"x" * 40)
    assert client.send(b"y" * 60), "exactly send_buffer fits"
    assert not client.send(b"z")
    assert client.lost == 2
    assert client.is_sealed
    assert client.size == len(CLOSE)
    assert scene.flusher.waiting == 40 + len(CLOSE)
    client.transport.reads(100)
    assert client.transport.written == b"x" * 40 + CLOSE


def test_what_the_transport_holds_counts_as_waiting():
    scene = Scene(send_buffer=100)
    client = scene.stalled(b"x" * 40)
    assert not client.send(b"y" * 61)


def test_an_empty_buffer_takes_any_frame():
    scene = Scene(send_buffer=100)
    client = scene.client(appetite=0)
    assert client.send(b"x" * 5000)
    assert client.transport.written == b"x" * 5000
    assert not client.send(b"y")


def test_over_send_total_the_fullest_is_cut_for_the_others():
    scene = Scene(send_total=110)
    small, large, other = scene.stalled(), scene.stalled(), scene.stalled()
    assert small.send(b"s" * 20)
    assert large.send(b"l" * 80)
    assert other.send(b"o" * 30)
    assert (small.was_cut, large.was_cut, other.was_cut) == (False, True, False)
    assert (small.lost, large.lost, other.lost) == (0, 1, 0)
    assert scene.flusher.waiting == 1 + 20 + 1 + 30, "what its transport held is free, too"


def test_what_a_transport_holds_makes_a_client_the_fullest():
    scene = Scene(send_total=100)
    held, other = scene.stalled(b"h" * 80), scene.stalled()
    assert held.stuck == 80
    assert other.send(b"o" * 30)
    assert (held.was_cut, other.was_cut) == (True, False)
    assert scene.flusher.waiting == 1 + 30


def test_over_send_total_the_fullest_may_be_the_one_that_is_sent_to():
    scene = Scene(send_total=102)
    small, large = scene.stalled(), scene.stalled()
    assert small.send(b"s" * 20)
    assert large.send(b"l" * 80)
    assert not large.send(b"l")
    assert (small.lost, large.lost) == (0, 2)


def test_as_many_are_cut_as_it_takes_for_a_frame_to_fit():
    scene = Scene(send_total=100)
    clients = [scene.stalled() for _ in range(4)]
    for client in clients[:3]:
        assert client.send(b"x" * 30)
    assert clients[3].send(b"y" * 60)
    assert scene.flusher.waiting <= 100
    assert [client.was_cut for client in clients].count(True) == 2


def test_nobody_is_cut_for_a_frame_that_could_never_fit():
    scene = Scene(send_total=50)
    innocent, client = scene.stalled(), scene.stalled()
    assert innocent.send(b"x")
    assert not client.send(b"y" * 51)
    assert (innocent.lost, client.lost) == (0, 1)


# The end


def test_a_seal_goes_out_after_what_is_queued_and_later_frames_are_refused(scene):
    client = scene.client()
    client.send(b"a")
    client.seal(b"z", ends=False)
    assert not client.send(b"b")
    scene.turns.run()
    assert client.transport.writes == [b"az"]
    assert not client.has_ended


def test_a_stream_ends_after_its_last_bytes_were_written(scene):
    client = scene.client()
    client.send(b"a")
    client.seal(b"z", ends=True)
    scene.turns.run()
    assert client.transport.writes == [b"az"]
    assert client.transport.events == ["eof"]


def test_an_empty_seal_ends_the_stream_without_a_write(scene):
    client = scene.client()
    client.seal(b"", ends=True)
    scene.turns.run()
    assert client.transport.writes == []
    assert client.has_ended


def test_a_stalled_client_is_ended_when_it_has_read_all(scene):
    client = scene.stalled()
    client.send(b"a")
    client.seal(b"z", ends=True)
    scene.turns.run()
    assert not client.has_ended
    client.transport.reads(10)
    assert client.transport.written == b"xaz"
    assert client.has_ended


def test_an_abandoned_outbox_sends_nothing_and_counts_nothing(scene):
    client = scene.stalled()
    client.send(b"a")
    client.send(b"b")
    assert client.abandon() == 2
    assert scene.flusher.waiting == 0
    assert client not in scene.flusher.stalled
    client.transport.is_lost = True
    assert not client.send(b"c")
    scene.turns.run()
    assert scene.flusher.waiting == 0
    assert client.transport.writes == [b"x"]


def test_frames_abandoned_before_their_turn_are_not_written(scene):
    client = scene.client()
    client.send(b"a")
    assert client.abandon() == 1
    client.transport.is_lost = True
    scene.turns.run()
    assert client.transport.writes == []


def test_an_outbox_that_stalls_with_frames_in_it_counts_them(scene):
    client = scene.client()
    client.send(b"abc")
    client.stall()
    assert scene.flusher.waiting == 3
    client.unstall()
    assert scene.flusher.waiting == 0
    assert client.transport.written == b"abc"


# Whatever happens

STEPS_OF_ONE = ["read", "leave", "join", "seal", "end", "abort", "slow"]
LARGEST = 120
"""Bytes of a frame, which may be more than send_buffer: it is taken when nothing else waits."""

STEPS = st.tuples(
    st.sampled_from([*["send"] * 3, *["cast"] * 3, *["turn"] * 2, *STEPS_OF_ONE]),
    st.integers(0, 3),
    st.integers(0, LARGEST),
)


class World:
    """Four clients, and what each was promised."""

    def __init__(self):
        self.scene = Scene(send_buffer=100, send_total=200)
        self.clients = [
            SimpleNamespace(outbox=self.scene.client(appetite=50), accepted=b"") for _ in range(4)
        ]
        self.crowd = Crowd(self.scene.flusher)
        for client in self.clients:
            self.crowd.join(client.outbox)

    def step(self, name, which, size):
        client = self.clients[which]
        outbox = client.outbox
        if name == "send":
            self.send([client], size, outbox.send)
        elif name == "cast" and self.crowd.has_room(size):
            left_out = {self.clients[which].outbox} if size % 2 else set()
            members = [c for c in self.clients if c.outbox.crowd and c.outbox not in left_out]
            self.send(members, size, lambda frame: self.crowd.send(frame, left_out).number)
        elif name == "leave":
            self.crowd.leave(outbox)
        elif name == "join" and not (outbox.is_sealed or outbox.crowd):
            self.crowd.join(outbox)
        elif name == "read" and not outbox.transport.is_lost:
            outbox.transport.reads(size)
        elif name == "turn":
            self.scene.turns.run()
        elif name in ("seal", "end") and not (outbox.is_sealed or outbox.transport.is_lost):
            outbox.seal(b"", ends=name == "end")
        elif name == "abort":
            outbox.abandon()
            outbox.transport.abort()
            client.accepted = None
        elif name == "slow" and not outbox.is_sealed:
            outbox.on_slow_consumer()
            client.accepted = None
        self.check()

    def send(self, audience, size, send):
        """Send to clients, and note who has taken it and whose frames were thrown away."""
        frame = bytes([97 + size % 26]) * size
        shared = {id(c): c.outbox.shared for c in audience}
        before = [(c.outbox.lost, c.outbox.was_cut) for c in self.clients]
        number = send(frame)
        for other, then in zip(self.clients, before, strict=True):
            if (other.outbox.lost, other.outbox.was_cut) != then:
                other.accepted = None
        kept = [c for c in audience if c.accepted is not None and not c.outbox.is_sealed]
        for client in kept if number else []:
            client.accepted += frame
            assert client.outbox.shared - shared[id(client)] in (0, 1)
        if all(c.accepted is not None for c in audience):
            assert number == len(kept)

    def check(self):
        flusher = self.scene.flusher
        stalled = [client.outbox for client in self.clients if client.outbox.is_stalled]
        stuck = sum(outbox.stuck for outbox in stalled)
        frames = sum(outbox.size for outbox in stalled)
        assert flusher.waiting == frames + stuck
        assert frames <= flusher.send_total + 4 * len(CLOSE)
        for outbox in stalled:
            assert outbox.size <= max(flusher.send_buffer, LARGEST) + len(CLOSE)

    def finish(self):
        for client in self.clients:
            outbox = client.outbox
            while self.scene.turns or (outbox.is_stalled and not outbox.transport.is_lost):
                self.scene.turns.run()
                outbox.transport.reads(10_000)
            outbox.abandon()
        self.check()
        assert self.scene.flusher.waiting == 0
        assert not self.scene.flusher.stalled
        for client in self.clients:
            if client.accepted is not None:
                assert client.outbox.transport.written == client.accepted


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_what_was_taken_arrives_whole_and_in_order_and_nothing_stays_counted(steps):
    world = World()
    for step in steps:
        world.step(*step)
    world.finish()
