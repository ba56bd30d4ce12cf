"""What the app's functions ask of the broker, and what they make of answers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from phlows_cli.app import hooks, ws_cast, ws_count, ws_presence
from phlows_cli.errors import UsageError

RECEIPT = {"status": "ok", "host": "h", "sent": 2, "matched": 2, "dropped": 0, "held": 0}


class Handler(BaseHTTPRequestHandler):
    """Keep each request; answer with what the test set."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        length = int(self.headers["content-length"])
        request = (self.path, dict(self.headers), self.rfile.read(length))
        self.server.requests.append(request)
        answer = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def broker(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.status, server.answer = [], 200, RECEIPT
    monkeypatch.setenv("PHLOWS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("PHLOWS_KEY", raising=False)
    monkeypatch.setattr(hooks.Current, "host", "")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_broker(broker, monkeypatch):
    monkeypatch.setenv("PHLOWS_URL", "unix:/nowhere/at/all.sock")


def sent(broker):
    ((path, _, body),) = broker.requests
    assert path == "/message"
    return json.loads(body)


def test_a_cast_names_its_host_target_and_message(broker):
    assert ws_cast("token:ann", "h.example", toast="hi", inner={"#n": 3}) == RECEIPT
    assert sent(broker) == {
        "host": "h.example",
        "target": "token:ann",
        "except": "",
        "data": {"toast": "hi", "inner": {"#n": 3}},
    }


def test_a_cast_goes_to_everyone_by_default(broker):
    ws_cast(ws_host="h", path="/inbox")
    assert sent(broker)["target"] == "all"


def test_a_cast_in_a_hook_goes_to_the_host_of_the_hook(broker, monkeypatch):
    monkeypatch.setattr(hooks.Current, "host", "hook.example")
    ws_cast(toast="hi")
    assert sent(broker)["host"] == "hook.example"


def test_a_cast_outside_a_hook_leaves_it_to_the_broker_to_ask_for_a_host(broker):
    ws_cast(toast="hi")
    assert "host" not in sent(broker)


def test_several_targets_and_exceptions_go_as_arrays(broker):
    ws_cast(["s1", "token:a"], "h", ws_except=("s2", "s3"), a=1)
    assert sent(broker)["target"] == ["s1", "token:a"]
    assert sent(broker)["except"] == ["s2", "s3"]


def test_any_key_may_be_cast(broker):
    ws_cast(ws_host="h", **{"a-b": 1, "target": "x", "host": "y", "data": "z"})
    assert sent(broker)["data"] == {"a-b": 1, "target": "x", "host": "y", "data": "z"}


def test_text_of_any_kind_arrives_as_it_is(broker):
    ws_cast(ws_host="h", text="naïve ✓ 🦦 \ud800 \0")
    assert sent(broker)["data"] == {"text": "naïve ✓ 🦦 \ud800 \0"}


def test_the_broker_may_be_named_with_the_call(broker, monkeypatch):
    monkeypatch.setenv("PHLOWS_URL", "unix:/nowhere")
    assert ws_cast(ws_host="h", ws_port=broker.server_port) == RECEIPT
    assert ws_cast(ws_host="h", ws_port=f"http://127.0.0.1:{broker.server_port}") == RECEIPT


def test_the_key_is_sent_when_there_is_one(broker, monkeypatch):
    ws_cast(ws_host="h")
    monkeypatch.setenv("PHLOWS_KEY", "s3cret")
    ws_cast(ws_host="h")
    (_, without, _), (_, with_key, _) = broker.requests
    assert "Authorization" not in without
    assert with_key["Authorization"] == "Bearer s3cret"


def test_a_broker_that_is_down_is_none_and_silence(no_broker, capsys):
    assert ws_cast(ws_host="h", toast="hi") is None
    assert ws_count("h") is None
    assert ws_presence("h") is None
    assert capsys.readouterr() == ("", "")


def test_a_refused_cast_is_none_and_said_on_stderr(broker, capsys):
    broker.status, broker.answer = 400, {"status": "error", "message": "unknown host 'h'"}
    assert ws_cast(ws_host="h") is None
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        f"ws_cast: the broker at http://127.0.0.1:{broker.server_port} answered 400"
    )
    assert "unknown host 'h'" in err


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_a_message_that_is_not_json_is_the_callers_mistake(broker, value):
    with pytest.raises((TypeError, ValueError)):
        ws_cast(ws_host="h", value=value)
    assert broker.requests == []


def test_a_url_of_another_kind_is_the_callers_mistake(broker):
    with pytest.raises(UsageError, match="is not a broker's address"):
        ws_cast(ws_host="h", ws_port="wss://example.com")


HEALTH = {
    "hosts": {
        "h.example": {"tokens": 2, "sockets": 3, "perToken": {}},
        "quiet.example": {"tokens": 0, "sockets": 0, "perToken": {}},
    },
}


def test_a_count_is_the_authenticated_sockets_of_a_host(broker):
    broker.answer = HEALTH
    assert ws_count("H.Example:443") == 3
    assert broker.requests[0][0] == "/health"


def test_a_count_in_a_hook_is_that_of_its_host(broker, monkeypatch):
    broker.answer = HEALTH
    monkeypatch.setattr(hooks.Current, "host", "h.example")
    assert ws_count() == 3


def test_a_host_without_sockets_counts_zero(broker):
    broker.answer = HEALTH
    assert ws_count("quiet.example") == 0


def test_an_unknown_host_has_no_count_and_that_is_said(broker, capsys):
    broker.answer = HEALTH
    assert ws_count("typo.example") is None
    assert capsys.readouterr().err == "ws_count: unknown host 'typo.example'\n"


def test_presence_is_the_list_of_a_hosts_sockets(broker, monkeypatch):
    broker.answer = {"status": "ok", "host": "::1", "sockets": [{"socket": "s1"}]}
    monkeypatch.setenv("PHLOWS_KEY", "k")
    assert ws_presence("[::1]:3001") == [{"socket": "s1"}]
    path, headers, _ = broker.requests[0]
    assert path == "/presence?host=%3A%3A1"
    assert headers["Authorization"] == "Bearer k"


@pytest.mark.parametrize("ask", [ws_count, ws_presence])
def test_a_question_outside_a_hook_needs_a_host(broker, ask):
    with pytest.raises(UsageError, match=rf"{ask.__name__} outside a hook needs ws_host"):
        ask()
    assert broker.requests == []
