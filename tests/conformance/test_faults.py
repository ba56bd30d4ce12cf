"""What killed or bent other brokers: each must pass by without a trace here."""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

import pytest

from tests.conformance.client import TEXT, ClosedError, frame, upgrade_bytes
from tests.conformance.stream import DEADLINE, dial
from tests.conformance.web import read_answer

POST_HEAD = b"POST /message HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _still_serves(broker, take, join, token):
    """After each fault a new client is served as if nothing had been."""
    yield
    client, _ = join(take("upgrade"), token)
    client.send({"do": [["print", '{"still":"serving"}']]})
    assert client.receive_json() == {"still": "serving"}
    client.close()


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_a_client_that_leaves_while_auth_runs_has_neither_connect_nor_close(
    broker, take, connect, gate, token, ending
):
    stage = take("upgrade")
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    stream = dial(broker.address)
    stream.send(upgrade_bytes(stage.host, headers=[("Cookie", f"token={token}")]))
    visitor = gate.arrival()
    stream.reset() if ending == "reset" else stream.close()
    visitor.let_on()
    broker.hook_done(visitor.socket, "auth")
    stage.plan()
    # Another one's whole life, to see that nothing of the first comes later.
    later = connect(stage, cookie=token)
    later.close()
    broker.hook_done(broker.socket_of(later), "close")
    assert stage.hooks_of(visitor.socket) == ["auth"]
    assert broker.health()["hosts"][stage.host]["sockets"] == 0


@pytest.mark.parametrize("mode", ["message", "none"])
def test_a_client_that_resets_while_a_hook_runs_has_its_close(
    broker, take, connect, gate, token, mode
):
    stage = take(mode)
    stage.plan(connect=[["gate", gate.port], ["print", "true"]])
    client = connect(stage, cookie=token)
    visitor = gate.arrival()
    client.stream.reset()
    broker.ended(visitor.socket)
    visitor.let_on()
    assert stage.call("close").socket == visitor.socket


def test_many_clients_that_reset_during_the_handshake_leave_nothing(broker, take, token):
    stage = take("upgrade", "quick")
    request = upgrade_bytes(stage.host, headers=[("Cookie", f"token={token}")])
    for cut in range(0, len(request), 7):
        stream = dial(broker.address)
        stream.send(request[:cut])
        stream.reset()
    for _ in range(20):
        stream = dial(broker.address)
        stream.send(request)
        stream.reset()
    assert broker.ask("GET", "//").status == 404


def test_a_hook_that_prints_during_connect_and_close_hurts_nobody(
    broker, take, connect, token, kind
):
    stage = take("message", kind)
    noise = [["print", "noise"], ["print", '{"looks":"like JSON"}'], ["print", "true"]]
    stage.plan(connect=noise, auth=noise, close=noise)
    client = connect(stage, cookie=token)
    broker.admitted(client)
    client.close()
    stage.call("close")


def test_a_message_of_300_kb_closes_1009_loudly(broker, take, connect, token):
    client = connect(take("upgrade"), cookie=token)
    client.send(json.dumps({"text": "x" * 300_000}))
    assert client.closed() == 1009


def test_a_client_that_ends_its_half_still_gets_its_answers(broker, take, connect, token):
    stage = take("upgrade")
    client = connect(stage, cookie=token)
    client.send({"do": []})
    client.stream.finish_sending()
    assert client.stream.read_to_end() is not None
    broker.hook_done(broker.socket_of(client), "close")
    assert [call.hook for call in stage.started()] == ["auth", "connect", "receive", "close"]


def test_frames_after_a_close_frame_are_ignored(take, connect, token, broker):
    stage = take("upgrade")
    client = connect(stage, cookie=token)
    client.send_close()
    client.send_frame(TEXT, b'{"too":"late"}')
    with pytest.raises(ClosedError):
        client.receive()
    broker.hook_done(broker.socket_of(client), "close")
    assert stage.hooks_of(broker.socket_of(client)) == ["auth", "connect", "close"]


def test_a_flood_of_pings_in_one_piece_does_not_keep_others_waiting(take, connect, join, token):
    stage = take("upgrade")
    noisy, _ = join(stage, token)
    quiet, _ = join(stage, token)
    noisy.stream.send(b"\x89\x80abcd" * 40_000)
    quiet.send({"do": [["print", '{"heard":1}']]})
    assert quiet.receive_json() == {"heard": 1}
    for _ in range(40_000):
        assert noisy.read_frame() == (0xA, b"")


def test_a_message_of_too_many_fragments_closes_1009(take, connect):
    client = connect(take("none"))
    client.stream.send(b"\x01\x80abcd" + b"\x00\x80abcd" * 1100)
    assert client.closed() == 1009


def test_a_client_that_sends_frames_before_the_answer_is_heard_up_to_a_bound(
    broker, take, gate, token
):
    stage = take("upgrade")
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    stream = dial(broker.address)
    stream.send(upgrade_bytes(stage.host, headers=[("Cookie", f"token={token}")]))
    visitor = gate.arrival()
    messages = [json.dumps({"n": n, "filler": "x" * 20_000}) for n in range(4)]
    stream.send(b"".join(frame(TEXT, text.encode()) for text in messages))
    visitor.let_on()
    assert read_answer(stream).status == 101
    assert [stage.call("receive", n).argv[4] for n in (1, 2, 3, 4)] == messages
    stream.close()


@pytest.mark.parametrize("seed", range(3))
def test_nonsense_on_every_layer_leaves_the_broker_as_it_was(broker, take, seed):
    chance = random.Random(seed)
    stage = take("none", "quick")
    upgrade = upgrade_bytes(stage.host)
    openings = [b"", b"GET / HTTP/1.1\r\n", POST_HEAD, upgrade[:-2], upgrade, upgrade, upgrade]
    for _ in range(100):
        stream = dial(broker.address)
        noise = chance.randbytes(chance.randrange(200))
        stream.send(chance.choice(openings) + noise)
        stream.reset() if chance.random() < 0.5 else stream.close()
    assert broker.ask("GET", "/ready").status == 200


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_fifty_lives_leave_no_descriptor_and_no_process(broker, take, join, token):
    stage = take("upgrade", "quick")

    def live(rounds):
        clients = [join(stage, token) for _ in range(rounds)]
        for client, _ in clients:
            client.send({"n": 1})
            client.close()
        for _, socket_id in clients:
            broker.hook_done(socket_id, "close")

    live(5)
    before = descriptors(broker.pid)
    for _ in range(5):
        live(10)
    # The close hook is told of before the client's side of the connection has ended.
    assert comes_true(lambda: descriptors(broker.pid) <= before)
    children = Path(f"/proc/{broker.pid}/task/{broker.pid}/children")
    assert comes_true(lambda: children.read_text().split() == [])


def comes_true(condition):
    """Whether a condition that nothing tells of holds within the deadline."""
    deadline, pause = time.monotonic() + DEADLINE, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.01)
    return True


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
