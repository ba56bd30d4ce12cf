"""Bodies and pipelines that are broken, crowded or never end."""

from __future__ import annotations

import select
from pathlib import Path

import pytest

from tests.conformance.client import TEXT, frame
from tests.conformance.stream import dial
from tests.conformance.test_abuse_heads import refused
from tests.conformance.test_slow_consumer import memory
from tests.conformance.web import read_answer, request_bytes

pytestmark = pytest.mark.usefixtures("unharmed")

POST = b"POST /message HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def chunks(body, size, extension=b""):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_chunked_cast_arrives_whole_and_the_next_request_is_answered(take, join, broker, size):
    stage = take("none", "quick")
    client, _ = join(stage)
    data = '{"text":"' + "\u00e9" * 50 + '"}'
    body = f'{{"host":"{stage.host}","data":{data}}}'.encode()
    raw = CHUNKED + chunks(body, size, b";name=value") + request_bytes("GET", "/ready")
    stream = dial(broker.address)
    for at in range(0, len(raw), 37):
        stream.send(raw[at : at + 37])
    assert read_answer(stream).json["sent"] == 1
    assert read_answer(stream).status == 200
    assert client.receive() == data
    stream.close()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x\r\n\r\n", id="no number"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"10000000000000000\r\n\r\n", id="more than 64 bits"),
        pytest.param(b"2\r\n{}x\r\n\r\n", id="longer than it said"),
        pytest.param(b"0x2\r\n{}\r\n", id="0x"),
        pytest.param(b" 2\r\n{}\r\n", id="a space first"),
    ],
)
def test_chunks_that_are_none_are_400(broker, body):
    assert refused(broker, CHUNKED + body) == 400


def test_chunk_extensions_and_trailers_without_end_are_cut(broker):
    assert refused(broker, CHUNKED + b"1;" + b"x" * 40_000) == 431
    assert refused(broker, CHUNKED + b"0\r\n" + b"X: y\r\n" * 10_000) == 431


def test_a_trailer_is_no_header(broker, take):
    body = b'{"host":"%b","target":"all"}' % take().host.encode()
    head = CHUNKED.replace(b"/message", b"/disconnect")
    trailer = b"Authorization: Bearer " + broker.key.encode()
    stream = dial(broker.address)
    stream.send(head + b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(body), body, trailer))
    assert read_answer(stream).status == 401
    stream.close()


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ],
    ids=lambda framing: framing.decode().strip().replace("\r\n", " | "),
)
def test_a_body_that_could_be_read_in_two_ways_is_read_in_none(broker, take, framing):
    # What a second reading would see as a request of its own.
    hidden = b"0\r\n\r\n" + request_bytes("GET", "/ready")
    status = refused(broker, POST + framing + b"\r\n" + hidden)
    assert status in (400, 413, 501)


# Pipelines


def test_a_long_pipeline_of_casts_is_answered_and_delivered_in_order(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    count = 500
    raw = b"".join(
        request_bytes("POST", "/message", {"host": stage.host, "data": {"n": n}})
        for n in range(count)
    )
    stream = dial(broker.address)
    stream.send(raw)
    assert [read_answer(stream).json["sent"] for _ in range(count)] == [1] * count
    assert [client.receive_json()["n"] for _ in range(count)] == list(range(count))
    stream.close()


def test_a_bad_request_in_a_pipeline_costs_the_others_nothing(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    good = request_bytes("POST", "/message", {"host": stage.host, "data": {"n": 1}})
    bad = request_bytes("POST", "/message", b'{"host":')
    stream = dial(broker.address)
    stream.send(good + bad + good + b"broken\r\n\r\n" + good)
    assert [read_answer(stream).status for _ in range(4)] == [200, 400, 200, 400]
    assert stream.at_end()
    assert [client.receive_json() for _ in range(2)] == [{"n": 1}] * 2
    assert broker.cast(stage.host, {"n": 2})["sent"] == 1
    assert client.receive_json() == {"n": 2}
    stream.close()


def test_a_caller_that_never_reads_its_answers_is_not_read_either(broker):
    stream = dial(broker.address, receive_buffer=4096)
    large = len(broker.ask("GET", "/health").body)
    piece = request_bytes("GET", "/health") * 200
    if has_proc := Path("/proc/self/status").exists():
        before, _ = memory(broker.pid)
    sent = 0
    stream.sock.setblocking(False)
    # A second in which nothing can be sent: the broker has stopped reading.
    while select.select([], [stream.sock], [], 1.0)[1]:
        sent += stream.sock.send(piece[sent % len(piece) :])
        assert sent < 64 << 20, "it is read without end"
    assert broker.ask("GET", "/ready").status == 200
    assert sent // len(piece) * 200 * large > 64 << 20, "it asked for too little to show anything"
    if has_proc:
        assert memory(broker.pid)[1] - before < 32 << 20
    stream.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{",
        b"{} {}",
        b'{"host":1}',
        b'{"host":"%h","data":NaN}',
        b'{"host":"%h","data":{"a":Infinity}}',
        b'{"host":"%h","data":7}',
        b'{"host":"%h","data":null}',
        b'{"host":"%h","data":{},}',
        b'{"host":"%h",/* */"data":{}}',
        b"{'host':'%h'}",
        b'\xef\xbb\xbf{"host":"%h"}',
        b'{"host":"%h","data":{"a":"\xff"}}',
        b'{"host":"%h","data":{"a":"\xed\xa0\x80"}}',
        b'{"host":"%h","data":{"a":"\x01"}}',
        b'{"host":"%h","data":{"a":"\\x"}}',
        b'{"host":"%h","daat":{}}',
        b'{"host":"%h","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"host":"%h","data":' + b"[" * 100_000,
        b'{"host":"%h","data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"host":"%h","target":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_cast_that_is_no_json_is_400_and_reaches_nobody(broker, take, join, body):
    stage = take("none", "quick")
    client, _ = join(stage)
    answer = broker.ask("POST", "/message", body.replace(b"%h", stage.host.encode()))
    assert answer.status == 400
    assert answer.json["message"]
    assert broker.cast(stage.host, {"n": 1})["sent"] == 1
    assert client.receive_json() == {"n": 1}


def test_a_cast_of_data_that_is_deep_but_valid_arrives(broker, take, join):
    stage = take("none", "quick")
    client, _ = join(stage)
    data = b"[" * 513 + b"]" * 513
    body = b'{"host":"%b","data":%b}' % (stage.host.encode(), data)
    assert broker.ask("POST", "/message", body).json["sent"] == 1
    assert client.receive() == data.decode()


def test_frames_to_the_bridge_are_no_requests(broker):
    assert refused(broker, frame(TEXT, b'{"a":1}')) == 400
