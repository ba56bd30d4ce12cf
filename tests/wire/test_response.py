from __future__ import annotations

import json
from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.model import Receipt
from phlows_cli.wire.response import (
    chunk,
    error_response,
    json_response,
    receipt_response,
    stream_head,
    text_response,
)


@dataclass
class Answer:
    """A response as a client's parser sees it."""

    status: int = 0
    keep_alive: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: int = 0

    def on_header(self, name, value):
        assert name.decode() not in self.headers
        self.headers[name.decode()] = value.decode()

    def on_headers_complete(self):
        self.status = self.parser.get_status_code()
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.complete += 1

    @classmethod
    def of(cls, data):
        answer = cls()
        answer.parser = httptools.HttpResponseParser(answer)
        answer.parser.feed_data(data)
        return answer


def test_a_value_is_answered_as_json():
    answer = Answer.of(json_response({"status": "ok", "hosts": ["é"]}))
    assert (answer.status, answer.keep_alive, answer.complete) == (200, True, 1)
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
    }
    assert json.loads(answer.body) == {"status": "ok", "hosts": ["é"]}


def test_an_error_has_the_one_shape_and_closes():
    answer = Answer.of(error_response(426, 'no "upgrade"', (("upgrade", "websocket"),)))
    assert (answer.status, answer.keep_alive) == (426, False)
    assert json.loads(answer.body) == {"status": "error", "message": 'no "upgrade"'}
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"] == "close"


def test_an_error_may_keep_the_connection():
    assert Answer.of(error_response(404, "no", keep_alive=True)).keep_alive


@pytest.mark.parametrize(
    "status", [200, 400, 401, 403, 404, 405, 411, 413, 414, 415, 421, 426, 431, 501, 503, 505]
)
def test_every_status_has_its_phrase(status):
    head = json_response({}, status).split(b"\r\n")[0]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert len(head) > len(b"HTTP/1.1 200 ")


def test_text_is_answered_with_its_type_and_headers():
    answer = Answer.of(
        text_response(b"x = 1", "text/javascript", headers=(("access-control-allow-origin", "*"),))
    )
    assert answer.body == b"x = 1"
    assert answer.headers["content-type"] == "text/javascript"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_empty_body_is_still_counted():
    answer = Answer.of(text_response(b"", "text/plain"))
    assert (answer.headers["content-length"], answer.complete) == ("0", 1)


def test_every_answer_ends_where_the_next_begins():
    answers = [json_response({"n": 1}), receipt_response(Receipt("a")), json_response({"n": 3})]
    bodies, parsed = [], Answer()
    parsed.on_header = lambda name, value: None
    parsed.on_message_complete = lambda: bodies.append(parsed.body)
    parsed.parser = httptools.HttpResponseParser(parsed)
    parsed.parser.feed_data(b"".join(answers))
    assert len(bodies) == 3
    assert parsed.body == b"".join(answer.partition(b"\r\n\r\n")[2] for answer in answers)


@given(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
@settings(deadline=None)
def test_a_receipt_is_exact_json_for_any_host(host, sent, dropped, held):
    answer = Answer.of(receipt_response(Receipt(host, sent, dropped, held)))
    assert (answer.status, answer.keep_alive, answer.complete) == (200, True, 1)
    assert json.loads(answer.body) == {
        "status": "ok",
        "host": host,
        "sent": sent,
        "matched": sent + dropped,
        "dropped": dropped,
        "held": held,
    }


def test_a_receipt_looks_like_any_json_answer():
    receipt = Receipt("app.example.com", 3, 1, 2)
    value = {
        "status": "ok",
        "host": "app.example.com",
        "sent": 3,
        "matched": 4,
        "dropped": 1,
        "held": 2,
    }
    assert receipt_response(receipt) == json_response(value)
    assert receipt_response(receipt, False) == json_response(value, keep_alive=False)


@given(st.lists(st.binary(max_size=300), max_size=8))
@settings(deadline=None)
def test_a_stream_is_the_sum_of_its_chunks(pieces):
    data = stream_head() + b"".join(chunk(piece) for piece in pieces)
    answer = Answer.of(data)
    assert (answer.status, answer.complete) == (200, 0)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["transfer-encoding"] == "chunked"
    answer.parser.feed_data(b"0\r\n\r\n")
    assert (answer.body, answer.complete) == (b"".join(pieces), 1)


def test_an_empty_chunk_does_not_end_the_stream():
    assert chunk(b"") == b""
