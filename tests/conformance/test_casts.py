"""Casts over the bridge: who gets them, what the receipt says, which bytes arrive."""

from __future__ import annotations

import json
import random

import pytest

from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

ANN, BOB, EVE = "topsecret-ann", "topsecret-bob", "topsecret-eve: of=odd/letters"


@pytest.fixture
def room(take, join):
    """A host with four sockets: two of ann's, one of bob's, one of eve's."""
    stage = take("upgrade", "quick")
    names = {"ann1": ANN, "ann2": ANN, "bob": BOB, "eve": "topsecret-eve%3A%20of%3Dodd%2Fletters"}
    return Room(stage, {name: join(stage, token) for name, token in names.items()})


class Room:
    def __init__(self, stage, members):
        self.host = stage.host
        self._members = members

    def client(self, name):
        return self._members[name][0]

    def id(self, name):
        return self._members[name][1]

    def heard(self, broker, data):
        """Who got a cast, each once; a last cast to all shows that nothing else came."""
        assert broker.cast(self.host, {"end": 1})["sent"] == len(self._members)
        got = {}
        for name, (client, _) in self._members.items():
            while (message := client.receive_json()) != {"end": 1}:
                assert message == data
                got[name] = got.get(name, 0) + 1
        assert set(got.values()) <= {1}
        return set(got)


EVERYONE = {"ann1", "ann2", "bob", "eve"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("all", EVERYONE, id="all"),
        pytest.param(f"token:{ANN}", {"ann1", "ann2"}, id="a token"),
        pytest.param(f"token:not:{ANN}", {"bob", "eve"}, id="not a token"),
        pytest.param(f"token:{EVE}", {"eve"}, id="a token with a colon"),
        pytest.param("token:topsecret-nobody", set(), id="an unknown token"),
        pytest.param("token:not:topsecret-nobody", EVERYONE, id="not an unknown token"),
        pytest.param("socket:{bob}", {"bob"}, id="a socket"),
        pytest.param("{bob}", {"bob"}, id="a bare id"),
        pytest.param("socket:0123456789abcdef", set(), id="an unknown socket"),
        pytest.param("0123456789abcdef", set(), id="an unknown bare id"),
        pytest.param([], set(), id="nobody"),
        pytest.param(["{bob}", "socket:{ann2}"], {"bob", "ann2"}, id="a list"),
        pytest.param(["all", "{bob}", f"token:{BOB}"], EVERYONE, id="a union with all"),
        pytest.param([f"token:{ANN}", "{ann1}"], {"ann1", "ann2"}, id="a union that overlaps"),
        pytest.param([f"token:not:{ANN}", f"token:not:{BOB}"], EVERYONE, id="two nots"),
        pytest.param([f"token:{ANN}", f"token:{BOB}"], {"ann1", "ann2", "bob"}, id="two tokens"),
    ],
)
def test_a_cast_reaches_its_target_once_and_no_one_else(broker, room, target, expected):
    ids = {name: room.id(name) for name in EVERYONE}
    if isinstance(target, list):
        target = [part.format_map(ids) for part in target]
    else:
        target = target.format_map(ids)
    receipt = broker.cast(room.host, {"n": 1}, target)
    count = len(expected)
    assert receipt == {
        "status": "ok",
        "host": room.host,
        "sent": count,
        "matched": count,
        "dropped": 0,
        "held": 0,
    }
    assert room.heard(broker, {"n": 1}) == expected


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        pytest.param("", EVERYONE, id="an empty text"),
        pytest.param([], EVERYONE, id="an empty list"),
        pytest.param("0123456789abcdef", EVERYONE, id="an unknown id"),
        pytest.param("{bob}", EVERYONE - {"bob"}, id="a bare id"),
        pytest.param("socket:{bob}", EVERYONE - {"bob"}, id="a socket"),
        pytest.param(["{bob}", "socket:{eve}", ""], {"ann1", "ann2"}, id="a list"),
    ],
)
def test_except_leaves_sockets_out(broker, room, excluded, expected):
    ids = {name: room.id(name) for name in EVERYONE}
    if isinstance(excluded, list):
        excluded = [part.format_map(ids) for part in excluded]
    else:
        excluded = excluded.format_map(ids)
    receipt = broker.cast(room.host, {"n": 1}, **{"except": excluded})
    assert (receipt["sent"], receipt["matched"]) == (len(expected), len(expected))
    assert room.heard(broker, {"n": 1}) == expected


