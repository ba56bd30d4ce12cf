from __future__ import annotations

import gc
import importlib.util
import random
import struct
import sys
from itertools import chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from phlows_cli.wire.frame import close_frame, pong_frame
from phlows_cli.wire.quiet import QUIET
from phlows_cli.wire.websocket import FRAGMENTS, CloseFailure, MessageReader, PeerClose

MAX = 300
FIN = 0x80
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def client_frame(opcode, payload=b"", *, first=FIN, mask=b"\x11\x22\x33\x44", width=0):
    """A masked frame; `width` asks for a longer length field than is needed."""
    size = len(payload)
    head = bytes([first | opcode])
    if size < 126 and not width:
        head += bytes([0x80 | size])
    elif size < 65536 and width < 8:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + mask + apply_mask(payload, mask)


def text(message):
    return client_frame(TEXT, message.encode())


def fragments(*pieces, opcode=TEXT):
    last = len(pieces) - 1
    return b"".join(
        client_frame(CONT if at else opcode, piece, first=FIN if at == last else 0)
        for at, piece in enumerate(pieces)
    )


def close(code=None, reason=""):
    return client_frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


def whole(data):
    return [data]


def byte_by_byte(data):
    return [data[at : at + 1] for at in range(len(data))]


FEEDS = pytest.mark.parametrize("cut", [whole, byte_by_byte])


def drain(reader, limit=64):
    events = reader.events_received(limit)
    while reader.has_more:
        events += reader.events_received(limit)
    return events


def take(reader, piece, limit=64):
    """What a connection does with what it has read."""
    message = reader.whole_text(piece)
    if message is not None:
        return [message]
    reader.receive_data(piece)
    return drain(reader, limit)


def read(data, cut=whole, max_message=MAX):
    reader = MessageReader(max_message)
    events = []
    for piece in cut(data):
        events += take(reader, piece)
    return reader, events


@FEEDS
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_message_of_any_size_is_read(cut, size):
    message = "x" * size
    if cut is byte_by_byte and size > 1000:
        data = text(message)
        pieces = [data[:1], data[1:2], *byte_by_byte(data[2:20]), data[20:-1], data[-1:]]
        reader, events = read(data, lambda data: pieces, 70000)
    else:
        reader, events = read(text(message), cut, 70000)
    assert (events, reader.data_to_send(), reader.failed) == ([message], b"", None)


def test_a_short_message_alone_in_its_piece_is_read_at_once():
    reader = MessageReader(MAX)
    assert reader.whole_text(text("zwei €")) == "zwei €"
    assert reader.whole_text(text("")) == ""
    assert reader.whole_text(text("x" * 125)) == "x" * 125
    assert (drain(reader), reader.data_to_send(), reader.failed) == ([], b"", None)


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        text("one")[:1],
        text("one")[:-1],
        text("one") + b"x",
        text("x" * 126),
        b"\x81\x03" + b"one1234",  # not masked
        client_frame(TEXT, b"one", width=2),
        client_frame(TEXT, b"\xff"),
        client_frame(TEXT, b"one", first=0),
        client_frame(PING, b"one"),
        client_frame(BINARY, b"one"),
        close(1000),
    ],
)
def test_what_is_no_short_message_alone_is_left_to_the_reader(piece):
    assert MessageReader(MAX).whole_text(piece) is None


def test_nothing_is_read_past_what_came_before():
    half = MessageReader(MAX)
    half.receive_data(text("one")[:3])
    within, closing, over = MessageReader(MAX), MessageReader(MAX), MessageReader(MAX)
    within.receive_data(client_frame(TEXT, b"half", first=0))
    closing.close_sent()
    over.receive_data(close(1000))
    for reader in (half, within, closing, over):
        drain(reader)
        assert reader.whole_text(text("two")) is None
    assert MessageReader(2).whole_text(text("one")) is None


@FEEDS
def test_messages_come_out_in_order_and_trailing_bytes_wait(cut):
    reader, events = read(text("one") + text("zwei €") + text("three")[:-1], cut)
    assert events == ["one", "zwei €"]
    reader.receive_data(text("three")[-1:])
    assert drain(reader) == ["three"]


