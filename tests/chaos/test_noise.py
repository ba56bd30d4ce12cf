"""Requests and frames that were damaged on the way, by a seed that can be given again."""

from __future__ import annotations

import os
import random
from contextlib import suppress

import pytest

from tests.chaos.ledger import APP, Ledger
from tests.chaos.process import sample
from tests.chaos.test_crowds import settle, settled_sample
from tests.conformance.client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    WebSocket,
    frame,
    upgrade_bytes,
)
from tests.conformance.program import Program
from tests.conformance.stream import dial
from tests.conformance.web import request_bytes

HOST = "noise.example.com"
CLIENTS = 20_000 if os.environ.get("PHLOWS_CHAOS") else 600
OPEN_AT_ONCE = 40
CHUNKED = b"POST /message HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED += b"2\r\n{}\r\n0\r\n\r\n"
WHOLE = 0.3
"""Share of what is sent undamaged: noise alone never gets far."""


@pytest.fixture
def program(tmp_path):
    host = {"app": str(APP), "hooks": ["connect", "receive", "close"]}
    limits = {"message_rate": 200.0, "queue": 2 * CLIENTS}
    program = Program(tmp_path / "broker", {HOST: host}, watches=False, limits=limits)
    yield program
    program.stop()


def speech(dice):
    """What a client could say: requests and frames, in an order that may make sense."""
    requests = [
        upgrade_bytes(HOST),
        request_bytes("GET", "/health"),
        request_bytes("POST", "/message", {"host": HOST, "data": {"n": 1}}),
        request_bytes("POST", "/message", {"host": HOST, "target": ["all", "token:x"]}),
        CHUNKED,
    ]
    frames = [
        frame(TEXT, b'{"n":1}'),
        frame(TEXT, b'{"n":', fin=False) + frame(PING, b"x") + frame(CONTINUATION, b"1}"),
        frame(TEXT, b"{" * dice.randrange(600)),
        frame(BINARY, bytes(dice.randrange(300))),
        frame(PING, b""),
        frame(CLOSE, b"\x03\xe8"),
    ]
    said = dice.choices([requests[0], dice.choice(requests)], k=1 + (dice.random() < 0.2))
    return b"".join([*said, *dice.choices(frames, k=dice.randrange(6))])


def damaged(dice, said):
    """The same with bytes changed, lost, doubled or put in."""
    if dice.random() < WHOLE:
        return said
    noisy = bytearray(said)
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(len(noisy) + 1)
        match dice.randrange(5):
            case 0:
                noisy[at : at + 1] = dice.randbytes(1)
            case 1:
                del noisy[at : at + dice.randrange(30)]
            case 2:
                noisy[at:at] = noisy[at : at + dice.randrange(60)]
            case 3:
                noisy[at:at] = dice.choice([b"\r\n", b"\0", b"\xff" * 9, b"\r\n\r\n", b": "])
            case 4:
                del noisy[at:]
    return bytes(noisy)


def speak(dice, stream, said):
    """Send it in pieces; whoever is cut off meanwhile is done."""
    with suppress(ConnectionError):
        while said:
            size = dice.choice([1, 7, 100, 10_000])
            stream.send(said[:size])
            said = said[size:]


def leave(dice, stream):
    match dice.randrange(3):
        case 0:
            stream.close()
        case 1:
            stream.reset()
        case 2:
            with suppress(OSError):
                stream.finish_sending()
            stream.close()


def test_noise_of_every_kind_ends_its_own_connection_at_most(program):
    seed = int(os.environ.get("PHLOWS_SEED", random.randrange(10**6)))
    print(f"\nPHLOWS_SEED={seed}")  # noqa: T201 - what it takes to see a failure again
    dice = random.Random(seed)
    ledger = Ledger(program.stages[HOST])
    neighbour = WebSocket.open(program.address, HOST)
    settle_one(neighbour, 0)
    before = sample(program.pid)
    crowd = []
    for number in range(1, CLIENTS + 1):
        stream = dial(program.address)
        speak(dice, stream, damaged(dice, speech(dice)))
        crowd.append(stream)
        if len(crowd) > OPEN_AT_ONCE:
            leave(dice, crowd.pop(dice.randrange(len(crowd))))
        if number % 100 == 0:
            settle_one(neighbour, number)
    for stream in crowd:
        leave(dice, stream)
    settle_one(neighbour, 0)
    neighbour.close()
    settle(program)
    ledger.read()
    ledger.check()
    assert ledger.begun["connect"] > CLIENTS / 20, "the noise never got far"
    assert ledger.begun["receive"] > 0
    settled_sample(program, before.descriptors)


def settle_one(neighbour, number):
    """A socket that has nothing to do with it is served; casts of the noise may come first."""
    neighbour.send({"neighbour": number})
    while neighbour.receive_json() != {"neighbour": number}:
        continue
