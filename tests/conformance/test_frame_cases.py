"""The table of frames, case by case, each on a socket of its own."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter

import pytest

from tests.conformance.client import CLOSE, PONG, TEXT, WebSocket
from tests.conformance.frame_cases import CASES, COMPLAINT, PAGE, SECTIONS, Send, page
from tests.conformance.program import APPS, Program

HOST = "frames.example.com"
NO_CODE = 1005


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """A broker whose app answers each message with itself."""
    host = {
        "app": str(APPS / "echo_worker.py"),
        "hooks": ["receive"],
        "runtime": "resident",
        "concurrency": 1,
        "spare": 1,
    }
    program = Program(tmp_path_factory.mktemp("frames"), {HOST: host}, watches=False)
    yield program
    program.stop()


@pytest.fixture
def client(echo):
    client = WebSocket.open(echo.address, HOST)
    # Each write is a packet: the system would join small ones, and wait to do so.
    client.stream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield client
    client.drop()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_case_of_the_table_is_answered_as_it_says(client, case):
    for step in case.steps:
        if isinstance(step, Send):
            size = step.piece or len(step.data)
            for at in range(0, len(step.data), size):
                client.stream.send(step.data[at : at + size])
        else:
            expect(client, step)
    if "close" not in [getattr(step, "kind", "") for step in case.steps]:
        assert client.close() == [], "something came that the case does not tell"


def expect(client, wanted):
    """The next frame, and after a close the end of the stream."""
    opcode, payload = client.read_frame()
    if wanted.kind == "close":
        code = struct.unpack("!H", payload[:2])[0] if payload else NO_CODE
        assert (opcode, code) == (CLOSE, wanted.code), payload
        assert not wanted.payload or payload[2:] == wanted.payload
        assert client.stream.at_end(), "something followed the close frame"
    elif wanted.kind == COMPLAINT:
        assert opcode == TEXT
        assert set(json.loads(payload)) == {"error"}
    else:
        assert (opcode, payload) == ({"echo": TEXT, "pong": PONG}[wanted.kind], wanted.payload)


def test_the_table_has_cases_of_every_section_and_none_twice():
    assert {case.section for case in CASES} == SECTIONS.keys()
    assert [what for what, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_the_page_shows_the_table():
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "write it anew: python -m tests.conformance.frame_cases"
