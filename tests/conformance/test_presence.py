"""Who is there: as hooks see it, as /health and /presence tell it."""

from __future__ import annotations

from hashlib import sha256

import pytest


def test_connects_own_cast_to_all_counts_the_newcomer(take, connect, join, token, kind):
    stage = take("upgrade", kind)
    stage.plan(connect=[["cast", {"data": {"online": "?"}}], ["print", "true"]])
    first, _ = join(stage, token)
    assert first.receive_json() == {"online": "?"}
    second = connect(stage, cookie=token)
    assert first.receive_json() == second.receive_json() == {"online": "?"}
    assert [answer["sent"] for answer in stage.answers(2)] == [1, 2]


def test_the_connect_hook_sees_those_who_are_there(broker, take, join, connect, kind, token):
    stage = take("upgrade", kind)
    stage.plan(connect=[["health"], ["print", "true"]])
    _, first_id = join(stage, token)
    broker.hook_done(first_id, "connect")
    connect(stage, cookie="topsecret-other")
    seen = stage.answers(2)
    assert [health["sockets"] for health in seen] == [1, 2]
    assert [health["tokens"] for health in seen] == [1, 2]


def test_before_auth_the_connect_hook_sees_only_the_others(take, join, connect, token):
    stage = take("message")
    stage.plan(connect=[["health"], ["presence"], ["print", "true"]])
    join(stage, token)
    connect(stage)
    _, _, health, presence = stage.answers(4)
    assert health["sockets"] == 1
    assert [socket["authenticated"] for socket in presence] == [False, True]


def test_the_close_hook_sees_the_leaver_gone(take, join, token, kind):
    stage = take("upgrade", kind)
    stage.plan(close=[["health"]])
    (leaver, _), (stayer, _) = join(stage, token), join(stage, token)
    leaver.close()
    assert stage.answers(1)[0]["sockets"] == 1
    stayer.close()
    assert stage.answers(2)[1]["sockets"] == 0


def test_the_close_hooks_own_cast_reaches_those_who_stay(take, join, token, kind):
    stage = take("upgrade", kind)
    stage.plan(close=[["cast", {"data": {"left": "$socket"}}]])
    (leaver, leaver_id), (stayer, _) = join(stage, token), join(stage, token)
    leaver.stream.reset()
    assert stayer.receive_json() == {"left": leaver_id}
    assert stage.answers(1)[0]["matched"] == 1


def test_the_close_hook_asks_presence_and_is_not_there(take, join, token):
    stage = take("upgrade")
    stage.plan(close=[["presence"]])
    (leaver, _), (_, stayer_id) = join(stage, token), join(stage, token)
    leaver.close()
    assert [socket["socket"] for socket in stage.answers(1)[0]] == [stayer_id]


def test_presence_tells_each_socket_from_accept_on(broker, take, connect, join, token):
    stage = take()
    waiting = connect(stage)
    waiting_id = broker.socket_of(waiting)
    client, socket_id = join(stage, token, headers=[("X-Forwarded-For", "203.0.113.9, 127.0.0.1")])
    client.send({"do": [["print", '{"n":1}'], ["print", '{"n":2}']]})
    assert [client.receive_json() for _ in range(2)]
    rows = {row["socket"]: row for row in broker.presence(stage.host)}
    assert set(rows) == {waiting_id, socket_id}
    since = rows[socket_id].pop("since")
    assert since >= rows[waiting_id].pop("since") > 1_700_000_000
    assert rows[socket_id] == {
        "host": stage.host,
        "socket": socket_id,
        "token": sha256(token.encode()).hexdigest(),
        "authenticated": True,
        "address": "203.0.113.9",
        "agent": client.agent,
        "in": 1,
        "out": 2,
    }
    assert rows[waiting_id] == {
        "host": stage.host,
        "socket": waiting_id,
        "token": sha256(b"").hexdigest(),
        "authenticated": False,
        "address": "127.0.0.1",
        "agent": waiting.agent,
        "in": 0,
        "out": 0,
    }


def test_presence_without_a_host_tells_all_hosts(broker, take, join, token):
    first, second = take("upgrade"), take("none")
    ids = {first.host: join(first, token)[1], second.host: join(second)[1]}
    rows = broker.ask_with_key("GET", "/presence").json["sockets"]
    found = {row["host"]: row["socket"] for row in rows}
    assert {host: found[host] for host in ids} == ids


@pytest.mark.parametrize("query", ["?host=unknown.example.com", "?hots=x"])
def test_presence_of_what_is_not_known_is_400(broker, query):
    assert broker.ask_with_key("GET", f"/presence{query}").status == 400


def test_health_counts_authenticated_sockets_by_hashed_token(broker, take, join, connect, token):
    stage = take()
    assert broker.health()["hosts"][stage.host] == {"tokens": 0, "sockets": 0, "perToken": {}}
    connect(stage)
    ids = [join(stage, token)[1], join(stage, token)[1], join(stage, "topsecret-2")[1]]
    assert len(set(ids)) == 3
    health = broker.health()
    assert health["hosts"][stage.host] == {
        "tokens": 2,
        "sockets": 3,
        "perToken": {
            sha256(token.encode()).hexdigest(): 2,
            sha256(b"topsecret-2").hexdigest(): 1,
        },
    }
    assert health["sockets"] == health["hosts"]
    assert stage.host in health["registered"]
    assert health["connections"] >= 4
