from __future__ import annotations

import socket
import threading

import pytest

from phlows_cli.cli import client as client_module
from phlows_cli.cli.client import BrokerClient, client_for
from phlows_cli.config import load_config
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError, UsageError
from tests.cli.recorder import recording, send, stream

OK = {"status": "ok"}


def refusal(message):
    return {"status": "error", "message": message}


def test_a_question_and_its_answer(recorder):
    recorder.answers["/presence"] = (200, OK)
    assert BrokerClient(recorder.url).get("/presence", {"host": "ä.example.com"}) == OK
    assert (recorder.last.method, recorder.last.path) == ("GET", "/presence")
    assert recorder.last.query == {"host": "ä.example.com"}


def test_a_body_goes_out_as_it_is(recorder):
    recorder.answers["/message"] = (200, OK)
    BrokerClient(recorder.url).post("/message", b'{ "a" : 1 }\n')
    assert recorder.last.body == b'{ "a" : 1 }\n'
    assert recorder.last.headers["content-type"] == "application/json"


def test_a_broker_on_a_unix_socket_is_reached(tmp_path):
    with recording(tmp_path / "s") as recorder:
        recorder.answers["/health"] = (200, OK)
        client = BrokerClient(recorder.url)
        assert [client.get("/health"), client.get("/health")] == [OK, OK]
        assert recorder.last.headers["host"] == "localhost"
        assert BrokerClient(f"unix://{tmp_path}/s").get("/health") == OK


def test_a_unix_socket_that_is_not_there_is_unreachable(tmp_path):
    with pytest.raises(BrokerUnreachableError, match=r"missing \(no such file or directory\)"):
        BrokerClient(f"unix:{tmp_path}/missing").get("/health")


def test_nobody_listening_names_the_address_and_what_to_do():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused for sure
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError) as error:
            BrokerClient(url).get("/health")
    assert str(error.value) == (
        f"no broker answers at {url} (connection refused): start it with `phlows serve`,"
        " or name another with --url"
    )


def test_an_address_that_cannot_be_one_is_unreachable():
    with pytest.raises(BrokerUnreachableError, match=r"answers at http://\[x \(InvalidURL\)"):
        BrokerClient("http://[x").get("/health")


def test_a_broker_that_does_not_answer_in_time_is_unreachable(monkeypatch):
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="timed out"):
            BrokerClient(url).get("/health")


def test_the_timeouts_are_what_the_documentation_says():
    assert (client_module.CONNECT_TIMEOUT, client_module.READ_TIMEOUT) == (3.0, 10.0)


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_refusal_carries_the_brokers_words(recorder, status):
    recorder.answers["/message"] = (status, refusal("target 'x' is none"))
    with pytest.raises(RefusedError, match=r"^target 'x' is none$"):
        BrokerClient(recorder.url).post("/message", b"{}")


def test_a_missing_key_is_explained_but_a_wrong_one_is_the_brokers_to_explain(recorder):
    recorder.answers["/events"] = (401, refusal("this route needs the key"))
    with pytest.raises(RefusedError, match=r"needs the key; none was found: set PHLOWS_KEY"):
        BrokerClient(recorder.url).get("/events")
    with pytest.raises(RefusedError, match=r"needs the key$"):
        BrokerClient(recorder.url, "k").get("/events")


def test_a_broker_in_trouble_is_a_failure_and_not_a_refusal(recorder):
    recorder.answers["/ready"] = (503, refusal("the broker is stopping"))
    with pytest.raises(PhlowsError, match="the broker is stopping") as error:
        BrokerClient(recorder.url).get("/ready")
    assert error.value.exit_code == 1


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>welcome</html>"),
        (200, b"[]"),
        (200, b"\xff"),
        (404, b"not here"),
        (404, b'{"error":"no message in it"}'),
        (200, b""),
        (204, b""),
    ],
)
def test_something_else_on_the_port_is_not_taken_for_a_broker(recorder, status, content):
    recorder.answers["/health"] = (status, content)
    with pytest.raises(BrokerUnreachableError, match=rf"not a phlows broker \(status {status}\)"):
        BrokerClient(recorder.url).get("/health")


