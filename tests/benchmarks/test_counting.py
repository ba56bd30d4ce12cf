from __future__ import annotations

import os
import socket
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks import bridge, fanout
from benchmarks.audience import Audience, check_order
from benchmarks.ceiling import reading_ceiling
from benchmarks.errors import ContenderError, CountError
from benchmarks.fanout import Listeners
from benchmarks.process import Contender, free_port, running
from benchmarks.rounds import interleaved
from benchmarks.sockets import exchanges, upgraded
from benchmarks.wire import (
    DATA_SIZE,
    FRAME_SIZE,
    numbered_data,
    numbered_frame,
    upgrade_request,
)

sys.path.append(str(Path(__file__).parent))
import tiny_server

SOCKETS = 20
SHORT = 0.1
HTTP_ANSWERER = """
import socket
import sys
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture
def swift_stall(monkeypatch):
    monkeypatch.setattr(fanout, "WAIT", 0.3)


@contextmanager
def listening(server):
    """Open sockets, counted by the generator that is written in Python."""
    request = upgrade_request("tiny.test")
    with (
        upgraded(server.port, SOCKETS, lambda _: request) as sockets,
        Listeners(Contender("tiny", server.port), sockets) as all_,
    ):
        yield all_


@pytest.mark.parametrize("window", [1, 8])
def test_every_delivery_is_counted_once_and_the_server_agrees(window):
    with (
        tiny_server.running() as server,
        listening(server) as all_,
    ):
        outcome = all_.measure(window, SHORT, keep_every=1)

        assert server.casts >= window
        assert server.delivered == server.casts * SOCKETS
        assert all_.audience.total == server.delivered * FRAME_SIZE
        assert outcome.count == server.delivered


def test_a_second_round_starts_counting_at_nothing():
    with (
        tiny_server.running() as server,
        listening(server) as all_,
    ):
        all_.measure(4, SHORT)
        before = server.delivered
        all_.measure(4, SHORT)

        assert all_.audience.total == (server.delivered - before) * FRAME_SIZE


@pytest.mark.parametrize("ping", [b"\x89\x00", b"\x89\x04beat"], ids=["empty", "with bytes"])
def test_pings_between_deliveries_are_answered_and_not_counted(ping):
    def delivery(cast, index, frame):
        return ping + frame + ping if (cast + index) % 3 == 0 else frame

    with (
        tiny_server.running(delivery) as server,
        listening(server) as all_,
    ):
        outcome = all_.measure(4, SHORT, keep_every=1)

        assert outcome.count == server.delivered == server.casts * SOCKETS
        assert all_.audience.total == server.delivered * FRAME_SIZE


def test_a_frame_in_two_parts_is_one_delivery():
    ours, theirs = socket.socketpair()
    frame = numbered_frame(0, 0)
    with ours, theirs, closing(Audience([ours])) as audience:
        audience.keep(1)
        for part in (b"\x89", b"\x00" + frame[:3], frame[3:50], frame[50:]):
            assert audience.total == 0
            theirs.sendall(part)
            audience.read(1)

        audience.check(casts=1, connections=1)
        assert theirs.recv(100) == b"\x8a\x80\x37\xfa\x21\x3d"


def test_a_close_frame_ends_the_round_with_its_reason():
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(Audience([ours])) as audience:
        theirs.sendall(b"\x88\x0f\x0f\xa0slow consumer")

        with pytest.raises(ContenderError, match="slow consumer"):
            audience.read(1)


def unfaithful_to(socket, at_cast, delivered):
    return lambda cast, index, frame: (
        delivered(frame) if (cast, index) == (at_cast, socket) else frame
    )


@pytest.mark.usefixtures("swift_stall")
@pytest.mark.parametrize(
    ("delivered", "complaint"),
    [
        (lambda frame: b"", "nothing more came"),
        (lambda frame: frame + frame, "casts are"),
        (lambda frame: frame[:-1], "nothing more came"),
        (lambda frame: frame.replace(b"xxx", b"xyx", 1), "expected cast"),
        (lambda frame: b"\x82" + frame[1:], "expected cast"),
    ],
    ids=["lost", "twice", "cut short", "altered", "another opcode"],
)
def test_one_wrong_delivery_to_one_socket_ends_the_round(delivered, complaint):
    delivery = unfaithful_to(7, 3, delivered)
    with (
        tiny_server.running(delivery) as server,
        listening(server) as all_,
        pytest.raises(CountError, match=complaint),
    ):
        all_.measure(1, SHORT, keep_every=1)


def test_one_lost_and_another_twice_are_not_evened_out():
    def delivery(cast, index, frame):
        return {(2, 0): b"", (2, 1): frame + frame}.get((cast, index), frame)

    with (
        tiny_server.running(delivery) as server,
        listening(server) as all_,
        pytest.raises(CountError, match="casts are"),
    ):
        all_.measure(1, SHORT, keep_every=SOCKETS)


def test_a_receipt_that_names_fewer_sockets_ends_the_round():
    with (
        tiny_server.running() as server,
        listening(server) as all_,
    ):
        server.unseen = 1
        with pytest.raises(ContenderError, match="not 20 sent"):
            all_.measure(1, SHORT)


def test_the_order_of_each_connection_is_checked_on_its_own():
    check_order(b"".join(numbered_frame(*each) for each in [(1, 0), (0, 0), (1, 1)]), 2)

    with pytest.raises(CountError, match="expected cast 0"):
        check_order(numbered_frame(0, 1) + numbered_frame(0, 0), 2)
    with pytest.raises(CountError, match="not a frame of ours"):
        check_order(numbered_frame(2, 0), 2)


def test_bridge_requests_are_counted_by_their_answers():
    with tiny_server.running() as server:
        contender = Contender("tiny", server.port)
        with exchanges(server.port, bridge.CONNECTIONS) as lines:
            request = contender.cast("all", numbered_data(0, 0))
            outcome = bridge.in_python(lines, request, SHORT)

        assert outcome.count == server.casts >= bridge.CONNECTIONS


def test_a_cast_is_as_long_as_it_says():
    assert len(numbered_data(31, 99_999_999)) == DATA_SIZE
    assert len(numbered_frame(0, 0)) == FRAME_SIZE
    assert [len(numbered_frame(0, 0, size)) for size in (64, 16384)] == [66, 16388]


def test_the_ceiling_is_taken_by_the_same_exact_count():
    assert reading_ceiling(8, waiting=4, passes=1, in_c=False) > 0


def test_rounds_take_turns_and_every_other_goes_backwards():
    taken = []
    outcomes = interleaved([lambda: taken.append("a") or 1, lambda: taken.append("b") or 2], 3)

    assert taken == ["a", "b", "b", "a", "a", "b"]
    assert outcomes == [[1, 1, 1], [2, 2, 2]]


def test_a_contender_is_ended_when_the_run_fails(tmp_path):
    port = free_port()
    command = [sys.executable, "-c", HTTP_ANSWERER, str(port)]
    with suppress(KeyboardInterrupt), running(Contender("answerer", port), command, tmp_path) as it:
        os.kill(it.pid, 0)  # it runs
        raise KeyboardInterrupt

    with pytest.raises(ProcessLookupError):
        os.kill(it.pid, 0)


def test_a_contender_that_ends_at_once_is_reported_with_what_it_said(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit('no such port')"]
    with (
        pytest.raises(ContenderError, match=r"ended with 1\nender said: no such port"),
        running(Contender("ender", free_port()), command, tmp_path),
    ):
        pass