def test_except_is_applied_last(broker, room):
    receipt = broker.cast(room.host, {"n": 1}, room.id("bob"), **{"except": room.id("bob")})
    assert (receipt["sent"], receipt["matched"]) == (0, 0)
    assert room.heard(broker, {"n": 1}) == set()


def test_without_a_target_a_cast_is_for_all_and_without_data_it_is_an_empty_object(broker, room):
    answer = broker.ask("POST", "/message", {"host": room.host})
    assert answer.json["sent"] == 4
    assert room.heard(broker, {}) == EVERYONE


def test_a_cast_stays_within_its_host(broker, room, take, join, token):
    other = take("upgrade")
    client, socket_id = join(other, token)
    assert broker.cast(room.host, {"n": 1}, socket_id)["matched"] == 0
    assert broker.cast(room.host, {"n": 1})["sent"] == 4
    assert broker.cast(other.host, {"own": 1})["sent"] == 1
    assert client.receive_json() == {"own": 1}


def test_the_host_may_stand_in_a_header(broker, room):
    headers = [("X-Phlo-Host", room.host)]
    answer = broker.ask("POST", "/message", {"data": {"n": 1}}, headers)
    assert answer.json["host"] == room.host
    assert room.heard(broker, {"n": 1}) == EVERYONE


def test_the_bodys_host_goes_before_the_header(broker, room):
    headers = [("X-Phlo-Host", "unknown.example.com")]
    answer = broker.ask("POST", "/message", {"host": room.host, "data": {"n": 1}}, headers)
    assert answer.json["host"] == room.host


def test_a_casts_host_is_normalised(broker, room):
    assert broker.cast(f"{room.host.upper()}.:443", {"n": 1})["host"] == room.host
    assert room.heard(broker, {"n": 1}) == EVERYONE


BAD_BODIES = {
    "an empty target": {"target": ""},
    "a null target": {"target": None},
    "a number": {"target": 7},
    "an object": {"target": {"token": ANN}},
    "a typo": {"target": "al"},
    "upper case": {"target": "ALL"},
    "a token without prefix": {"target": "ann"},
    "an empty socket": {"target": "socket:"},
    "a short id": {"target": "0123456789abcde"},
    "an id in upper case": {"target": "0123456789ABCDEF"},
    "a list with a typo": {"target": ["all", "al"]},
    "a list in a list": {"target": [["all"]]},
    "a list with null": {"target": [None]},
    "except is a number": {"except": 7},
    "except is an object": {"except": {}},
    "except holds a number": {"except": [7]},
    "data is a text": {"data": "x"},
    "data is a number": {"data": 7},
    "data is null": {"data": None},
    "data is true": {"data": True},
    "a key too many": {"traget": "all"},
    "an unknown host": {"host": "unknown.example.com"},
    "no host": {"host": ""},
    "a host that is a number": {"host": 7},
}


@pytest.mark.parametrize("change", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_cast_that_is_not_meant_so_is_400_and_reaches_nobody(broker, room, change):
    answer = broker.ask("POST", "/message", {"host": room.host, "data": {"n": 1}, **change})
    assert answer.status == 400
    assert answer.json["status"] == "error"
    assert room.heard(broker, {"n": 1}) == set()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"text"', id="a text"),
        pytest.param(b'{"host":"%b","data":{"a":NaN}}', id="NaN"),
        pytest.param(b'{"host":"%b","data":{"a":1,}}', id="a comma too many"),
        pytest.param(b'{"host":"%b","data":{"a":"\xff"}}', id="not UTF-8"),
        pytest.param(b'{"host":"%b","data":{}} {}', id="two values"),
        pytest.param(b'{"host":"%b","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}", id="deep"),
        pytest.param(b'{"host":"%b","data":{"a":1}', id="cut"),
    ],
)
def test_a_body_that_is_not_json_is_400(broker, room, body):
    body = body.replace(b"%b", room.host.encode())
    answer = broker.ask("POST", "/message", body)
    assert answer.status == 400
    assert answer.json["status"] == "error"
    assert room.heard(broker, {}) == set()