def test_redirects_are_not_followed(recorder):
    def redirect(handler):
        send(handler, 302, b"{}", Location="/elsewhere")

    recorder.answers["/health"] = redirect
    with pytest.raises(BrokerUnreachableError, match="status 302"):
        BrokerClient(recorder.url, "secret").get("/health")
    assert [request.path for request in recorder.requests] == ["/health"]


def test_the_proxies_of_the_environment_are_ignored(recorder, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    recorder.answers["/health"] = (200, OK)
    assert BrokerClient(recorder.url).get("/health") == OK


# Where the client goes, and with which key


@pytest.fixture
def loaded(config):
    """A configuration whose broker is on this port, and its key file."""

    def load(port=3001, key=None, text=""):
        path = config("app.example.com", port=port, text=text)
        if key is not None:
            (path.parent / "state" / "key").write_text(key)
        return load_config(path)

    return load


def sent_key(recorder, configuration, url=None):
    recorder.answers["/health"] = (200, OK)
    client_for(configuration, url).get("/health")
    return recorder.last.headers.get("authorization")


def port_of(recorder):
    return int(recorder.url.rpartition(":")[2])


def test_the_broker_is_where_the_configuration_says(loaded, recorder):
    assert client_for(loaded(port_of(recorder)), None).url == recorder.url


def test_the_key_file_is_sent(loaded, recorder):
    assert sent_key(recorder, loaded(port_of(recorder), "k1\n")) == "Bearer k1"


def test_no_key_is_no_header(loaded, recorder):
    assert sent_key(recorder, loaded(port_of(recorder))) is None


def test_the_variable_wins_over_the_key_file(loaded, recorder, monkeypatch):
    monkeypatch.setenv("PHLOWS_KEY", "k2")
    assert sent_key(recorder, loaded(port_of(recorder), "k1")) == "Bearer k2"


def test_the_key_file_goes_to_another_port_of_this_machine(loaded, recorder):
    assert sent_key(recorder, loaded(1, "k1"), recorder.url) == "Bearer k1"
    assert sent_key(recorder, loaded(1, "k1"), str(port_of(recorder))) == "Bearer k1"


def test_the_key_file_does_not_go_to_another_machine(loaded, monkeypatch):
    monkeypatch.setattr(client_module, "BrokerClient", lambda url, key, _file, **_: (url, key))
    elsewhere = "https://broker.example.com"
    assert client_for(loaded(key="k1"), elsewhere) == (elsewhere, "")
    monkeypatch.setenv("PHLOWS_KEY", "k2")
    assert client_for(loaded(key="k1"), elsewhere) == (elsewhere, "k2")


def keyed(recorder, path, key, needs_key):
    """Answer as a broker with this key does, which may not need one."""

    def answer(handler):
        given = handler.headers.get("Authorization")
        if given is None and not needs_key:
            send(handler, 200, b'{"status":"ok"}')
        elif given is None:
            send(handler, 401, b'{"status":"error","message":"this route needs the key"}')
        elif given != f"Bearer {key}":
            send(handler, 403, b'{"status":"error","message":"not the key"}')
        else:
            send(handler, 200, b'{"status":"ok"}')

    recorder.answers[path] = answer


def test_a_key_file_of_another_broker_does_not_lock_out_who_needs_no_key(loaded, recorder):
    keyed(recorder, "/message", "right", needs_key=False)
    client = client_for(loaded(key="other"), recorder.url)
    assert client.post("/message", b'{"a":1}') == OK
    assert client.post("/message", b'{"a":2}') == OK
    sent = [(each.headers.get("authorization"), each.body) for each in recorder.requests]
    assert sent == [("Bearer other", b'{"a":1}'), (None, b'{"a":1}'), (None, b'{"a":2}')]


def test_a_stream_too_is_asked_for_again_without_the_key(loaded, recorder):
    whole = stream(b"one\n")
    recorder.answers["/events"] = lambda handler: (
        send(handler, 403, b'{"status":"error","message":"not the key"}')
        if handler.headers.get("Authorization")
        else whole(handler)
    )
    assert list(client_for(loaded(key="other"), recorder.url).lines("/events", {})) == [b"one"]
    assert len(recorder.requests) == 2


def test_where_a_key_is_needed_the_file_of_the_wrong_one_is_named(loaded, recorder):
    keyed(recorder, "/health", "right", needs_key=True)
    settings = loaded(key="other")
    with pytest.raises(RefusedError) as error:
        client_for(settings, recorder.url).get("/health")
    assert str(error.value) == (
        f"this route needs the key; the key in {settings.bridge.key_file} is another broker's:"
        " set PHLOWS_KEY, or name this broker's configuration with --config"
    )


def test_a_wrong_key_in_the_variable_stands_and_is_named(loaded, recorder, monkeypatch):
    keyed(recorder, "/health", "right", needs_key=False)
    monkeypatch.setenv("PHLOWS_KEY", "wrong")
    with pytest.raises(RefusedError, match=r"^not the key; it was taken from PHLOWS_KEY: mend it"):
        client_for(loaded(key="right"), recorder.url).get("/health")
    assert len(recorder.requests) == 1


def test_tls_to_a_plain_broker_says_so(recorder):
    url = recorder.url.replace("http:", "https:")
    with pytest.raises(BrokerUnreachableError, match=r"\(no TLS there: does it speak http://\?\)"):
        BrokerClient(url).get("/health")


@pytest.mark.parametrize("rest", ["/message", "/?key=secret", "/#secret"])
def test_a_url_with_a_path_is_told_to_have_none(loaded, rest):
    with pytest.raises(UsageError) as error:
        client_for(loaded(), f"http://127.0.0.1:3001{rest}")
    assert str(error.value) == ("the broker's URL takes no path: give http://127.0.0.1:3001 alone")


def test_the_key_file_goes_to_the_machine_that_the_configuration_names(loaded, monkeypatch):
    monkeypatch.setattr(client_module, "BrokerClient", lambda url, key, _file, **_: (url, key))
    settings = loaded(key="k1", text='listen = "192.0.2.7"')
    assert client_for(settings, None) == ("http://192.0.2.7:3001", "k1")


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(loaded, key):
    with pytest.raises(UsageError) as error:
        client_for(loaded(key=key), None)
    assert str(error.value).startswith("the key (PHLOWS_KEY or bridge.key_file)")
    assert key not in str(error.value)


def test_a_key_file_that_is_no_text_is_no_key(loaded):
    settings = loaded(key="x")
    settings.bridge.key_file.write_bytes(b"\xff")
    assert client_for(settings, None).url == "http://127.0.0.1:3001"


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:3001",
        "ftp://127.0.0.1",
        "http://",
        "http://host:port",
        "http://host:0",
        "http://[::1",
        "http://user:secret@host:3001",
        "unix:",
        "",
        "wss://host",
    ],
)
def test_a_url_of_another_kind_is_refused_without_repeating_it(loaded, url):
    settings = loaded()
    if url == "":
        assert client_for(settings, url).url == "http://127.0.0.1:3001"
        return
    with pytest.raises(UsageError) as error:
        client_for(settings, url)
    assert "http://host:port, https://host or unix:/path" in str(error.value)
    assert "secret" not in str(error.value)