@FEEDS
def test_fragments_are_joined_before_they_are_decoded(cut):
    euro = "€".encode()
    reader, events = read(fragments(b"a" + euro[:1], euro[1:2], b"", euro[2:] + b"b"), cut)
    assert (events, reader.failed) == (["a€b"], None)


@FEEDS
def test_pings_between_fragments_are_answered_at_once(cut):
    data = client_frame(TEXT, b"a", first=0) + client_frame(PING, b"now")
    reader, events = read(data, cut)
    assert (events, reader.data_to_send()) == ([], pong_frame(b"now"))
    reader.receive_data(client_frame(CONT, b"b") + text("c"))
    assert drain(reader) == ["ab", "c"]


@FEEDS
def test_pings_are_answered_in_order_and_pongs_are_not(cut):
    data = client_frame(PING, b"1") + client_frame(PONG, b"2") + client_frame(PING, b"x" * 125)
    reader, events = read(data, cut)
    assert events == []
    assert reader.data_to_send() == pong_frame(b"1") + pong_frame(b"x" * 125)
    assert reader.data_to_send() == b""
    assert reader.control_frames == 3


@FEEDS
def test_a_ping_does_not_count_for_a_message_that_is_nearly_full(cut):
    data = client_frame(TEXT, b"a" * MAX, first=0) + client_frame(PING, b"p" * 125)
    reader, events = read(data + client_frame(CONT), cut)
    assert (events, reader.failed) == (["a" * MAX], None)


CLOSES = {
    "within a message": (
        client_frame(TEXT, b"a", first=0) + close(1000),
        PeerClose(1000, ""),
        close_frame(1000),
    ),
    "without code": (close(), PeerClose(1005, ""), b"\x88\x00"),
    "normal": (close(1000), PeerClose(1000, ""), close_frame(1000)),
    "with reason": (close(1001, "böse"), PeerClose(1001, "böse"), close_frame(1001, "böse")),
    "private": (close(4999, "x" * 123), PeerClose(4999, "x" * 123), close_frame(4999, "x" * 123)),
}


@FEEDS
@pytest.mark.parametrize("case", CLOSES)
def test_a_close_is_echoed_and_ends_the_stream(case, cut):
    data, event, echo = CLOSES[case]
    reader, events = read(text("last") + data + text("late") + b"garbage", cut)
    assert events == ["last", event]
    assert (reader.data_to_send(), reader.failed, reader.has_more) == (echo, None, False)
    assert reader.control_frames == 1


