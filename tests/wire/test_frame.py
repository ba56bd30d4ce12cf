from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from phlows_cli.wire.frame import close_frame, is_sendable, ping_frame, pong_frame, text_frame


def as_seen_by_a_client(data: bytes) -> Frame:
    client = ClientProtocol(parse_uri("ws://a/"), state=OPEN, max_size=None)
    client.receive_data(data)
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert client.parser_exc is None
    assert not client.reader.buffer
    return frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_client_reads_a_text_frame_of_any_size(size):
    payload = b"x" * size
    frame = as_seen_by_a_client(text_frame(payload))
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, payload)


def test_a_text_frame_is_what_websockets_would_send():
    for size in (0, 125, 126, 65535, 65536):
        payload = b"y" * size
        assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_pings_and_pongs_carry_their_payload():
    assert as_seen_by_a_client(ping_frame()) == Frame(Opcode.PING, b"")
    assert as_seen_by_a_client(ping_frame(b"abc")) == Frame(Opcode.PING, b"abc")
    assert as_seen_by_a_client(pong_frame(b"z" * 125)) == Frame(Opcode.PONG, b"z" * 125)


def test_a_close_frame_carries_code_and_reason():
    frame = as_seen_by_a_client(close_frame(4501, "auth refused"))
    assert Close.parse(frame.data) == Close(4501, "auth refused")


def test_a_close_frame_without_status_is_empty():
    assert close_frame(1005) == b"\x88\x00"
    assert close_frame(1005, "unsaid") == b"\x88\x00"


@given(st.text(max_size=200))
@settings(deadline=None)
def test_a_long_reason_is_cut_between_characters(reason):
    close = Close.parse(as_seen_by_a_client(close_frame(1000, reason)).data)
    assert reason.startswith(close.reason)
    kept = len(close.reason.encode())
    assert kept <= 123
    if close.reason != reason:
        next_character = reason[len(close.reason)]
        assert kept + len(next_character.encode()) > 123


def test_a_reason_with_half_a_surrogate_pair_is_still_sent():
    close = Close.parse(as_seen_by_a_client(close_frame(1000, "a\ud800b")).data)
    assert close.reason == "a?b"


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1009, 1013, 3000, 4000, 4999])
def test_codes_for_the_wire_are_sendable(code):
    assert is_sendable(code)
    assert close_frame(code) == Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(
        mask=False
    )


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1006, 1015, 5000, 70000])
def test_codes_that_never_travel_are_refused(code):
    assert not is_sendable(code)
    with pytest.raises(ValueError, match=f"^close code {code} must not be sent$"):
        close_frame(code)


@pytest.mark.parametrize("make", [ping_frame, pong_frame])
def test_a_control_payload_over_125_bytes_is_refused(make):
    assert make(b"x" * 125)
    with pytest.raises(ValueError, match=r"^control payload of 126 bytes exceeds 125$"):
        make(b"x" * 126)
