"""Casts over HTTP, with a real broker."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.model import Receipt
from phlows_cli.wire.response import receipt_response
from tests.builders import HOST, KEY, Answer
from tests.builders import BridgeScene as Scene

BEARER = {"authorization": f"Bearer {KEY}"}
ID = "0123456789abcdef"


# Casts


async def test_a_cast_is_answered_with_its_receipt():
    scene = Scene()
    _, peer = await scene.stage.live()
    slow = (await scene.stage.live())[1]
    slow.is_slow = True
    scene.stage.connect()
    answer = scene.post({"host": HOST, "target": "all", "except": "", "data": {"a": 1}})
    assert answer.status == 200
    assert answer.body == (
        b'{"status":"ok","host":"app.test","sent":1,"matched":2,"dropped":1,"held":1}'
    )
    assert peer.messages == [b'{"a": 1}']


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"\\u00e9\\/","b":1.50,"b":1e+2}',
        b"[]",
        b"{}",
        b'{ "a" :\n\t[ 1 , 2 ] }',
        '{"é":"😀"}'.encode(),
        b'[{"wsHost":1}]',
        b'["\\ud83d\\ude00"]',
        b"[" * 500 + b"]" * 500,
    ],
)
@pytest.mark.parametrize(
    "around", [b'{"host":"app.test","data":%b}', b' {"data" : %b , "host":"app.test"}\n']
)
async def test_data_goes_to_the_clients_byte_for_byte(data, around):
    scene = Scene()
    _, peer = await scene.stage.live()
    assert scene.post(around % data).status == 200
    assert peer.messages == [data]


async def test_absent_fields_mean_everyone_nobody_excluded_and_an_empty_object():
    scene = Scene()
    _, peer = await scene.stage.live()
    assert scene.post({"host": HOST}).json["sent"] == 1
    assert peer.messages == [b"{}"]


@pytest.mark.parametrize("excluded", ["", None, [], [""], "unknown", ["unknown", None]])
async def test_an_except_that_names_nobody_excludes_nobody(excluded):
    scene = Scene()
    await scene.stage.live()
    assert scene.post({"host": HOST, "except": excluded}).json["sent"] == 1


@pytest.mark.parametrize("form", ["{}", "socket:{}"])
async def test_except_takes_an_id_with_or_without_its_prefix_or_several(form):
    scene = Scene()
    sessions = [(await scene.stage.live())[0] for _ in range(3)]
    ids = [form.format(session.id) for session in sessions]
    assert scene.post({"host": HOST, "except": ids[0]}).json["sent"] == 2
    assert scene.post({"host": HOST, "except": ids[:2]}).json["sent"] == 1
    assert scene.post({"host": HOST, "target": ids[0], "except": ids[0]}).json["matched"] == 0


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("all", 3),
        ("token:alice", 2),
        ("token:not:alice", 1),
        ("token:nobody", 0),
        ("token:", 0),
        ("socket:0000000000000001", 1),
        ("0000000000000001", 1),
        ("0000000000000009", 0),
        ([], 0),
        (["token:alice", "0000000000000001", "socket:0000000000000003"], 3),
    ],
)
async def test_every_form_of_a_target(target, sent):
    scene = Scene()
    for token in ("alice", "alice", "bob"):
        await scene.stage.live(token)
    assert scene.post({"host": HOST, "target": target}).json["sent"] == sent


@pytest.mark.parametrize(
    "target",
    [
        *("", None, 7, True, {}, "ALL", "all ", "everyone", "socket:", "abc", "tokens:alice"),
        *(ID.upper(), ID + "0", ["all", ""], [None], [["all"]]),
    ],
)
async def test_any_other_target_is_400_and_reaches_nobody(target):
    scene = Scene()
    _, peer = await scene.stage.live()
    answer = scene.post({"host": HOST, "target": target})
    assert answer.status == 400
    assert "is not one of: all, token:<token>" in answer.message
    assert peer.frames == []


@pytest.mark.parametrize("excluded", [7, True, {}, ["a", 7], [["a"]]])
async def test_an_except_that_is_no_text_is_400(excluded):
    answer = Scene().post({"host": HOST, "except": excluded})
    assert answer.status == 400
    assert "except takes socket ids" in answer.message


@pytest.mark.parametrize("data", [b"null", b"1", b'"text"', b"true", b"-1.5"])
async def test_data_that_is_no_object_or_array_is_400(data):
    answer = Scene().post(b'{"host":"app.test","data":%b}' % data)
    assert answer.status == 400
    assert answer.message == "data is not a JSON object or array"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "truncated"),
        (b"hello", "body: "),
        (b"[]", "body: "),
        (b"null", "body: "),
        (b'{"host":"app.test"}x', "body: "),
        (b'{"host":"app.test","data":{"a":NaN}}', "body: "),
        (b'{"host":"app.test","data":{"a":1,}}', "body: "),
        (b'{"host":7}', "host"),
        (b'{"host":"app.test","tokens":"all"}', "tokens"),
        (b'{"host":"app.test","data":{"a":"\xff"}}', "body is not UTF-8 at byte 32"),
        (b'{"host":"\xed\xa0\x80"}', "body is not UTF-8 at byte 9"),
        (b'{"host":"app.test","data":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deep"),
        (b'{"target":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deep"),
        ('\ufeff{"host":"app.test"}'.encode(), "body: "),
    ],
)
async def test_a_bad_body_is_400_and_says_where(body, says):
    scene = Scene()
    _, peer = await scene.stage.live()
    answer = scene.post(body)
    assert answer.status == 400
    assert says in answer.message
    assert peer.frames == []


async def test_an_empty_body_with_a_length_of_zero_is_400():
    assert Scene().ask("/message", "POST", headers={"content-length": "0"}).status == 400


@pytest.mark.parametrize(
    ("body_host", "header", "status"),
    [
        (HOST, None, 200),
        ("App.Test.:443", None, 200),
        (None, HOST, 200),
        ("", HOST, 200),
        (None, "APP.test:3001", 200),
        (HOST, "other.test", 200),
        ("other.test", HOST, 400),
        (None, "other.test", 400),
        (None, None, 400),
        ("", None, 400),
        (".", None, 400),
        ("x" * 10_000, None, 400),
    ],
)
async def test_the_host_is_the_bodys_else_the_headers(body_host, header, status):
    body = {} if body_host is None else {"host": body_host}
    headers = {} if header is None else {"x-phlo-host": header}
    answer = Scene().post(body, headers)
    assert answer.status == status
    if status == 400:
        assert "host" in answer.message


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("all")
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2)
fields = st.sampled_from(["host", "target", "data", "except", "code", "reason", "x"])
bodies = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.dictionaries(fields, values).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(fields, values).map(
        lambda value: json.dumps(value | {"host": HOST}, ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )
    ),
)


@given(bodies)
def test_whatever_the_body_it_is_answered(body):
    async def ask():
        scene = Scene()
        for target in ("/message", "/disconnect"):
            answer = scene.post(body, BEARER, target)
            assert answer.status in (200, 400)
            assert answer.status == 200 or answer.message

    asyncio.run(ask())


def test_receipts_are_the_json_that_they_look_like():
    # the hot path formats them by hand
    answer = Answer(receipt_response(Receipt('a"\\\u00e9.test', 1, 2, 3)))
    assert msgspec.json.decode(answer.body) == {
        "status": "ok",
        "host": 'a"\\\u00e9.test',
        "sent": 1,
        "matched": 3,
        "dropped": 2,
        "held": 3,
    }
