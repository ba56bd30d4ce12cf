"""What phlows.php asks of the broker, and what it makes of answers."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from tests.app.php_app import CONTEXT, DEADLINE, SDK, Worker, environment, php, receive

pytestmark = pytest.mark.php

CERTS = Path(__file__).parents[1] / "certs"
RECEIPT = {"status": "ok", "host": "h", "sent": 2, "matched": 2, "dropped": 0, "held": 0}
HEALTH = {
    "hosts": {
        "h.example": {"tokens": 2, "sockets": 3, "perToken": {}},
        "quiet.example": {"tokens": 0, "sockets": 0, "perToken": {}},
        "::1": {"tokens": 1, "sockets": 1, "perToken": {}},
    },
}


def response(value, status=200):
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Some reason\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Handler(socketserver.StreamRequestHandler):
    """Keep the request; answer with the bytes that the test set."""

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        first, *lines = head.decode().split("\r\n")[:-2]
        headers = dict(line.lower().split(": ", 1) for line in lines)
        keys = dict(line.split(": ", 1) for line in lines if line.startswith("Authorization"))
        if self.server.is_hasty:
            self.wfile.write(self.server.answer)
            return
        body = self.rfile.read(int(headers["content-length"]))
        self.server.requests.append((first, headers | keys, body))
        if self.server.is_silent:
            self.rfile.read()  # until the other side gives up
        self.wfile.write(self.server.answer)


class Broker(socketserver.ThreadingTCPServer):
    """Stands where the broker does; the address may be a unix socket's path."""

    daemon_threads = True
    request_queue_size = 8

    def __init__(self, address=("127.0.0.1", 0), context=None):
        self.address_family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        super().__init__(address, Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.requests, self.answer = [], response(RECEIPT)
        self.is_hasty = self.is_silent = False
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def handle_error(self, *_):
        pass  # a client that left early is what some tests are about

    @property
    def port(self):
        return self.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.shutdown()
        self._thread.join()
        self.server_close()

    def sent(self):
        ((first, _, body),) = self.requests
        assert first == "POST /message HTTP/1.0"
        return json.loads(body)


@pytest.fixture
def broker():
    broker = Broker()
    yield broker
    broker.stop()


def tell(code, *options, **env):
    """Run some PHP that knows phlows.php; its output, and stderr."""
    done = subprocess.run(
        [php(), *options, "-r", f"require '{SDK}'; {code}"],
        env=environment(**env),
        capture_output=True,
        timeout=DEADLINE,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


def value_of(expression, *options, **env):
    stdout, stderr = tell(f"echo json_encode({expression});", *options, **env)
    assert stderr == ""
    return json.loads(stdout)


def test_a_cast_names_its_host_target_and_message(broker):
    cast = "wsCast('token:ann', 'h.example', toast: 'hi', inner: ['#n' => 3])"
    assert value_of(cast, PHLOWS_URL=broker.url) == RECEIPT
    assert broker.sent() == {
        "host": "h.example",
        "target": "token:ann",
        "except": "",
        "data": {"toast": "hi", "inner": {"#n": 3}},
    }


def test_the_guides_casts_are_understood(broker):
    code = """
        $wsSocket = '0123456789abcdef'; $newCount = 3; define('host', 'app.example');
        wsCast(wsTarget: 'all', toast: 'New message received');
        wsCast(wsTarget: $wsSocket, path: '/inbox');
        wsCast(wsTarget: ['s1', 's2'], inner: ['#count' => $newCount]);"""
    assert tell(code, PHLOWS_URL=broker.url) == ("", "")
    casts = [json.loads(body) for _, _, body in broker.requests]
    assert {cast["host"] for cast in casts} == {"app.example"}
    assert [cast["target"] for cast in casts] == ["all", "0123456789abcdef", ["s1", "s2"]]
    assert [list(cast["data"]) for cast in casts] == [["toast"], ["path"], ["inner"]]


def test_a_cast_without_arguments_is_an_empty_object_to_everyone(broker):
    value_of("wsCast()", PHLOWS_URL=broker.url)
    assert broker.requests[0][2] == b'{"target":"all","except":"","data":{}}'


def test_any_key_and_any_text_may_be_cast(broker):
    cast = r"""wsCast('all', 'h', null, ['s1'], ...['a-b' => 1, 'target' => 2, 'host' => 3,
        'data' => 4, 'text' => "na\u{ef}ve \u{1f9a6} / \0", 'bad' => "\xff"])"""
    value_of(cast, PHLOWS_URL=broker.url)
    sent = broker.sent()
    assert sent["except"] == ["s1"]
    assert sent["data"] == {
        "a-b": 1,
        "target": 2,
        "host": 3,
        "data": 4,
        "text": "naïve 🦦 / \0",
        "bad": "\ufffd",
    }


def test_the_host_is_the_calls_then_the_constants_then_the_requests(broker):
    code = """
        wsCast();
        $_SERVER['HTTP_HOST'] = 'web.example'; wsCast();
        define('host', 'constant.example'); wsCast();
        phlows_state::$host = 'hook.example'; wsCast();
        wsCast('all', 'call.example');"""
    tell(code, PHLOWS_URL=broker.url)
    hosts = [json.loads(body).get("host") for _, _, body in broker.requests]
    named = ("web", "constant", "hook", "call")
    assert hosts == [None, *(f"{name}.example" for name in named)]


def test_a_cast_in_a_hook_goes_to_the_host_of_the_hook(broker, tmp_path):
    app = tmp_path / "app.php"
    source = "function wsReceive(...$data) { wsCast(a: 1); } phlows_run();"
    app.write_text(f"<?php require '{SDK}'; {source}")
    assert receive(app, {}, PHLOWS_URL=broker.url).stdout == b""
    with Worker(app, PHLOWS_URL=broker.url) as worker:
        assert worker.receive() == ([], {"t": "done", "result": None})
    assert [json.loads(body)["host"] for _, _, body in broker.requests] == [CONTEXT[0]] * 2


@pytest.mark.parametrize("form", ["{port}", "'{port}'", "'{url}'", "'{url}/path'"])
def test_the_broker_may_be_named_with_the_call(broker, form):
    named = form.format(port=broker.port, url=broker.url)
    assert value_of(f"wsCast('all', 'h', {named})", PHLOWS_URL="unix:/nowhere") == RECEIPT


def test_the_constant_of_a_phlo_app_names_the_brokers_port(broker):
    tell(f"define('websocket', {broker.port}); wsCast('all', 'h');", PHLOWS_URL="unix:/nowhere")
    assert len(broker.requests) == 1


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}"])
def test_a_broker_on_a_unix_socket_is_found(tmp_path, form):
    broker = Broker(str(tmp_path / "socket"))
    try:
        url = form.format(tmp_path / "socket")
        assert value_of("wsCast('all', 'h')", PHLOWS_URL=url) == RECEIPT
    finally:
        broker.stop()


def test_https_is_for_a_certificate_that_is_trusted():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTS / "one.pem", CERTS / "one.key")
    broker = Broker(context=context)
    url = f"https://127.0.0.1:{broker.port}"
    try:
        trusted = ("-d", f"openssl.cafile={CERTS / 'one.pem'}")
        assert value_of("wsCast('all', 'h')", *trusted, PHLOWS_URL=url) == RECEIPT
        assert value_of("wsCast('all', 'h')", PHLOWS_URL=url) is None
        assert len(broker.requests) == 1
    finally:
        broker.stop()


