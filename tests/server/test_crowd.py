"""What goes to all sockets of a host; whatever else happens meanwhile is in test_outbox.py."""

from __future__ import annotations

import pytest

from phlows_cli.server.crowd import Crowd
from phlows_cli.server.outbox import FLUSH_SIZE, SLICE
from tests.server.test_outbox import CLOSE, Scene


class Hall(Scene):
    """A scene with one crowd in it."""

    def __init__(self, members=0, **bounds):
        super().__init__(**bounds)
        self.crowd = Crowd(self.flusher)
        self.sent = []
        self.members = [self.newcomer() for _ in range(members)]

    def newcomer(self, appetite=10**9):
        client = self.client(appetite)
        self.crowd.join(client)
        return client

    def cast(self, frame, *left_out):
        return self.crowd.send(frame, set(left_out))

    def wait(self, frame):
        """Cast as soon as there is room."""

        def send():
            self.sent.append(frame)
            self.crowd.send(frame, set())

        self.crowd.when_room(len(frame), send)

    def run_all(self):
        while self.turns:
            self.turns.run()


def written(clients):
    return [client.transport.writes for client in clients]


@pytest.fixture
def hall():
    return Hall(3, send_buffer=1 << 20, send_total=1 << 24)


def test_casts_of_one_turn_leave_in_one_write_of_the_same_bytes(hall):
    assert hall.cast(b"one") == (3, 0)
    assert hall.cast(b"two") == (3, 0)
    hall.turns.run()
    assert written(hall.members) == [[b"onetwo"]] * 3


def test_nobody_is_nothing_to_keep():
    hall = Hall()
    assert hall.cast(b"one") == (0, 0)
    assert not hall.turns
    assert written([hall.newcomer()]) == [[]]


def test_a_large_crowd_is_written_a_slice_a_turn():
    hall = Hall(2 * SLICE + 1)
    hall.cast(b"one")
    for expected in (SLICE, 2 * SLICE, 2 * SLICE + 1):
        hall.turns.run()
        assert sum(map(len, written(hall.members))) == expected
    assert not hall.turns


def test_a_cast_within_a_pass_rides_with_it_and_comes_by_those_who_were_passed():
    hall = Hall(SLICE + 1)
    hall.cast(b"one")
    hall.turns.run()
    hall.cast(b"two")
    hall.run_all()
    assert written(hall.members) == [[b"one", b"two"]] * SLICE + [[b"onetwo"]]


def test_a_newcomer_gets_what_is_sent_from_then_on(hall):
    hall.cast(b"one")
    late = hall.newcomer()
    hall.cast(b"two")
    hall.run_all()
    assert written([*hall.members, late]) == [[b"onetwo"]] * 3 + [[b"two"]]


def test_a_newcomer_within_a_pass_gets_what_is_cast_after_it_came():
    hall = Hall(SLICE + 1)
    hall.cast(b"one")
    hall.turns.run()
    late = hall.newcomer()
    hall.cast(b"two")
    hall.run_all()
    assert written([late]) == [[b"two"]]


def test_who_is_left_out_gets_the_rest_in_order(hall):
    first, *others = hall.members
    hall.cast(b"one")
    assert hall.cast(b"two", first) == (2, 1)
    hall.cast(b"three")
    hall.run_all()
    assert first.transport.written == b"onethree"
    assert written(others) == [[b"onetwothree"]] * 2
    assert [client.shared for client in hall.members] == [2, 3, 3]


def test_what_is_sent_to_one_alone_keeps_its_place_among_the_casts(hall):
    first, *others = hall.members
    first.send(b"own1 ")
    hall.cast(b"cast1 ")
    first.reply(b"own2 ")
    hall.cast(b"cast2 ")
    hall.run_all()
    assert first.transport.written == b"own1 cast1 own2 cast2 "
    assert written(others) == [[b"cast1 cast2 "]] * 2


def test_who_leaves_gets_what_was_cast_before_and_nothing_after(hall):
    first = hall.members[0]
    hall.cast(b"one")
    hall.crowd.leave(first)
    hall.crowd.leave(first)
    assert hall.cast(b"two") == (2, 0)
    hall.run_all()
    assert first.transport.written == b"one"


def test_a_close_comes_behind_what_was_cast(hall):
    first = hall.members[0]
    hall.cast(b"one")
    first.seal(CLOSE, ends=False)
    hall.cast(b"two")
    hall.run_all()
    assert first.transport.written == b"one" + CLOSE


def test_what_was_lost_with_a_connection_is_counted(hall):
    hall.cast(b"one")
    hall.cast(b"two")
    assert hall.members[0].abandon() == 2
    hall.run_all()
    assert written(hall.members) == [[], [b"onetwo"], [b"onetwo"]]