PROTOCOL = 1002
BAD_TEXT = (1007, "text that is not UTF-8")
BINARY_REFUSED = (1003, "binary messages are not supported")
TOO_BIG = "message of {} bytes exceeds 300 (limits.max_message)"
FAILURES = {
    "reserved bit": (client_frame(TEXT, b"a", first=0xC0), PROTOCOL, "reserved bits must be 0"),
    "reserved bit on a ping": (client_frame(PING, first=0xA0), PROTOCOL, "reserved bits must be 0"),
    "unknown opcode": (client_frame(3, b"a"), PROTOCOL, "invalid opcode"),
    "unknown control opcode": (client_frame(11)[:2], PROTOCOL, "invalid opcode"),
    "no mask": (b"\x81\x01", PROTOCOL, "incorrect masking"),
    "no mask and long": (b"\x81\x7f", PROTOCOL, "incorrect masking"),
    "a ping in fragments": (
        client_frame(PING, b"a", first=0),
        PROTOCOL,
        "fragmented control frame",
    ),
    "a long ping": (client_frame(PING, b"a" * 126), PROTOCOL, "control frame too long"),
    "a continuation of nothing": (
        client_frame(CONT, b"a"),
        PROTOCOL,
        "unexpected continuation frame",
    ),
    "text within a message": (
        client_frame(TEXT, b"a", first=0) + text("b"),
        PROTOCOL,
        "expected a continuation frame",
    ),
    "binary within a message": (
        client_frame(TEXT, b"a", first=0) + client_frame(BINARY, b"b"),
        PROTOCOL,
        "expected a continuation frame",
    ),
    "half a close code": (client_frame(CLOSE, b"a"), PROTOCOL, "close frame too short"),
    "a close code that never travels": (close(1005), PROTOCOL, "invalid status code"),
    "a close reason that is not UTF-8": (
        client_frame(CLOSE, b"\x03\xe8\xff"),
        1007,
        "invalid start byte at position 0",
    ),
    "binary": (client_frame(BINARY, b"a"), *BINARY_REFUSED),
    "an empty binary": (client_frame(BINARY), *BINARY_REFUSED),
    "binary in fragments": (client_frame(BINARY, b"a", first=0), *BINARY_REFUSED),
    "bad text": (client_frame(TEXT, b"a\xff"), *BAD_TEXT),
    "half a character": (client_frame(TEXT, "€".encode()[:2]), *BAD_TEXT),
    "half a surrogate pair": (client_frame(TEXT, b"\xed\xa0\x80"), *BAD_TEXT),
    "bad text in fragments": (fragments(b"a\xff", b"b"), *BAD_TEXT),
    "a long message": (client_frame(TEXT, b"a" * 301)[:4], 1009, TOO_BIG.format(301)),
    "an endless message": (
        b"\x81\xff" + b"\xff" * 8,
        1009,
        TOO_BIG.format(2**64 - 1),
    ),
    "a long binary": (client_frame(BINARY, b"a" * 301)[:4], 1009, TOO_BIG.format(301)),
    "a long message in fragments": (
        client_frame(TEXT, b"a" * 200, first=0) + client_frame(CONT, b"a" * 101)[:2],
        1009,
        TOO_BIG.format(301),
    ),
    "many fragments": (
        fragments(*[b""] * (FRAGMENTS + 1)),
        1009,
        f"message of more than {FRAGMENTS} fragments",
    ),
}


@FEEDS
@pytest.mark.parametrize("case", FAILURES)
def test_a_client_that_breaks_the_protocol_is_closed_with_the_reason(case, cut):
    data, code, reason = FAILURES[case]
    before = text("good") + client_frame(PING, b"p")
    reader, events = read(before + data, cut)
    assert reader.failed == CloseFailure(code, reason)
    assert events == ["good"]
    assert reader.data_to_send() == pong_frame(b"p") + close_frame(code, reason)
    reader.receive_data(text("late") + close(1000))
    assert (drain(reader), reader.data_to_send(), reader.has_more) == ([], b"", False)


def test_every_limit_itself_is_allowed():
    assert read(text("a" * MAX))[1] == ["a" * MAX]
    assert read(fragments(b"a" * 200, b"a" * 100))[1] == ["a" * MAX]
    assert read(fragments(*[b""] * FRAGMENTS))[1] == [""]


@FEEDS
def test_a_reason_longer_than_any_message_may_be_is_no_failure(cut):
    reader, events = read(client_frame(PING, b"p" * 125) + close(1000, "r" * 123), cut, 10)
    assert (events, reader.failed) == ([PeerClose(1000, "r" * 123)], None)


@FEEDS
def test_after_our_close_only_the_clients_close_is_seen(cut):
    reader, _ = read(client_frame(TEXT, b"half", first=0) + client_frame(PING))
    reader.close_sent()
    events = []
    data = client_frame(CONT, b"\xff") + text("late") + client_frame(TEXT, b"\xff")
    data += client_frame(PING, b"p") + fragments(b"a", b"b", opcode=BINARY)
    for piece in cut(data + client_frame(BINARY, b"b") + close(1000, "bye")):
        events += take(reader, piece)
    assert events == [PeerClose(1000, "bye")]
    assert (reader.data_to_send(), reader.failed) == (b"", None)


@FEEDS
def test_a_failure_after_our_close_is_told_but_not_sent(cut):
    reader = MessageReader(MAX)
    reader.close_sent()
    for piece in cut(b"\x81\x00"):
        assert take(reader, piece) == []
    assert reader.failed == CloseFailure(1002, "incorrect masking")
    assert reader.data_to_send() == b""


