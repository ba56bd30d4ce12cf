from __future__ import annotations

import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from benchmarks import handshakes, native
from benchmarks.ceiling import reading_ceiling
from benchmarks.crowd import Crowd, Listeners, Turn
from benchmarks.errors import CountError
from benchmarks.generator import Generator
from benchmarks.process import Contender
from benchmarks.sockets import exchanges
from benchmarks.wire import message_frame, text_frame, upgrade_request

sys.path.append(str(Path(__file__).parent))
import tiny_server

pytestmark = pytest.mark.cc

SOCKETS = 20
SHORT = 0.1
ASKED = message_frame(b"what is sent!!")
ECHOED = text_frame(b"what is sent!!")


@contextmanager
def listening(server, **crowd):
    with Listeners(Contender("tiny", server.port), Crowd(SOCKETS, **crowd)) as all_:
        yield all_


@contextmanager
def answering(message, answer):
    """One connection whose other end sends this for each such message."""
    ours, theirs = socket.socketpair()

    def serve():
        with suppress(OSError):
            while received := theirs.recv(4096):
                theirs.sendall(answer * received.count(message))

    thread = Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        ours.close()
        theirs.close()


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("size", [64, 128, 16384])
def test_every_delivery_is_counted_once_and_the_server_agrees(window, size):
    with tiny_server.running() as server, listening(server, size=size) as all_:
        outcome = all_.cast(Turn(window, SHORT))

        assert server.casts >= window
        assert outcome.count == server.casts * SOCKETS
        assert outcome.last.count == server.casts


def test_a_second_round_starts_counting_at_nothing():
    with tiny_server.running() as server, listening(server) as all_:
        all_.cast(Turn(4, SHORT))
        before = server.casts
        outcome = all_.cast(Turn(4, SHORT))

        assert outcome.count == (server.casts - before) * SOCKETS


def test_as_many_casts_are_made_as_the_rate_says_and_each_delivery_is_timed():
    with tiny_server.running() as server, listening(server) as all_:
        outcome = all_.cast(Turn(8, 0.2, rate=50))

        assert server.casts == outcome.last.count == 10
        assert outcome.each.count == outcome.count == 10 * SOCKETS
        assert 0 < outcome.each.p50 <= outcome.each.p99 <= outcome.each.most


@pytest.mark.parametrize("ping", [b"\x89\x00", b"\x89\x04beat"], ids=["empty", "with bytes"])
def test_pings_between_deliveries_are_answered_and_not_counted(ping):
    def delivery(cast, index, frame):
        return ping + frame + ping if (cast + index) % 3 == 0 else frame

    with tiny_server.running(delivery) as server, listening(server) as all_:
        outcome = all_.cast(Turn(4, SHORT))

        assert outcome.count == server.casts * SOCKETS
        assert 0 < outcome.pings < outcome.count


@pytest.mark.parametrize(
    ("delivered", "complaint"),
    [
        (lambda frame: frame + frame, "expected cast"),
        (lambda frame: frame.replace(b"xxx", b"xyx", 1), "not a frame that was cast"),
        (lambda frame: b"\x82" + frame[1:], "opcode 82"),
        (lambda frame: b"\x88\x0f\x0f\xa0slow consumer", "4000 slow consumer"),
    ],
    ids=["twice", "altered", "another opcode", "closed"],
)
def test_one_wrong_delivery_to_one_socket_ends_the_round(delivered, complaint):
    def delivery(cast, index, frame):
        return delivered(frame) if (cast, index) == (3, 7) else frame

    with (
        tiny_server.running(delivery) as server,
        listening(server) as all_,
        pytest.raises(CountError, match=complaint),
    ):
        all_.cast(Turn(1, SHORT))


def test_one_lost_and_the_next_in_its_place_are_told():
    held = []

    def delivery(cast, index, frame):
        if index:
            return frame
        held.append(frame)
        return b"" if len(held) < 2 else held[1] + held[0] if len(held) == 2 else frame

    with (
        tiny_server.running(delivery) as server,
        listening(server) as all_,
    ):
        outcome = all_.cast(Turn(2, SHORT))  # two connections: their order is free

        assert outcome.count == server.casts * SOCKETS


def test_a_cast_that_reaches_others_than_its_target_ends_the_round():
    with (
        tiny_server.running() as server,
        listening(server, target="token", token_size=5) as all_,
        pytest.raises(CountError, match=r"not in its target|without \"sent\":5,"),
    ):
        all_.cast(Turn(1, SHORT))


def test_a_receipt_that_names_fewer_sockets_ends_the_round():
    with tiny_server.running() as server, listening(server) as all_:
        server.unseen = 1
        with pytest.raises(CountError, match='without "sent":20,'):
            all_.cast(Turn(1, SHORT))


def test_a_generator_in_a_process_of_its_own_counts_the_same_and_tells_what_is_wrong():
    with tiny_server.running() as server:
        contender = Contender("tiny", server.port)
        with Generator(contender, Crowd(SOCKETS)).ready() as generator:
            outcome = generator.cast(Turn(4, SHORT))
            assert outcome.count == server.casts * SOCKETS

            assert generator.attend(0.0).count == 0
            server.unseen = 1
            with pytest.raises(CountError, match="without"):
                generator.cast(Turn(1, SHORT))


@pytest.mark.parametrize("depth", [1, 8])
def test_requests_are_counted_by_their_answers(depth):
    with tiny_server.running() as server, exchanges(server.port, 4) as lines:
        request = Contender("tiny", server.port).cast("all", b"{}")
        connections = [line.connection for line in lines]
        outcome = native.ask(connections, request, b'"sent":0', SHORT, depth=depth, is_http=True)

        assert outcome.count == outcome.each.count == server.casts >= 4 * depth


def test_an_answer_that_is_not_the_echo_ends_the_round():
    with (
        answering(ASKED, text_frame(b"something else")) as line,
        pytest.raises(CountError, match="not the answer that was asked for"),
    ):
        native.ask([line], ASKED, ECHOED, SHORT)


def test_echoes_are_counted_and_pings_among_them_answered():
    with answering(ASKED, b"\x89\x00" + ECHOED) as line:
        outcome = native.ask([line], ASKED, ECHOED, SHORT)

        assert outcome.count > 0


def test_every_handshake_is_answered_before_the_next_round():
    with tiny_server.running() as server:
        outcome, opened = native.shake(server.port, upgrade_request("tiny.test"), 50, 8)
        for each in opened:
            os.close(each)

        assert outcome.count == len(set(opened)) == 50
        assert handshakes.UNDER_WAY > 8


def test_a_refused_handshake_ends_the_round_and_leaves_no_socket_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    with tiny_server.running() as server, pytest.raises(CountError, match="ended before"):
        native.shake(server.port, b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 3, 1)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("size", [128, 16384])
def test_the_ceiling_is_taken_by_the_same_exact_count(size):
    assert reading_ceiling(8, waiting=4, size=size, passes=2, in_c=True) > 0