def test_the_key_is_sent_when_there_is_one(broker):
    value_of("wsCast('all', 'h')", PHLOWS_URL=broker.url)
    value_of("wsCast('all', 'h')", PHLOWS_URL=broker.url, PHLOWS_KEY="S3cret")
    (_, without, _), (_, with_key, _) = broker.requests
    assert "authorization" not in without
    assert with_key["Authorization"] == "Bearer S3cret"
    assert without["content-type"] == "application/json"
    assert without["host"] == f"127.0.0.1:{broker.port}"


ASKING = ("wsCast('all', 'h', toast: 'topsecret')", "wsCount('h')", "wsPresence('h')")


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("url", ["unix:/nowhere/at/all.sock", "http://127.0.0.1:1", "1"])
def test_a_broker_that_is_down_is_null_and_silence(asking, url):
    assert value_of(asking, PHLOWS_URL=url) is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        response(RECEIPT)[:-1],
        response(RECEIPT) + b"x",
    ],
)
def test_half_an_answer_is_none(broker, answer):
    broker.answer = answer
    assert value_of("wsCast('all', 'h')", PHLOWS_URL=broker.url) is None


def test_a_broker_that_never_answers_is_given_up(broker):
    broker.is_silent = True
    assert value_of("wsCast('all', 'h')", PHLOWS_URL=broker.url) is None
    assert len(broker.requests) == 1