PAYLOADS = {
    "odd spacing": '{ "a" :\t[ 1 ,2 ]\r\n }',
    "escapes": '{"path":"\\/inbox\\/1","text":"\\u00e9\\ud83d\\ude00\\n"}',
    "plain UTF-8": '{"text":"\u00e9\U0001f600\u2028"}',
    "numbers": '{"a":1.50,"b":1e3,"c":-0,"d":12345678901234567890123}',
    "the same key twice": '{"a":1,"a":2}',
    "an array": '[1,{"a":null},[]]',
    "an empty array": "[]",
    "an empty object": "{ }",
    "125 bytes": '["' + "x" * 121 + '"]',
    "126 bytes": '["' + "x" * 122 + '"]',
    "65,535 bytes": '["' + "x" * 65_531 + '"]',
    "65,536 bytes": '["' + "x" * 65_532 + '"]',
    "700 kB": '["' + "\\u00e9" * 120_000 + '"]',
    "512 deep": "[" * 512 + "]" * 512,
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_arrives_byte_for_byte(broker, take, join, token, payload):
    stage = take("none", "quick")
    client, _ = join(stage, token)
    body = f'{{"host" : "{stage.host}" ,"data": {payload} ,"target":"all"}}'
    answer = broker.ask("POST", "/message", body.encode())
    assert answer.json["sent"] == 1, answer
    assert client.receive() == payload.strip()


def test_pipelined_casts_are_answered_and_delivered_in_order(broker, room):
    stream = dial(broker.address)
    count = 200
    stream.send(
        b"".join(
            request_bytes(
                "POST", "/message", {"host": room.host, "data": {"n": n}, "target": target}
            )
            for n in range(count)
            for target in (room.id("bob"), "all", [])
        )
    )
    answers = [read_answer(stream).json["sent"] for _ in range(3 * count)]
    assert answers == [1, 4, 0] * count
    stream.close()
    bob, eve = (room.client(name) for name in ("bob", "eve"))
    assert [eve.receive_json()["n"] for _ in range(count)] == list(range(count))
    assert [bob.receive_json()["n"] for _ in range(2 * count)] == [n // 2 for n in range(2 * count)]


def test_casts_to_all_and_to_some_keep_one_order_at_each_socket(broker, room):
    bob, eve = room.id("bob"), room.id("eve")
    kinds = [
        ({"target": "all"}, EVERYONE),
        ({"target": "all", "except": bob}, EVERYONE - {"bob"}),
        ({"target": f"socket:{bob}"}, {"bob"}),
        ({"target": [bob, eve]}, {"bob", "eve"}),
        ({"target": "all", "except": [bob, eve]}, {"ann1", "ann2"}),
        ({"target": f"token:{ANN}", "data": {"pad": "x" * 2_000}}, {"ann1", "ann2"}),
        ({"target": "all", "data": {"pad": "x" * 2_000}}, EVERYONE),
    ]
    chosen = random.Random(7).choices(kinds, k=100)
    requests = [
        {"host": room.host, **fields, "data": {"n": n, **fields.get("data", {})}}
        for n, (fields, _) in enumerate(chosen)
    ]
    stream = dial(broker.address)
    stream.send(b"".join(request_bytes("POST", "/message", request) for request in requests))
    answers = [read_answer(stream).json["sent"] for _ in requests]
    assert answers == [len(audience) for _, audience in chosen]
    stream.close()
    for name in EVERYONE:
        expected = [n for n, (_, audience) in enumerate(chosen) if name in audience]
        assert [room.client(name).receive_json()["n"] for _ in expected] == expected


def test_a_chunked_cast_is_a_cast(broker, room):
    stream = dial(broker.address)
    body = json.dumps({"host": room.host, "data": {"n": 1}}).encode()
    head = "POST /message HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = (b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:10], body[10:]))
    for piece in (head.encode(), *pieces, b"0\r\n\r\n"):
        stream.send(piece)
    assert read_answer(stream).json["sent"] == 4
    stream.close()
    assert room.heard(broker, {"n": 1}) == EVERYONE


def test_a_crowd_gets_every_cast_in_order(start, connect):
    host, crowd = "crowd.example.com", 300
    program = start({host: {"hooks": []}})
    clients = [connect(program.stages[host], to=program) for _ in range(crowd)]
    for client in clients:
        program.admitted(client)
    stream = dial(program.address)
    casts = [request_bytes("POST", "/message", {"host": host, "data": {"n": n}}) for n in range(10)]
    stream.send(b"".join(casts))
    assert [read_answer(stream).json["sent"] for _ in casts] == [crowd] * 10
    stream.close()
    for client in clients:
        assert [client.receive_json()["n"] for _ in casts] == list(range(10))