def test_one_call_reads_no_more_frames_than_its_limit():
    reader = MessageReader(MAX)
    reader.receive_data(b"".join(text(str(n)) for n in range(150)) + text("rest")[:3])
    calls = []
    while not calls or reader.has_more:
        calls.append(reader.events_received())
    assert [len(events) for events in calls] == [64, 64, 22]
    assert list(chain(*calls)) == [str(n) for n in range(150)]
    assert not reader.has_more


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (client_frame(PING) * 9, 9),
        (client_frame(PONG) * 9, 9),
        (fragments(b"a", b"b", b"c") * 3, 9),
        (text("a") * 9, 9),
    ],
    ids=["pings", "pongs", "fragments", "messages"],
)
def test_frames_of_every_kind_count_for_the_limit(data, frames):
    reader = MessageReader(MAX)
    reader.receive_data(data)
    calls = 0
    while not calls or reader.has_more:
        reader.events_received(2)
        calls += 1
    assert calls == (frames + 1) // 2


def test_exactly_a_limit_of_frames_leaves_nothing_more():
    reader = MessageReader(MAX)
    reader.receive_data(text("a") * 64)
    assert (len(reader.events_received()), reader.has_more) == (64, False)


def test_bytes_may_come_while_there_is_more_to_read():
    reader = MessageReader(MAX)
    reader.receive_data(text("1") + text("2") + text("3")[:4])
    assert (reader.events_received(1), reader.has_more) == (["1"], True)
    reader.receive_data(text("3")[4:] + text("4"))
    assert (reader.events_received(1), reader.has_more) == (["2"], True)
    assert drain(reader) == ["3", "4"]


def test_a_client_is_not_held_to_bytes_it_did_not_send_yet():
    reader = MessageReader(MAX)
    assert (reader.events_received(), reader.has_more) == ([], False)


def test_an_idle_socket_holds_next_to_nothing():
    data = text("a" * 200) * 100 + fragments(b"a", b"b") + client_frame(PING)
    reader, _ = read(data + text("end"), cut=lambda data: [data[:5000], data[5000:]])
    reader.data_to_send()
    held = [part for part in gc.get_referents(reader) if part not in (None, True, False, MAX, 0)]
    assert (
        sum(sys.getsizeof(part) for part in held if part != b"" and part is not type(reader)) < 100
    )
    assert sys.getsizeof(reader) < 200
    assert not hasattr(reader, "__dict__")


def test_a_partial_frame_does_not_hold_the_read_it_came_in():
    reader, _ = read(text("a" * 200) * 300 + b"\x81")
    assert (
        sum(sys.getsizeof(part) for part in gc.get_referents(reader) if isinstance(part, bytes))
        < 200
    )


def test_messages_are_read_without_the_c_extension_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    spec = importlib.util.find_spec("phlows_cli.wire.websocket")
    slow = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(slow)
    assert slow.apply_mask is apply_mask
    reader = slow.MessageReader(MAX)
    for piece in byte_by_byte(text("ein €") + client_frame(PING, b"p")):
        reader.receive_data(piece)
        if events := reader.events_received():
            assert events == ["ein €"]
    assert reader.data_to_send() == pong_frame(b"p")


