"""Order: of one socket's messages, of its hooks, of its answers."""

from __future__ import annotations

import json

SOCKETS, MESSAGES = 20, 50


def events_of(stage, socket_id):
    """What counter.sh recorded of one socket: [("start", what), ("end", what), ...]."""
    split = (line.split(" ", 2) for line in stage.lines())
    return [(event, what) for event, socket, what in split if socket == socket_id]


def one_after_another(events):
    """What ran, if nothing began before the last thing had ended."""
    starts, ends = events[::2], events[1::2]
    assert [what for _, what in starts] == [what for _, what in ends]
    assert {event for event, _ in starts} == {"start"}
    assert {event for event, _ in ends} == {"end"}
    return [what for _, what in starts]


def test_under_load_each_sockets_answers_come_in_order_and_none_is_missing(broker, connect):
    stage = broker.stages["counter.example.com"]
    clients = [connect(stage) for _ in range(SOCKETS)]
    texts = [json.dumps({"n": n}) for n in range(MESSAGES)]
    for text in texts:
        for client in clients:
            client.send(text)
    for client in clients:
        assert [client.receive() for _ in texts] == texts
    for client in clients:
        client.close()
    for client in clients:
        socket_id = broker.socket_of(client)
        broker.hook_done(socket_id, "close")
        assert one_after_another(events_of(stage, socket_id)) == ["connect", *texts, "close"]


def test_more_messages_than_may_wait_are_held_back_and_none_is_lost(broker, connect):
    stage = broker.stages["counter.example.com"]
    client = connect(stage)
    texts = [json.dumps({"n": n, "filler": "x" * 2000}) for n in range(300)]
    for text in texts:
        client.send(text)
    assert [client.receive() for _ in texts] == texts


def test_six_quick_messages_are_answered_in_order(take, connect, token, kind):
    client = connect(take("upgrade", kind), cookie=token)
    for number in range(6):
        client.send({"do": [["print", json.dumps({"n": number})]]})
    assert [client.receive_json()["n"] for _ in range(6)] == [0, 1, 2, 3, 4, 5]


def test_close_never_overtakes_messages(broker, take, connect, token, kind):
    stage = take("upgrade", kind)
    client = connect(stage, cookie=token)
    for number in range(6):
        client.send({"n": number})
    client.send_close()
    socket_id = broker.socket_of(client)
    broker.hook_done(socket_id, "close")
    mine = [line for line in map(json.loads, stage.lines()) if line["socket"] == socket_id]
    steps = [(line["event"], line["hook"]) for line in mine]
    assert one_after_another(steps) == ["auth", "connect", *["receive"] * 6, "close"]
    sent = [json.loads(call.argv[4])["n"] for call in stage.started() if call.hook == "receive"]
    assert sent == [0, 1, 2, 3, 4, 5]


def test_hooks_of_different_sockets_run_side_by_side(take, join, gate, token):
    stage = take("upgrade")
    (first, _), (second, _) = join(stage, token), join(stage, token)
    for client in (first, second):
        client.send({"do": [["gate", gate.port], ["print", '{"both":"here"}']]})
    visitors = gate.arrival(), gate.arrival()
    for visitor in visitors:
        visitor.let_on()
    assert first.receive_json() == second.receive_json() == {"both": "here"}


def test_the_next_message_waits_for_the_hook_of_the_one_before(broker, take, join, gate, token):
    stage = take("upgrade")
    client, socket_id = join(stage, token)
    client.send({"do": [["gate", gate.port]]})
    client.send({"do": [["print", '{"second":1}']]})
    visitor = gate.arrival()
    # Another socket's whole life passes by meanwhile.
    other, _ = join(stage, token)
    other.send({"do": [["print", '{"other":1}']]})
    assert other.receive_json() == {"other": 1}
    assert stage.hooks_of(socket_id).count("receive") == 1
    visitor.let_on()
    assert client.receive_json() == {"second": 1}


def test_a_hanging_hook_of_one_host_does_not_keep_others_waiting(broker, take, join, gate, token):
    stuck, other = take("upgrade"), take("upgrade")
    held = [join(stuck, token)[0] for _ in range(4)]
    for client in held:
        client.send({"do": [["gate", gate.port]]})
    visitors = [gate.arrival() for _ in held]
    client, _ = join(other, token)
    client.send({"do": [["print", '{"went":"by"}']]})
    assert client.receive_json() == {"went": "by"}
    for visitor in visitors:
        visitor.let_on()