# Streams


def test_lines_come_whole_whatever_the_chunks(recorder):
    recorder.answers["/events"] = stream(b'{"a":', b'1}\n{"b":2}\n{"c"', b":3}\n")
    lines = list(BrokerClient(recorder.url).lines("/events", {"type": "hook"}))
    assert lines == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert recorder.last.query == {"type": "hook"}


def test_a_line_comes_while_the_stream_goes_on(recorder):
    end = threading.Event()
    recorder.answers["/events"] = stream(b"one\n", then=end)
    lines = BrokerClient(recorder.url).lines("/events", {})
    assert next(lines) == b"one"
    end.set()
    assert list(lines) == []


def test_what_answers_a_stream_with_something_else_is_no_broker(recorder):
    recorder.answers["/events"] = (200, b"<html>")
    with pytest.raises(BrokerUnreachableError, match=r"is not a phlows broker \(status 200\)"):
        BrokerClient(recorder.url).lines("/events", {})


def test_a_stream_begins_in_time_or_is_unreachable_and_may_then_be_silent(monkeypatch, recorder):
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.2)
    go_on = threading.Event()
    recorder.answers["/events"] = stream(b"1\n", then=go_on)
    lines = BrokerClient(recorder.url).lines("/events", {})
    assert next(lines) == b"1"
    waited = threading.Timer(0.5, go_on.set)  # longer than it had to begin
    waited.start()
    assert list(lines) == []
    waited.join()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="timed out"):
            BrokerClient(url).lines("/events", {})