def test_a_client_that_does_not_read_holds_its_own_frames_and_comes_back():
    hall = Hall(1, send_buffer=100)
    slow = hall.newcomer(appetite=1)
    hall.cast(b"one")
    hall.run_all()
    assert slow.is_stalled
    assert hall.cast(b"two") == (2, 1)
    assert (slow.size, hall.flusher.waiting) == (3, 3 + 2)
    slow.transport.reads()
    assert hall.cast(b"three") == (2, 0)
    hall.run_all()
    assert written([slow]) == [[b"one", b"two", b"three"]]
    assert [client.shared for client in (*hall.members, slow)] == [3, 2]


def test_a_slow_consumer_is_none_of_those_who_were_sent_to():
    hall = Hall(2, send_buffer=10)
    slow = hall.newcomer(appetite=0)
    hall.cast(b"x" * 8)
    hall.run_all()
    assert hall.cast(b"y" * 8) == (2, 1)
    assert slow.is_sealed
    assert hall.cast(b"z") == (2, 0)


def test_who_joins_while_it_is_stalled_is_sent_each_frame():
    hall = Hall()
    slow = hall.stalled()
    hall.crowd.join(slow)
    assert hall.cast(b"one") == (1, 1)
    slow.transport.reads()
    hall.run_all()
    assert slow.transport.written == b"xone"


def test_who_would_send_too_much_to_be_joined_waits_until_a_pass_is_over():
    hall = Hall(SLICE + 1)
    hall.cast(b"x" * (hall.flusher.flush_size - 10))
    assert hall.crowd.has_room(10)
    assert not hall.crowd.has_room(11)
    hall.wait(b"y" * 11)
    hall.wait(b"z")
    assert not hall.crowd.has_room(1), "those who wait are first"
    hall.turns.run()
    assert hall.sent == []
    hall.run_all()
    assert hall.sent == [b"y" * 11, b"z"]
    whole = b"x" * (hall.flusher.flush_size - 10) + b"y" * 11 + b"z"
    assert {client.transport.written for client in hall.members} == {whole}
    assert hall.crowd.has_room(hall.flusher.flush_size)


def test_what_is_larger_than_all_that_is_kept_goes_alone(hall):
    large = b"x" * (2 * FLUSH_SIZE)
    assert hall.crowd.has_room(len(large))
    hall.wait(large)
    assert hall.sent == [large]
    hall.wait(b"y")
    hall.wait(large)
    assert hall.sent == [large]
    hall.run_all()
    assert hall.sent == [large, b"y", large]
    assert {client.transport.written for client in hall.members} == {large + b"y" + large}


def test_who_waits_is_let_in_though_everybody_leaves_meanwhile(hall):
    hall.cast(b"x" * FLUSH_SIZE)
    hall.wait(b"y")
    for member in hall.members:
        hall.crowd.leave(member)
    assert hall.sent == []
    hall.run_all()
    assert hall.sent == [b"y"]


def test_frames_that_one_socket_takes_are_counted_by_their_bytes():
    hall = Hall(SLICE + 1)
    for frame in (b"a", b"bb", b"ccc"):
        hall.cast(frame)
        hall.turns.run()  # goes on with the next one, and forgets what all have
    hall.cast(b"dddd")
    last = hall.members[-1]
    waiting = b"".join(hall.crowd.since(last.taken))
    last.send(b"own")
    assert last.size == len(waiting) + 3
    hall.run_all()
    assert last.transport.written == b"abbcccddddown"


def test_small_crowds_share_a_turn(hall):
    others = [Crowd(hall.flusher) for _ in range(10)]
    guests = [hall.client() for _ in others]
    for crowd, guest in zip(others, guests, strict=True):
        crowd.join(guest)
        crowd.send(b"one", set())
    hall.turns.run()
    assert written(guests) == [[b"one"]] * 10
    assert not hall.turns


def test_casts_that_never_stop_are_forgotten_once_all_have_them():
    hall = Hall(SLICE + 1)
    kept = []
    for number in range(100):
        hall.cast(b"%03d" % number)
        hall.turns.run()
        kept.append(len(hall.crowd._frames))
    assert max(kept) <= 8
    hall.run_all()
    expected = b"".join(b"%03d" % number for number in range(100))
    assert {client.transport.written for client in hall.members} == {expected}
    assert (hall.crowd._frames, hall.crowd._marks, hall.crowd._joined) == ([], [], b"")


def test_crowds_of_two_hosts_take_turns():
    hall = Hall(2 * SLICE)
    other = Crowd(hall.flusher)
    guests = [hall.client() for _ in range(2 * SLICE)]
    for guest in guests:
        other.join(guest)
    hall.cast(b"one")
    other.send(b"two", set())
    progress = []
    while hall.turns:
        hall.turns.run()
        progress.append([sum(map(len, written(them))) for them in (hall.members, guests)])
    assert progress[:2] == [[SLICE, 0], [SLICE, SLICE]]
    assert progress[-1] == [2 * SLICE, 2 * SLICE]


def test_replies_are_written_before_a_large_cast_has_gone_by():
    hall = Hall(3 * SLICE)
    last = hall.members[-1]
    hall.cast(b"cast ")
    last.reply(b"reply")
    hall.turns.run()
    assert last.transport.written == b"cast reply"