@pytest.mark.parametrize("asking", ASKING)
def test_a_refusal_is_null_and_said_without_the_message_cast(broker, asking):
    broker.answer = response({"status": "error", "message": "unknown host 'h'"}, 400)
    stdout, stderr = tell(f"var_dump({asking});", PHLOWS_URL=broker.url, PHLOWS_KEY="S3cret")
    name = asking.partition("(")[0]
    assert stdout == "NULL\n"
    assert stderr.startswith(f"{name}: the broker at {broker.url} answered 400: ")
    assert "unknown host 'h'" in stderr
    assert "topsecret" not in stderr
    assert "S3cret" not in stderr
    assert stderr.count("\n") == 1


def test_a_refusal_before_the_whole_message_was_sent_is_heard(broker):
    broker.is_hasty = True
    broker.answer = response({"status": "error", "message": "too long"}, 413)
    cast = "wsCast('all', 'h', text: str_repeat('x', 4000000))"
    stdout, stderr = tell(f"var_dump({cast});", PHLOWS_URL=broker.url)
    assert stdout == "NULL\n"
    assert stderr == "" or "answered 413" in stderr  # a reset may overtake the answer


def test_a_message_of_a_megabyte_arrives_whole(broker):
    assert value_of("wsCast('all', 'h', text: str_repeat('x', 1 << 20))", PHLOWS_URL=broker.url)
    assert broker.sent()["data"] == {"text": "x" * (1 << 20)}


def test_a_message_that_is_not_json_is_the_callers_mistake(broker):
    _, stderr = tell("wsCast('all', 'h', value: NAN);", PHLOWS_URL=broker.url)
    assert "JsonException" in stderr
    assert broker.requests == []


@pytest.mark.parametrize("url", ["wss://example.com", "http://", "http://a:b", "x"])
def test_a_url_of_another_kind_is_the_callers_mistake(url):
    _, stderr = tell("wsCast('all', 'h');", PHLOWS_URL=url)
    assert "InvalidArgumentException: the address of the broker" in stderr


@pytest.mark.parametrize(
    ("host", "count"),
    [("H.Example:443", 3), ("h.example.", 3), ("quiet.example", 0), ("[::1]:3001", 1), ("::1", 1)],
)
def test_a_count_is_the_authenticated_sockets_of_a_host(broker, host, count):
    broker.answer = response(HEALTH)
    assert value_of(f"wsCount('{host}')", PHLOWS_URL=broker.url) == count
    assert broker.requests[0][0] == "GET /health HTTP/1.0"


def test_an_unknown_host_has_no_count_and_that_is_said(broker):
    broker.answer = response(HEALTH)
    stdout, stderr = tell("var_dump(wsCount('typo.example'));", PHLOWS_URL=broker.url)
    assert (stdout, stderr) == ("NULL\n", "wsCount: unknown host 'typo.example'\n")


def test_presence_is_the_list_of_a_hosts_sockets(broker):
    broker.answer = response({"status": "ok", "host": "::1", "sockets": [{"socket": "s1"}]})
    presence = value_of("wsPresence('[::1]:3001')", PHLOWS_URL=broker.url, PHLOWS_KEY="K")
    assert presence == [{"socket": "s1"}]
    first, headers, _ = broker.requests[0]
    assert first == "GET /presence?host=%3A%3A1 HTTP/1.0"
    assert headers["Authorization"] == "Bearer K"


@pytest.mark.parametrize("name", ["wsCount", "wsPresence"])
def test_a_question_outside_a_hook_needs_a_host(broker, name):
    _, stderr = tell(f"{name}();", PHLOWS_URL=broker.url)
    assert f"{name} needs $wsHost outside of a hook" in stderr
    assert broker.requests == []


def test_apply_prints_a_line_of_commands():
    stdout, stderr = tell(r"""apply(); apply(inner: ['#a/b' => "\xff\u{e9}"], n: 1.0);""")
    assert (stdout, stderr) == ('{}\n{"inner":{"#a/b":"\ufffdé"},"n":1.0}\n', "")


def test_streaming_in_a_hook_changes_nothing(tmp_path):
    app = tmp_path / "app.php"
    body = "phlows_stream(); apply(a: 1); echo 'x';"
    app.write_text(f"<?php require '{SDK}'; function wsReceive(...$_) {{ {body} }} phlows_run();")
    assert receive(app, {}).stdout == b'{"a":1}\nx'
    with Worker(app) as worker:
        assert worker.receive()[0] == ['{"a":1}', "x"]