class Reference:
    """websockets itself, fed byte by byte: what the reader must agree with.

    On top of it stands only what websockets leaves to its user: joining,
    decoding, refusing binary. Its departures: websockets counts a control frame
    against the message it comes in the middle of, and refuses a close there;
    here both are let in, as RFC 6455, 5.4, says.
    """

    def __init__(self, stream):
        self.stream = stream
        self.protocol = ServerProtocol(state=OPEN, max_size=MAX, logger=QUIET)
        self.events = []
        self.parts = []
        self.writes = []
        self.failure = None
        self.is_closing = False
        self.is_over = False
        self.at_boundary = True

    def run(self, close_at):
        for at in range(len(self.stream)):
            if at == close_at:
                self.close()
            if self.is_over:
                break
            if self.at_boundary:
                head = self.stream[at : at + 2]
                is_control = len(head) == 2 and head[0] & 8 and head[1] & 127 <= 125
                self.protocol.max_message_size = MAX + 125 if is_control else MAX
                if is_control and head[0] == FIN | CLOSE:
                    self.protocol.current_size = None
            self.at_boundary = False
            self.protocol.receive_data(self.stream[at : at + 1])
            self.take()
        if close_at == len(self.stream):
            self.close()
        return self

    def close(self):
        if not self.is_over:
            self.writes = []
            self.protocol.send_close(1000)
            self.protocol.data_to_send()
        self.is_closing = True

    def take(self):
        for frame in self.protocol.events_received():
            self.at_boundary = True
            if frame.opcode is Opcode.CLOSE:
                self.is_over = True
                received = self.protocol.close_rcvd
                self.events.append(PeerClose(received.code, received.reason))
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self.take_data(frame)
        if self.protocol.parser_exc is not None:
            self.fail(code_of(self.protocol.parser_exc))
        written = b"".join(self.protocol.data_to_send())
        if written and not self.is_closing:
            self.writes.append(written)

    def take_data(self, frame):
        if self.is_closing:
            return
        if frame.opcode is Opcode.BINARY:
            self.protocol.fail(1003, "binary messages are not supported")
            self.fail(1003)
            return
        if frame.opcode is Opcode.TEXT:
            self.parts = []
        self.parts.append(frame.data)
        if frame.fin:
            try:
                self.events.append(b"".join(self.parts).decode())
            except UnicodeDecodeError:
                self.protocol.fail(1007, "text that is not UTF-8")
                self.fail(1007)

    def fail(self, code):
        self.failure = self.failure or code
        self.is_over = True


def code_of(error):
    if isinstance(error, PayloadTooBig):
        return 1009
    return 1007 if isinstance(error, UnicodeDecodeError) else 1002


def without_reason(frames):
    """What was sent, with a close frame cut down to its code."""
    seen, at = [], 0
    while at < len(frames):
        size = frames[at + 1]
        payload = frames[at + 2 : at + 2 + size]
        is_close = frames[at] == 0x88
        seen.append((frames[at], Close.parse(payload).code if is_close else payload))
        at += 2 + size
    return seen


TEXTS = [b"", b"a", "€".encode(), "🙂".encode(), b"x" * 124, b"x" * 126, b"x" * 150, b"x" * 300]
BAD_TEXTS = [b"\xff", "€".encode()[:2], b"\xed\xa0\x80", b"ok\xc0\x80", "€".encode()[1:]]


def random_text(chance):
    pool = TEXTS if chance.random() < 0.95 else BAD_TEXTS
    return b"".join(chance.choice(pool[:4] if chance.random() < 0.8 else pool) for _ in range(2))


def random_control(chance):
    kind = chance.choice([PING, PING, PONG])
    return client_frame(kind, chance.randbytes(chance.choice([0, 0, 3, 60, 125])))


def random_fragments(chance):
    whole_text = b"".join(random_text(chance) for _ in range(chance.randint(1, 4)))
    edges = sorted(chance.randint(0, len(whole_text)) for _ in range(chance.randint(1, 4)))
    edges = [0, *edges, len(whole_text)]
    out = b""
    for at in range(len(edges) - 1):
        first = FIN if at == len(edges) - 2 else 0
        piece = whole_text[edges[at] : edges[at + 1]]
        out += client_frame(CONT if at else TEXT, piece, first=first)
        if chance.random() < 0.3:
            out += random_control(chance)
    return out


def random_close(chance):
    code = chance.choice([1000, 1001, 1002, 1004, 1005, 1006, 1012, 1015, 2999, 3000, 4999, 5000])
    reason = chance.choice([b"", b"bye", "über".encode(), b"\xff", b"x" * 123])
    payload = chance.choice([b"", b"\x03", struct.pack("!H", code) + reason])
    return client_frame(CLOSE, payload)


