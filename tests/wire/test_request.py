from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from phlows_cli.errors import RequestError
from phlows_cli.wire.request import CONTINUE, HEAD_LIMIT, HEADER_COUNT, Request, RequestReader

BODY_LIMIT = 1000
POST = b"POST /message HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET /websocket?v=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
    b"Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def whole(data):
    return [data]


def byte_by_byte(data):
    return [data[at : at + 1] for at in range(len(data))]


FEEDS = pytest.mark.parametrize("cut", [whole, byte_by_byte])


def reader_of(data, cut=whole, **limits):
    reader = RequestReader(**{"body_limit": BODY_LIMIT, **limits})
    for piece in cut(data):
        reader.receive_data(piece)
    return reader


def requests_of(data, cut=whole, **limits):
    return reader_of(data, cut, **limits).requests_received()


def only(data, cut=whole, **limits):
    (request,) = requests_of(data, cut, **limits)
    return request


def get(*lines, target=b"/", version=b"1.1"):
    return b"\r\n".join([b"GET " + target + b" HTTP/" + version, *lines, b"", b""])


def post(body, *lines):
    return (
        POST
        + b"".join(line + b"\r\n" for line in lines)
        + (b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    )


def outcome(data, cut=whole, **limits):
    """The requests, and the error that ended them."""
    reader = RequestReader(**{"body_limit": BODY_LIMIT, **limits})
    error = None
    for piece in cut(data):
        try:
            reader.receive_data(piece)
        except RequestError as caught:
            assert error is None, "an error is raised once"
            error = caught
    return reader.requests_received(), error, reader


@FEEDS
def test_a_call_of_the_bridge_is_read_whole(cut):
    data = (
        b"POST /message?a=1&b=%20x&a=2&c HTTP/1.1\r\nHost: 127.0.0.1:3001\r\n"
        b"Content-Type:application/json \r\nX-Name:  caf\xe9\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert only(data, cut) == Request(
        method="POST",
        target="/message?a=1&b=%20x&a=2&c",
        path="/message",
        query={"a": "2", "b": " x", "c": ""},
        headers={
            "host": "127.0.0.1:3001",
            "content-type": "application/json",
            "x-name": "café",
            "content-length": "2",
        },
        repeated=frozenset(),
        version="1.1",
        body=b"{}",
        keep_alive=True,
        is_upgrade=False,
    )


@FEEDS
def test_a_request_without_a_body_is_whole_at_its_blank_line(cut):
    request = only(get(b"Host: a"), cut)
    assert (request.method, request.path, request.query, request.body) == ("GET", "/", {}, b"")


@FEEDS
def test_requests_come_out_in_the_order_they_came(cut):
    data = get(b"Host: a", target=b"/1") + post(b"two") + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
    data += get(b"Host: a", target=b"/4")
    requests = requests_of(data, cut)
    assert [(request.path, request.body) for request in requests] == [
        ("/1", b""),
        ("/message", b"two"),
        ("/message", b"abc"),
        ("/4", b""),
    ]


def test_requests_are_handed_out_once():
    reader = reader_of(get(b"Host: a"))
    assert len(reader.requests_received()) == 1
    assert reader.requests_received() == []


@FEEDS
def test_trailing_bytes_wait_for_the_rest_of_their_request(cut):
    reader = reader_of(post(b"one") + b"GET /two HTTP/1.1\r\nHo", cut)
    assert [request.body for request in reader.requests_received()] == [b"one"]
    assert not reader.is_idle
    reader.receive_data(b"st: a\r\n\r\n")
    assert [request.path for request in reader.requests_received()] == ["/two"]
    assert reader.is_idle


def test_a_reader_is_idle_between_requests_only():
    reader = RequestReader(body_limit=BODY_LIMIT)
    facts = [reader.is_idle]
    for piece in (b"POST / HTTP/1.1\r\n", b"Host: a\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
        reader.receive_data(piece)
        facts.append(reader.is_idle)
    assert facts == [True, False, False, False, True]


@FEEDS
def test_blank_lines_before_a_request_are_skipped(cut):
    data = b"\r\n\r\n" + post(b"one") + b"\r\n\n\r\n" + get(b"Host: a")
    assert [request.body for request in requests_of(data, cut)] == [b"one", b""]


@FEEDS
def test_chunks_are_joined_and_may_look_like_requests(cut):
    body = b"\r\n\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n"
    data = CHUNKED + b"%x;name=value\r\n%b\r\n" % (len(body), body)
    data += b"1\r\n\r\r\n4\r\n\n\r\n\r\r\n00\r\n\r\n" + get(b"Host: a")
    first, second = requests_of(data, cut)
    assert first.body == body + b"\r" + b"\n\r\n\r"
    assert second.method == "GET"


@FEEDS
def test_a_trailer_is_never_a_header(cut):
    data = CHUNKED + b"2\r\n{}\r\n0\r\nAuthorization: Bearer k\r\nHost: evil\r\n\r\n"
    data += get(b"Host: b")
    first, second = requests_of(data, cut)
    assert first.headers == {"host": "a", "transfer-encoding": "chunked"}
    assert second.headers == {"host": "b"}


@FEEDS
def test_an_upgrade_stops_the_parser_and_holds_what_follows(cut):
    reader = reader_of(UPGRADE + b"\x81\x80abcd" + UPGRADE, cut)
    (request,) = reader.requests_received()
    assert (request.is_upgrade, request.path, request.query) == (True, "/websocket", {"v": "1"})
    assert reader.leftover() == b"\x81\x80abcd" + UPGRADE
    assert reader.leftover() == b""
    reader.receive_data(b"more")
    assert reader.leftover() == b"more"
    assert reader.requests_received() == []


@FEEDS
def test_an_upgrade_by_another_method_is_still_one(cut):
    request = only(UPGRADE.replace(b"GET", b"POST"), cut)
    assert (request.is_upgrade, request.method) == (True, "POST")


@pytest.mark.parametrize(
    "missing", [b"Upgrade: WebSocket\r\n", b"Connection: keep-alive, Upgrade\r\n"]
)
def test_half_an_upgrade_is_a_plain_request(missing):
    reader = reader_of(UPGRADE.replace(missing, b"") + get(b"Host: a"))
    assert [request.is_upgrade for request in reader.requests_received()] == [False, False]
    assert reader.leftover() == b""


@FEEDS
@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"],
)
def test_another_upgrade_does_not_hide_the_body(cut, framing):
    head = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nUPGRADE: h3\r\n"
    first, second = requests_of(head + framing + post(b"next"), cut)
    assert (first.body, first.is_upgrade) == (b"abc", False)
    assert second.body == b"next"


@FEEDS
def test_a_header_that_came_twice_is_joined_and_named(cut):
    request = only(get(b"Host: a", b"X-A: 1", b"x-a: 2", b"Cookie: a=1", b"Cookie: b=2"), cut)
    assert request.headers == {"host": "a", "x-a": "1, 2", "cookie": "a=1; b=2"}
    assert request.repeated == {"x-a", "cookie"}


TARGETS = {
    b"/": ("/", {}, "a"),
    b"//": ("//", {}, "a"),
    b"///evil.org/x": ("///evil.org/x", {}, "a"),
    b"/a%20b/../c;d": ("/a%20b/../c;d", {}, "a"),
    b"/?": ("/", {}, "a"),
    b"/??a=1": ("/", {"?a": "1"}, "a"),
    b"/?a=%C3%A9&b=%FF&c=+": ("/", {"a": "é", "b": "\ufffd", "c": " "}, "a"),
    b"/?http://x/": ("/", {"http://x/": ""}, "a"),
    b"*": ("*", {}, "a"),
    b"http://b:81/x?y=1": ("/x", {"y": "1"}, "b:81"),
    b"HTTPS://b": ("/", {}, "b"),
    b"ws://b?x=1": ("/", {"x": "1"}, "b"),
    b"wss://[::1]:9//": ("//", {}, "[::1]:9"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_gives_path_query_and_host(target):
    request = only(get(b"Host: a", target=target))
    assert (request.path, request.query, request.headers["host"]) == TARGETS[target]
    assert request.target == target.decode()


KEEP_ALIVE = [
    (b"1.1", None, True),
    (b"1.1", b"keep-alive", True),
    (b"1.1", b"close", False),
    (b"1.1", b"Keep-Alive, CLOSE", False),
    (b"1.1", b"closed", True),
    (b"1.0", None, False),
    (b"1.0", b"Keep-Alive", True),
    (b"1.0", b"close", False),
]


@pytest.mark.parametrize(("version", "connection", "keep_alive"), KEEP_ALIVE)
def test_a_connection_lives_on_as_http_says(version, connection, keep_alive):
    lines = [b"Host: a"] + ([b"Connection: " + connection] if connection else [])
    requests = requests_of(get(*lines, version=version) * 2)
    assert [request.keep_alive for request in requests] == [keep_alive] * (2 if keep_alive else 1)
    assert requests[0].version == version.decode()


@FEEDS
def test_nothing_is_parsed_after_a_last_request(cut):
    data = POST + b"Connection: close\r\nContent-Length: 2\r\n\r\nok\0garbage\r\n\r\n"
    reader = reader_of(data + post(b"late"), cut)
    assert [request.body for request in reader.requests_received()] == [b"ok"]
    assert reader.is_idle


def test_http_1_0_needs_no_host():
    assert only(get(version=b"1.0")).headers == {}


def test_a_client_that_waits_is_told_to_continue_once():
    reader = reader_of(POST + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert reader.requests_received() == []
    assert [reader.data_to_send(), reader.data_to_send()] == [CONTINUE, b""]
    reader.receive_data(b"{}")
    assert reader.requests_received()[0].body == b"{}"
    assert reader.data_to_send() == b""


def test_a_client_that_waits_before_its_chunks_is_told_to_continue():
    reader = reader_of(POST + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert reader.data_to_send() == CONTINUE


@pytest.mark.parametrize(
    "data",
    [
        post(b"here", b"Expect: 100-continue"),
        POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{",
        get(b"Host: a", b"Expect: 100-continue"),
        POST + b"Expect: something\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_client_that_does_not_wait_is_not_told(data):
    assert reader_of(data).data_to_send() == b""


def test_a_body_over_the_limit_is_refused_before_it_is_asked_for():
    _, error, reader = outcome(POST + b"Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n")
    assert error is not None
    assert reader.data_to_send() == b""


def chunked(body, size):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


MALFORMED = "malformed request: "
BARE = "malformed request: a bare line feed or NUL in its head"
FIRST_LINE = "malformed request: the first line does not end with HTTP/1.1"
NO_TARGET = "request target is neither a path nor an http URL"
NOT_HTTP = "not an HTTP request (TLS on a plain port?)"
FRAMED = f"chunk framing or trailers exceed {HEAD_LIMIT} bytes"
TWO_HOSTS = "more than one host header"

# name: bytes, status, text; and the text when the bytes come one by one,
# where what is wrong shows before the head is whole.
ERRORS = {
    "two hosts": (get(b"Host: a", b"Host: b"), 400, TWO_HOSTS),
    "the same host twice": (get(b"Host: a", b"host: a"), 400, TWO_HOSTS),
    "no host": (get(b"X: a"), 400, "no host header"),
    "no host, absolute form": (get(target=b"http://a/"), 400, "no host header"),
    "connect": (
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        405,
        "method CONNECT is not supported",
    ),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method is not known"),
    "upgrade in 1.0": (
        UPGRADE.replace(b"/1.1", b"/1.0"),
        505,
        "upgrade in HTTP/1.0: use HTTP/1.1",
    ),
    "upgrade with a body": (
        UPGRADE[:-2] + b"Content-Length: 3\r\n\r\nabc",
        400,
        "upgrade with a body",
    ),
    "upgrade with chunks": (
        UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        400,
        "upgrade with a body",
    ),
    "gzip, chunked": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        501,
        "transfer-encoding 'gzip, chunked' is not supported: chunked is",
    ),
    "chunked twice": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        MALFORMED + "Invalid `Transfer-Encoding` header value",
    ),
    "gzip": (
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        400,
        MALFORMED + "Request has invalid `Transfer-Encoding`",
    ),
    "chunked in 1.0": (
        CHUNKED.replace(b"/1.1", b"/1.0"),
        400,
        "transfer-encoding in HTTP/1.0",
    ),
    "length and chunks": (
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        MALFORMED + "Transfer-Encoding can't be present with Content-Length",
    ),
    "chunks and length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        400,
        MALFORMED + "Content-Length can't be present with Transfer-Encoding",
    ),
    "two lengths": (
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
        MALFORMED + "Duplicate Content-Length",
    ),
    "a signed length": (
        POST + b"Content-Length: +3\r\n\r\nabc",
        400,
        MALFORMED + "Invalid character in Content-Length",
    ),
    "an endless length": (
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        400,
        MALFORMED + "Content-Length overflow",
    ),
    "a folded header": (
        get(b"Host: a", b"X: a", b" b"),
        400,
        MALFORMED + "Unexpected whitespace after header value",
    ),
    "a bare line feed": (
        get(b"Host: a\nX: b"),
        400,
        MALFORMED + "Missing expected CR after header value",
        BARE,
    ),
    "a bare line feed in the first line": (
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        400,
        BARE,
    ),
    "a bare line feed after the target": (b"GET /\nX: b HTTP/1.1\r\nHost: a\r\n\r\n", 400, BARE),
    "a NUL": (get(b"Host: a", b"X: \0"), 400, MALFORMED + "Invalid header value char", BARE),
    "a bare carriage return": (
        get(b"Host: a", b"X: a\rb"),
        400,
        MALFORMED + "Missing expected LF after header value",
    ),
    "a space before the colon": (
        get(b"Host : a"),
        400,
        MALFORMED + "Invalid header token",
    ),
    "no version": (b"GET /\r\nHost: a\r\n\r\n", 400, FIRST_LINE),
    "another protocol": (b"OPTIONS * RTSP/1.0\r\nHost: a\r\n\r\n", 400, FIRST_LINE),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0 is not supported: use HTTP/1.1"),
    "HTTP/0.9": (get(b"Host: a", version=b"0.9"), 505, "HTTP/0.9 is not supported: use HTTP/1.1"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", 400, NOT_HTTP),
    "a small method": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, NOT_HTTP),
    "a fragment": (get(b"Host: a", target=b"/a#b"), 400, NO_TARGET),
    "a fragment in a URL": (get(b"Host: a", target=b"http://a/#b"), 400, NO_TARGET),
    "a URL with a user": (get(b"Host: a", target=b"http://u@a/"), 400, NO_TARGET),
    "a URL without host": (get(b"Host: a", target=b"http:///a"), 400, NO_TARGET),
    "another scheme": (get(b"Host: a", target=b"ftp://a/"), 400, NO_TARGET),
    "a star with a tail": (get(b"Host: a", target=b"*a"), 400, NO_TARGET),
    "a bare word": (
        get(b"Host: a", target=b"abc"),
        400,
        MALFORMED + "Invalid characters in url",
    ),
    "a byte that is not ASCII": (
        get(b"Host: a", target=b"/\xff"),
        400,
        MALFORMED + "Invalid char in url path",
    ),
    "a query of too many fields": (
        get(b"Host: a", target=b"/?" + b"&".join([b"a"] * 33)),
        400,
        "query of 33 fields exceeds 32",
    ),
    "a long first line": (
        get(b"Host: a", target=b"/" + b"a" * HEAD_LIMIT),
        414,
        f"request line exceeds {HEAD_LIMIT} bytes",
    ),
    "a long head": (
        get(b"Host: a", b"X: " + b"a" * HEAD_LIMIT),
        431,
        f"request head exceeds {HEAD_LIMIT} bytes",
    ),
    "many headers": (
        get(b"Host: a", *[b"X: a"] * HEADER_COUNT),
        431,
        f"{HEADER_COUNT + 1} header lines exceed {HEADER_COUNT}",
    ),
    "a long body": (
        POST + b"Content-Length: 1001\r\n\r\n",
        413,
        "body of 1001 bytes exceeds 1000 (bridge.body_limit)",
    ),
    "many chunks": (
        chunked(b"a" * 1001, 100) + b"0\r\n\r\n",
        413,
        "chunked body exceeds 1000 bytes (bridge.body_limit)",
    ),
    "a chunk size that is no number": (
        CHUNKED + b"x\r\n",
        400,
        MALFORMED + "Invalid character in chunk size",
    ),
    "an endless chunk size": (
        CHUNKED + b"f" * 17 + b"\r\n\r\n",
        400,
        MALFORMED + "Chunk size overflow",
    ),
    "a chunk line with a bare line feed": (
        CHUNKED + b"3\nabc\r\n\r\n",
        400,
        MALFORMED + "Missing expected CR after chunk size",
    ),
    "a chunk longer than it says": (
        CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
        400,
        MALFORMED + "Expected LF after chunk data",
    ),
}


@FEEDS
@pytest.mark.parametrize("case", ERRORS)
def test_a_bad_request_is_refused_with_its_status_and_reason(case, cut):
    data, status, *texts = ERRORS[case]
    before = post(b"good")
    requests, error, reader = outcome(before + data + post(b"after"), cut)
    assert error is not None
    assert (error.status, str(error)) == (status, texts[-1 if cut is byte_by_byte else 0])
    assert [request.body for request in requests] == [b"good"]
    assert reader.is_idle
    reader.receive_data(post(b"later"))
    assert reader.requests_received() == []


def test_a_refused_method_names_those_that_are_served():
    _, error, _ = outcome(ERRORS["connect"][0])
    assert error.headers == (("allow", "GET, POST"),)


def head_of(size):
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


@FEEDS
def test_every_limit_itself_is_allowed(cut):
    assert len(requests_of(head_of(500), cut, head_limit=500)) == 1
    assert len(requests_of(get(b"Host: a", *[b"X: a"] * 9), cut, header_count=10)) == 1
    assert len(requests_of(post(b"a" * BODY_LIMIT), cut)) == 1
    assert len(requests_of(chunked(b"a" * BODY_LIMIT, 100) + b"0\r\n\r\n", cut)) == 1
    assert len(requests_of(get(b"Host: a", target=b"/?" + b"&".join([b"a"] * 32)), cut)) == 1


@FEEDS
def test_one_more_than_a_limit_is_refused(cut):
    assert outcome(head_of(501), cut, head_limit=500)[1].status == 431
    assert outcome(get(b"Host: a", *[b"X: a"] * 10), cut, header_count=10)[1].status == 431


def test_a_head_that_never_ends_is_refused_at_its_limit():
    reader = RequestReader(body_limit=0, head_limit=500)
    reader.receive_data(head_of(501)[:500])
    with pytest.raises(RequestError):
        reader.receive_data(b"a")


def test_what_was_checked_of_one_head_does_not_excuse_the_next():
    reader = RequestReader(body_limit=0)
    first = get(b"Host: a", b"X: " + b"a" * 100)
    reader.receive_data(first[:-1])
    with pytest.raises(RequestError, match="NUL"):
        reader.receive_data(first[-1:] + b"GET / HTTP/1.1\r\nX: \0")
    assert len(reader.requests_received()) == 1


@pytest.mark.parametrize(
    "framing",
    [
        b"3;" + b"a" * HEAD_LIMIT * 2,
        b"0\r\nX: " + b"a" * HEAD_LIMIT * 2,
        b"0\r\n" + b"X: a\r\n" * 5000,
    ],
    ids=["a chunk extension", "a trailer", "many trailers"],
)
def test_chunk_framing_without_end_is_refused(framing):
    data = CHUNKED + b"1\r\na\r\n" + framing
    _, error, _ = outcome(
        data, lambda data: [data[at : at + 1000] for at in range(0, len(data), 1000)]
    )
    assert error is not None
    assert (error.status, str(error)) == (431, FRAMED)


def test_small_chunks_may_cost_more_than_they_carry():
    body = b"a" * 1000
    data = chunked(body, 1).replace(b"1\r\na", b"1;" + b"x" * 500 + b"\r\na") + b"0\r\n\r\n"
    for size in (1, 700, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert only(data, lambda _, pieces=pieces: pieces).body == body


def cut_at(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[left:right] for left, right in pairwise(edges)]


BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r", b"0\r\n\r\n", b"\r\n\r\n\r\n", b"\n"]),
)


@st.composite
def chunked_requests(draw):
    pieces = [piece for piece in draw(st.lists(BODIES, max_size=4)) if piece]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    trailer = draw(st.sampled_from([b"", b"X: a\r\n", b"X:\r\nHost: b\r\n"]))
    return CHUNKED + chunks + b"0\r\n" + trailer + b"\r\n", b"".join(pieces)


@st.composite
def plain_requests(draw):
    body = draw(BODIES)
    lines = [b"Connection: upgrade", b"Upgrade: h2c"] if draw(st.booleans()) else []
    return draw(st.sampled_from([b"", b"\r\n"])) + post(body, *lines), body


STREAMS = st.lists(st.one_of(chunked_requests(), plain_requests()), max_size=5)
PLACES = st.lists(st.integers(0, 10000), max_size=12)


@given(STREAMS, PLACES, st.sampled_from([b"", b"GET / HT", UPGRADE + b"\x81\x80abcd"]))
@settings(deadline=None)
def test_any_cutting_gives_the_same_requests(stream, places, tail):
    data = b"".join(message for message, _ in stream) + tail
    reader = reader_of(data, lambda data: cut_at(data, places))
    requests = reader.requests_received()
    assert [request.body for request in requests][: len(stream)] == [body for _, body in stream]
    assert requests == reader_of(data).requests_received()
    assert reader.leftover() == (b"\x81\x80abcd" if tail.startswith(UPGRADE) else b"")
    assert reader.is_idle == (not tail.startswith(b"GET / HT"))


@given(
    st.sampled_from([UPGRADE, post(b"body"), CHUNKED + b"3\r\nabc\r\n0\r\nX: a\r\n\r\n"]),
    st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3)), max_size=4),
    PLACES,
)
@settings(deadline=None, max_examples=300)
def test_a_damaged_request_gives_the_same_however_it_is_cut(data, damage, places):
    for place, new in damage:
        at = place % len(data)
        data = data[:at] + new + data[at + 1 :]
    data *= 2
    requests, error, reader = outcome(data)
    cut_requests, cut_error, cut_reader = outcome(data, lambda data: cut_at(data, places))
    assert cut_requests == requests
    assert (cut_error is None) == (error is None)
    assert cut_reader.leftover() == reader.leftover()


@given(st.binary(max_size=200), PLACES)
@example(b"GET // HTTP/1.1\r\nHost: a\r\n\r\n", [])
@settings(deadline=None)
def test_no_bytes_raise_anything_but_a_request_error(data, places):
    requests, error, _ = outcome(data, lambda data: cut_at(data, places))
    assert error is None or error.status in {400, 405, 413, 414, 431, 501, 505}
    assert all(isinstance(request, Request) for request in requests)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
@example("//")
@example("http://[")
@example("http://a:b:c")
@settings(deadline=None)
def test_no_target_raises_anything_but_a_request_error(target):
    requests, error, _ = outcome(get(b"Host: a", target=target.encode()))
    assert (len(requests) == 1) == (error is None)
    if error is not None:
        assert error.status in {400, 414}
