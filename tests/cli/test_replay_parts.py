"""The parts of a replay: what stands in for the broker, what is compared, the figures."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phlows_cli.app.exchange import exchange
from phlows_cli.broker.masking import Shape, Tokens
from phlows_cli.cli.recordings import compare, receipts
from phlows_cli.cli.recordings.figures import Figures, Times
from phlows_cli.cli.recordings.receipts import Receipts
from phlows_cli.cli.recordings.source import Call, Source
from tests.broker.test_masking import payloads, texts

SOCKET = "5" * 16


def call(message, answers, **more):
    told = {"hook": "receive", "outcome": "accepted", "cut": [], "kept": frozenset()}
    raw = msgspec.Raw(json.dumps(message).encode())
    return Call(1.0, "h", SOCKET, token="", message=raw, answers=answers, **told | more)


def masked(value, *tokens, kept=()):
    known = Tokens()
    for token in tokens:
        known.add(token)
    return Shape(known, b"s" * 32, kept).payload(value, SOCKET, "")


# What is compared


@settings(max_examples=40, deadline=None)
@given(st.lists(payloads, max_size=3))
def test_an_app_that_answers_as_it_did_is_the_same_through_any_mask(answers):
    assume("masked-" not in json.dumps(answers))
    recorded = [masked(answer) for answer in answers]
    seen = compare.seen_through(call({"other": masked("?" * 30)}, recorded), answers)
    assert compare.is_same(recorded, seen)


@settings(max_examples=40, deadline=None)
@given(texts, payloads)
def test_an_echo_is_the_same_when_the_mask_is_echoed_and_different_when_it_is_not(text, rest):
    assume("masked-" not in json.dumps(rest))
    mask = masked("?" * 30 + text)
    recorded = call({"text": mask}, [{"echo": mask, "rest": masked(rest)}])
    assert compare.is_same(
        recorded.answers, compare.seen_through(recorded, [{"echo": mask, "rest": rest}])
    )
    for other in ("another text", "masked-000000000000", 5, None):
        answers = [{"echo": other, "rest": rest}]
        assert not compare.is_same(recorded.answers, compare.seen_through(recorded, answers))


@settings(max_examples=40, deadline=None)
@given(payloads, payloads)
def test_clear_answers_are_compared_exactly(was, now):
    recorded = call({}, [was], is_masked=False)
    is_equal = compare.canonical(was) == compare.canonical(now)
    assert compare.is_same([was], compare.seen_through(recorded, [now])) == is_equal


@settings(max_examples=40, deadline=None)
@given(payloads)
def test_a_token_of_another_is_known_by_its_hash(rest):
    recorded = call({}, [masked({"who": "secret of bob", "rest": rest}, "secret of bob")])
    for who, is_same in (("secret of bob", True), ("secret of cid", False)):
        seen = compare.seen_through(recorded, [{"who": who, "rest": rest}])
        assert compare.is_same(recorded.answers, seen) is is_same


def test_kept_values_are_compared_exactly():
    recorded = call({}, [masked({"room": 5, "n": 5}, kept=["room"])], kept=frozenset({"room"}))
    assert compare.is_same(recorded.answers, compare.seen_through(recorded, [{"room": 5, "n": 9}]))
    assert not compare.is_same(
        recorded.answers, compare.seen_through(recorded, [{"room": 6, "n": 5}])
    )


def test_a_long_diff_is_cut_before_it_takes_minutes():
    was, now = ({"answers": list(range(first, 10_000))} for first in (0, 5))
    assert len(compare.difference(was, now, "then", "now")) <= compare.COMPARED_LINES


# What stands in for the broker


async def ask(url, request, body=b"{}"):
    status, answer = await asyncio.to_thread(exchange, url, request, body, "")
    return status, json.loads(answer)


@pytest.fixture
def standing():
    """Runs a test's questions against receipts that listen."""

    async def run(questions):
        made = Receipts("h")
        url = await made.start()
        try:
            return await questions(made, url)
        finally:
            await made.stop()

    return run


async def test_a_cast_is_kept_and_reaches_nobody(standing):
    async def questions(made, url):
        status, receipt = await ask(url, "POST /message", b'{"target":"all","data":{"a":1}}')
        assert (status, receipt["sent"], receipt["matched"]) == (200, 0, 0)
        assert made.take() == [{"path": "/message", "target": "all", "data": {"a": 1}}]
        assert made.take() == []

    await standing(questions)


async def test_questions_are_answered_as_by_a_broker_without_sockets(standing):
    async def questions(made, url):
        assert (await ask(url, "GET /presence?host=h"))[1]["sockets"] == []
        assert (await ask(url, "GET /health"))[1]["hosts"]["h"]["sockets"] == 0
        assert (await ask(url, "GET /ready"))[0] == 200
        assert (await ask(url, "GET /metrics"))[0] == 404
        assert (await ask(url, "POST /message", b"no JSON"))[0] == 400
        assert made.take() == []
        assert (await ask(url, "POST /dispatch", b'{"target":"a::b"}'))[1]["result"] is None
        assert made.take() == [{"path": "/dispatch", "target": "a::b"}]

    await standing(questions)


async def test_casts_that_never_end_are_kept_up_to_a_bound(standing, monkeypatch):
    monkeypatch.setattr(receipts, "CASTS", 2)

    async def questions(made, url):
        for _ in range(4):
            assert (await ask(url, "POST /message"))[0] == 200
        assert len(made.take()) == 2

    await standing(questions)


async def test_what_is_no_http_is_refused_and_cut(standing):
    async def questions(_made, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"\x00\x01nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()

    await standing(questions)


async def test_more_connections_than_may_be_are_cut(standing, monkeypatch):
    monkeypatch.setattr(receipts, "CONNECTIONS", 1)

    async def questions(_made, url):
        port = int(url.rpartition(":")[2])
        _, first = await asyncio.open_connection("127.0.0.1", port)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        first.close()
        second.close()

    await standing(questions)


# The figures, and the file


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 60_000), min_size=1, max_size=200))
def test_percentiles_are_right_to_one_in_a_hundred(times):
    kept = Times()
    for ms in times:
        kept.add(ms)
    for share in (50, 99):
        true = sorted(times)[-(-len(times) * share // 100) - 1]
        assert kept.percentile(share) == pytest.approx(true, rel=0.011, abs=0.001)


def test_of_nothing_there_are_no_percentiles():
    assert Figures().summary()["ms"]["now"] == {"p50": None, "p99": None}
    assert Figures().summary()["calls"] == 0


def test_a_line_without_end_is_not_read_into_memory(tmp_path):
    path = tmp_path / "calls"
    path.write_bytes(b'{"type":"recording","format":1}\n' + b"x" * 3_000_000)
    with Source(str(path)) as source, pytest.raises(Exception, match="longer than 1048576 bytes"):
        list(source.calls())