def test_a_stream_that_is_refused_is_an_error(recorder):
    recorder.answers["/events"] = (400, refusal("unknown parameter"))
    with pytest.raises(RefusedError, match="unknown parameter"):
        list(BrokerClient(recorder.url).lines("/events", {}))


def test_a_stream_that_breaks_off_says_that_the_broker_is_gone(recorder):
    recorder.answers["/events"] = stream(b"one\n", b"tw", is_whole=False)
    lines = BrokerClient(recorder.url).lines("/events", {})
    assert next(lines) == b"one"
    with pytest.raises(BrokerUnreachableError, match="has gone away"):
        next(lines)


def test_a_line_without_end_is_not_collected_for_ever(recorder, monkeypatch):
    monkeypatch.setattr(client_module, "LINE_LIMIT", 10)
    recorder.answers["/events"] = stream(b"x" * 11, b"x" * 11)
    with pytest.raises(PhlowsError, match="a line over 10 bytes"):
        list(BrokerClient(recorder.url).lines("/events", {}))


@pytest.mark.parametrize("url", ["banana", "99999", "ws://127.0.0.1:3001", "0"])
def test_a_url_that_is_none_is_shown_with_the_variable_it_came_from(url, monkeypatch):
    with pytest.raises(UsageError, match=f"a port of this machine, .* not '{url}' \\("):
        client_for(load_config(None), url)
    monkeypatch.setenv("PHLOWS_URL", url)
    with pytest.raises(UsageError, match=f" not '{url}' of PHLOWS_URL \\("):
        client_for(load_config(None), url)


@pytest.mark.parametrize("url", ["http://u:s3cret@h", "ftp://h/?key=s3cret"])
def test_a_url_that_may_hold_a_secret_is_not_shown(url):
    with pytest.raises(UsageError) as error:
        client_for(load_config(None), url)
    assert "s3cret" not in str(error.value)


def test_where_something_answers_nobody_is_told_to_start_a_broker(recorder):
    url = recorder.url.replace("http:", "https:")
    with pytest.raises(BrokerUnreachableError) as error:
        BrokerClient(url).get("/health")
    assert str(error.value) == (
        f"no broker answers at {url} (no TLS there: does it speak http://?)"
    )


def test_a_host_that_the_broker_does_not_know_brings_the_registered_one_that_is_near(
    recorder, config
):
    message = "unknown host 'localhos': register it with `phlows host add`"
    recorder.answers["/message"] = (400, {"status": "error", "message": message})
    for hosts, said in (
        (["localhost"], "unknown host 'localhos': did you mean 'localhost'?"),
        (["shop.test"], message),
    ):
        client = client_for(load_config(config(*hosts)), recorder.url)
        with pytest.raises(RefusedError) as error:
            client.post("/message", b"{}")
        assert str(error.value) == said
