"""/events: what happens, as it happens, without a token."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from tests.conformance.program import Watcher
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, read_head, request_bytes


@pytest.fixture
def watch(broker):
    """Watches with a query, as long as the test runs."""
    watchers = []

    def begin(query):
        watcher = Watcher(broker.address, broker.key, query)
        watchers.append(watcher)
        return watcher

    yield begin
    for watcher in watchers:
        watcher.stop()


def short(token):
    return sha256(token.encode()).hexdigest()[:12]


def test_a_connections_life_is_told_in_its_order(broker, take, connect, watch, token):
    stage = take()
    watcher = watch(f"?host={stage.host}")
    assert watcher.headers["content-type"] == "application/x-ndjson"
    client = connect(stage)
    socket_id = broker.socket_of(client)
    client.authenticate(token)
    client.send({"do": [["print", '{"n":1}']]})
    client.receive()
    broker.hook_done(socket_id, "receive")
    broker.cast(stage.host, {"n": 2}, f"token:{token}")
    client.receive()
    client.close()
    watcher.events.first(type="hook", hook="close")
    events = watcher.events.all()
    told = [(e["type"], e.get("hook"), e.get("token")) for e in events if e["type"] != "receive"]
    nobody, somebody = short(""), short(token)
    assert told == [
        ("open", None, nobody),
        ("hook", "connect", nobody),
        ("hook", "auth", somebody),
        ("auth", None, somebody),
        ("hook", "receive", somebody),
        ("cast", None, None),
        ("close", None, somebody),
        ("hook", "close", somebody),
    ]
    assert {e["host"] for e in events} == {stage.host}
    assert {e["socket"] for e in events if e["type"] != "cast"} == {socket_id}
    times = [e["time"] for e in events]
    assert times == sorted(times)


def test_each_event_says_what_there_is_to_say(broker, take, connect, watch, token):
    stage = take("upgrade")
    watcher = watch(f"?host={stage.host}")
    stage.plan(connect=[["exit", 3]])
    client = connect(stage, cookie=token)
    socket_id = broker.admitted(client)
    broker.hook_done(socket_id, "connect")
    message = '{"text":"\u00e9"}'
    client.send(message)
    watcher.events.first(type="hook", hook="receive")
    targets = [f"token:{token}", f"token:not:{token}", socket_id]
    broker.cast(stage.host, {"n": 1}, targets)
    client.send_close(4123, "bye")
    broker.ended(socket_id)
    base = {"host": stage.host, "socket": socket_id, "token": short(token)}
    opened = {**base, "type": "open", "address": "127.0.0.1", "agent": client.agent}
    received = {**base, "type": "receive", "bytes": len(message.encode())}
    closed = {**base, "type": "close", "code": 4123, "reason": "bye"}
    for expected in (opened, received, closed):
        event = watcher.events.first(type=expected["type"])
        assert event == {**expected, "time": event["time"]}
    hook = watcher.events.first(type="hook", hook="connect")
    assert hook["ms"] > 0
    assert (hook["outcome"], hook["reason"]) == ("failed", "exit code 3")
    cast = watcher.events.first(type="cast")
    assert cast["target"] == sorted(cast["target"])
    assert set(cast["target"]) == {
        f"token:{short(token)}", f"token:not:{short(token)}", f"socket:{socket_id}",
    }  # fmt: skip
    counts = {name: cast[name] for name in ("bytes", "sent", "dropped", "held")}
    assert counts == {"bytes": 8, "sent": 1, "dropped": 0, "held": 0}


@pytest.mark.parametrize("length", [12, 64])
def test_a_watcher_can_ask_for_one_token(take, join, watch, token, length):
    stage = take("upgrade")
    wanted = sha256(token.encode()).hexdigest()[:length]
    watcher = watch(f"?token={wanted}")
    join(stage, "topsecret-somebody-else")
    _, socket_id = join(stage, token)
    watcher.events.first(type="auth", socket=socket_id)
    assert {event["socket"] for event in watcher.events.all()} == {socket_id}


def test_a_watcher_can_ask_for_one_socket_and_one_type(broker, take, join, watch, token):
    stage = take("upgrade")
    (client, socket_id), (other, _) = join(stage, token), join(stage, token)
    broker.hook_done(socket_id, "connect")
    watcher = watch(f"?socket={socket_id}&type=hook")
    other.close()
    client.send({})
    broker.hook_done(socket_id, "receive")
    client.close()
    watcher.events.first(hook="close")
    assert [(e["socket"], e["hook"]) for e in watcher.events.all()] == [
        (socket_id, "receive"),
        (socket_id, "close"),
    ]


def test_a_query_that_is_not_known_is_400(broker):
    assert broker.ask_with_key("GET", "/events?hots=x").status == 400


def test_a_reader_that_leaves_is_forgotten(broker, take, join, watch, token):
    watch("").stop()
    stage = take("upgrade")
    join(stage, token)
    assert broker.ask("GET", "/ready").status == 200


def test_a_reader_that_is_too_slow_is_told_how_much_it_lost(start):
    host = "busy.example.com"
    program = start({host: {"hooks": []}})
    program.watcher.stop()  # which might be too slow as well
    reader = dial(program.address, receive_buffer=4096)
    head = [("Authorization", f"Bearer {program.key}")]
    reader.send(request_bytes("GET", "/events?type=cast", None, head))
    assert read_head(reader)[0] == 200
    caster = dial(program.address)
    casts = 30_000
    for _ in range(casts // 100):
        caster.send(request_bytes("POST", "/message", {"host": host}) * 100)
        for _ in range(100):
            assert read_answer(caster).status == 200
    caster.close()
    told = lost = 0
    while told + lost < casts:
        event = json.loads(reader.read_until(b"}\n").splitlines()[-1])
        if event["type"] == "lost":
            lost += event["count"]
        else:
            assert event["type"] == "cast"
            told += 1
    reader.close()
    assert lost
    assert told + lost == casts