def random_breakage(chance):
    size = chance.choice([0, 1, 125, 126, 200, 299, 300, 301, 1000])
    payload = b"x" * size
    opcode = chance.randrange(16)
    frame = client_frame(
        opcode,
        payload,
        first=chance.choice([0, FIN, FIN, 0xC0, 0x90, 0x40]),
        mask=chance.randbytes(4),
        width=chance.choice([0, 0, 2, 8]),
    )
    if chance.random() < 0.2:
        frame = bytes([frame[0], frame[1] & 127]) + frame[2:]  # says it is not masked
    return frame if chance.random() < 0.8 else frame[: chance.randrange(len(frame) + 1)]


def random_stream(chance):
    parts = []
    for _ in range(chance.randint(1, 8)):
        kind = chance.random()
        if kind < 0.45:
            width = chance.choice([0, 0, 0, 2, 8])
            mask = chance.randbytes(4)
            parts.append(client_frame(TEXT, random_text(chance), mask=mask, width=width))
        elif kind < 0.65:
            parts.append(random_fragments(chance))
        elif kind < 0.85:
            parts.append(random_control(chance))
        elif kind < 0.9:
            parts.append(random_close(chance))
        else:
            parts.append(random_breakage(chance))
    stream = b"".join(parts)
    if stream and chance.random() < 0.2:
        at = chance.randrange(len(stream))
        stream = stream[:at] + bytes([stream[at] ^ 1 << chance.randrange(8)]) + stream[at + 1 :]
    if chance.random() < 0.05:
        stream += chance.randbytes(chance.randint(1, 40))
    return stream[: chance.randrange(len(stream) + 1)] if chance.random() < 0.15 else stream


def random_pieces(chance, stream, close_at):
    count = chance.choice([0, 0, 1, 3, 10])
    edges = {chance.randint(0, len(stream)) for _ in range(count)}
    if chance.random() < 0.5:  # as clients send: most often a frame at a time
        edges |= {at for at, byte in enumerate(stream) if byte == FIN | TEXT}
    edges = sorted({0, len(stream), *edges} | ({close_at} if close_at is not None else set()))
    return [
        (edge, stream[edge:end]) for edge, end in zip(edges, [*edges[1:], len(stream)], strict=True)
    ]


def check_against_reference(seed):
    """Compare one random stream, cut at random, with websockets."""
    chance = random.Random(seed)
    stream = random_stream(chance)
    close_at = chance.randint(0, len(stream)) if chance.random() < 0.2 else None
    expected = Reference(stream).run(close_at)
    reader, events, out = MessageReader(MAX), [], b""
    for edge, piece in random_pieces(chance, stream, close_at):
        if edge == close_at:
            reader.close_sent()
        events += take(reader, piece, chance.choice([1, 2, 64]))
        out += reader.data_to_send()
    code = reader.failed.code if reader.failed else None
    assert (events, code) == (expected.events, expected.failure), f"seed {seed}"
    if close_at is None:
        assert without_reason(out) == without_reason(b"".join(expected.writes)), f"seed {seed}"
    return expected


def test_random_streams_are_read_as_websockets_reads_them():
    outcomes = [check_against_reference(seed) for seed in range(2000)]
    assert sum(1 for outcome in outcomes if outcome.failure) > 200
    assert sum(1 for outcome in outcomes if len(outcome.events) > 2) > 200
    assert sum(1 for outcome in outcomes if outcome.is_closing) > 200
    assert {outcome.failure for outcome in outcomes} == {None, 1002, 1003, 1007, 1009}


@given(st.integers(2000, 10**9))
@settings(deadline=None, max_examples=200)
def test_any_random_stream_is_read_as_websockets_reads_it(seed):
    check_against_reference(seed)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
@settings(deadline=None)
def test_any_bytes_give_the_same_however_they_are_cut(data, places):
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    pieces = [data[left:right] for left, right in pairwise(edges)]
    cut_reader, cut_events = read(data, lambda _: pieces)
    reader, events = read(data)
    assert (cut_events, cut_reader.failed) == (events, reader.failed)
    assert cut_reader.data_to_send() == reader.data_to_send()
