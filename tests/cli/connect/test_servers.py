"""phlows connect against other servers, which do what no broker of ours does."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading

import pytest
from websockets.exceptions import ConnectionClosed

from phlows_cli.model import CloseCode
from tests.cli.connect.conftest import events, standing_in
from tests.cli.recorder import send

HI = ("-x", "--count", "1", "type=hi")
SENDABLE = [code for code in CloseCode if code not in (1005, 1006)]


def then(act):
    """A server's connection that does this, and waits for its end."""

    def handle(connection):
        try:
            act(connection)
            for _ in connection:
                pass
        except ConnectionClosed:
            pass

    return handle


@pytest.fixture
def against(phlows):
    """Connects to a server whose every connection does this."""

    def run(act, *args):
        with standing_in(then(act)) as url:
            return phlows("connect", url, *(args or HI))

    return run


@pytest.mark.parametrize("code", SENDABLE)
def test_every_close_code_has_its_meaning_and_its_exit_code(against, code):
    result = against(lambda server: server.close(code, "because"), "-x", "type=hi", "--json")
    close = events(result.stdout)[-1]
    assert (close["code"], close["reason"], close["by"]) == (code, "because", "server")
    assert close["meaning"]
    exit_codes = {1000: 0, 1001: 0, 4001: 6, 4500: 4, 4501: 4, 4502: 4}
    assert result.exit_code == exit_codes.get(code, 1)


def test_an_ordinary_close_by_the_server_is_told_and_no_error(against):
    result = against(lambda server: server.close(1000, "bye\x1b[2J"), "-x", "type=hi")
    assert result.exit_code == 0
    said = "closed by the server with 1000 (an ordinary end): bye\\x1b[2J\n"
    assert (result.stdout, result.stderr) == ("", said)


def test_a_binary_message_is_left_out_of_lines_and_told(against):
    result = against(lambda server: server.send(b"\0\xff"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "a binary message of 2 bytes is not shown (--json has it)\n"


def test_json_has_binary_messages_and_text_that_is_no_json(against):
    def act(server):
        server.send(b"\0\xff")
        server.send("plain\ntext")

    told = events(against(act, "-x", "--count", "2", "a=b", "--json").stdout)
    first, second = [one for one in told if one["event"] == "message"]
    assert base64.b64decode(first["base64"]) == b"\0\xff"
    assert second["text"] == "plain\ntext"


def test_each_message_is_one_line_whatever_it_holds(against):
    def act(server):
        server.send('{\n  "a": [1.50,\r\n 2]\n}')
        server.send("not\nJSON")

    assert against(act, "-x", "--count", "2", "a=b").stdout == '{"a":[1.50,2]}\n"not\\nJSON"\n'


def test_text_is_sent_and_printed_as_it_is(against):
    def echo(server):
        server.send(f"you said {server.recv()}")

    result = against(echo, "-x", "--count", "1", "--text", "hello there")
    assert result.stdout == "you said hello there\n"


def test_fragments_are_joined(against):
    result = against(lambda server: server.send(['{"a":', '"é', '"}']))
    assert result.stdout == '{"a":"é"}\n'


def test_a_message_over_the_limit_closes_with_1009(against):
    codes = []

    def act(server):
        try:
            server.send("x" * 101)
            while server.recv():
                pass
        except ConnectionClosed as error:
            codes.append(error.rcvd.code)

    result = against(act, "-x", "--max-message", "100", "a=b")
    assert (result.exit_code, codes) == (1, [1009])
    assert "the server sent a message over 100 bytes (--max-message)" in result.stderr


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"\x81\x02\xff\xff", 1007, "the server sent text that is not UTF-8"),
        (b"\x83\x00", 1002, "the server broke the protocol: invalid opcode"),
        (b"\x81\x81\0\0\0\0x", 1002, "the server broke the protocol: incorrect masking"),
        (b"\x80\x00", 1002, "the server broke the protocol: unexpected continuation frame"),
    ],
)
def test_what_breaks_the_protocol_is_named(against, data, code, said):
    result = against(lambda server: server.socket.sendall(data))
    assert result.exit_code == 1
    assert f"closed by us with {code}" in result.stderr
    assert said in result.stderr


def test_a_connection_that_breaks_is_exit_code_3(against):
    result = against(lambda server: server.socket.shutdown(socket.SHUT_RDWR))
    assert result.exit_code == 3
    assert result.stderr == "error: 1006: the connection broke, without a close\n"


def test_pings_are_answered_and_told_of_when_asked(against):
    def act(server):
        server.ping().wait(10)
        server.send("{}")

    result = against(act, *HI, "--verbose")
    assert result.stdout == "{}\n"
    assert "\nping\n" in result.stderr


def test_our_own_pings_are_timed(against):
    def act(server):
        server.recv()

    result = against(act, "-x", "a=b", "--ping-interval", "0.1", "--wait", "0.3", "--json")
    pongs = [one["ms"] for one in events(result.stdout) if one["event"] == "pong"]
    assert pongs
    assert result.exit_code == 0


def test_a_lifetime_ends_it_whatever_comes(against):
    def chatter(server):
        stop = threading.Event()
        while not stop.wait(0.02):
            server.send("{}")

    result = against(chatter, "-x", "a=b", "--for", "0.3", "--wait", "20")
    assert result.exit_code == 0
    assert "{}\n" in result.stdout


def upgraded(reader, stream):
    """Answer an upgrade by hand, and return when the client has said something."""
    from websockets.utils import accept_key

    head = {}
    reader.readline()
    while line := reader.readline().strip():
        name, _, value = line.partition(b": ")
        head[name.lower()] = value
    accept = accept_key(head[b"sec-websocket-key"].decode())
    stream.sendall(
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )


class Joined:
    """A socket that sends more along with the first bytes."""

    def __init__(self, stream, more):
        self._stream, self._more = stream, more

    def sendall(self, data):
        self._stream.sendall(data + self._more)


@pytest.fixture
def raw_server():
    """A server of bare bytes: `serve(act)` gives its URL; act has reader and socket."""
    listeners, threads, ends = [], [], threading.Event()

    def serve(act):
        listener = socket.create_server(("127.0.0.1", 0))

        def run():
            stream, _ = listener.accept()
            with stream, stream.makefile("rb") as reader:
                act(reader, stream)
                ends.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    ends.set()
    for thread in threads:
        thread.join(30)
    for listener in listeners:
        listener.close()


def test_an_unanswered_ping_is_exit_code_6(phlows, raw_server, monkeypatch):
    monkeypatch.setattr("phlows_cli.cli.dialogue.talk.GOODBYE", 0.1)
    url = raw_server(upgraded)
    result = phlows("connect", url, "-x", "a=b", "--ping-interval", "0.1", "--wait", "20")
    assert result.exit_code == 6
    assert "no answer to a ping for 0.1 s (--ping-interval)" in result.stderr


def test_a_server_that_closes_along_with_its_answer_is_no_traceback(phlows, raw_server):
    def act(reader, stream):
        upgraded(reader, Joined(stream, b"\x88\x02\x10\x04"))
        stream.shutdown(socket.SHUT_WR)

    result = phlows("connect", raw_server(act), "--token", "x", *HI)
    assert result.exit_code == 1
    assert "closed by the server with 4100" in result.stderr


def test_a_close_that_is_not_answered_is_not_awaited_for_ever(phlows, raw_server, monkeypatch):
    monkeypatch.setattr("phlows_cli.cli.dialogue.talk.CLOSE_TIMEOUT", 0.1)
    result = phlows("connect", raw_server(upgraded), "-x", "a=b", "--wait", "0")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "the server did not finish the close within 0.1 s\n"


def test_a_server_that_takes_nothing_is_exit_code_6(raw_server, phlows, monkeypatch):
    monkeypatch.setattr("phlows_cli.cli.dialogue.talk.STALL", 0.2)
    monkeypatch.setattr("phlows_cli.cli.dialogue.talk.GOODBYE", 0.1)
    text = "x" * 15_000_000
    result = phlows("connect", raw_server(upgraded), "-x", f"text={text}", "--wait", "20")
    assert result.exit_code == 6
    assert "the server has taken nothing for 0.2 s" in result.stderr


def test_an_upgrade_without_an_answer_is_exit_code_6(phlows, raw_server):
    url = raw_server(lambda reader, stream: None)
    result = phlows("connect", url, *HI, "--connect-timeout", "0.2")
    assert result.exit_code == 6
    assert f"the answer of {url} took longer than 0.2 s (--connect-timeout)" in result.stderr


def test_a_server_that_hangs_up_at_once_is_exit_code_3(phlows, raw_server):
    url = raw_server(lambda reader, stream: stream.shutdown(socket.SHUT_RDWR))
    result = phlows("connect", url, *HI)
    assert result.exit_code == 3
    assert "is not a WebSocket server" in result.stderr


def test_what_is_no_http_is_exit_code_3(phlows, raw_server):
    result = phlows("connect", raw_server(lambda _, s: s.sendall(b"SSH-2.0-x\r\n\r\n")), *HI)
    assert result.exit_code == 3
    assert "is not a WebSocket server" in result.stderr


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((200, b"<html>"), 1, "with 200: OK; no WebSocket is spoken at this path"),
        ((301, b"", ("Location", "https://a.test/")), 1, "it points to https://a.test/"),
        ((403, b"go away\x1b[2J\nmore"), 4, "with 403: go away\\x1b[2J; "),
        ((503, b'{"message":"full"}', ("Retry_After", "7")), 1, "503: full; come back in 7 s"),
        ((500, b'["x"]'), 1, 'with 500: ["x"]\n'),
    ],
)
def test_other_answers_than_101_are_told(phlows, recorder, answer, code, said):
    status, body, *headers = answer

    def say(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        send(handler, status, body, **dict(headers))

    recorder.answers["/"] = say
    result = phlows("connect", recorder.url, *HI)
    assert result.exit_code == code
    assert said in result.stderr


def test_what_is_asked_for_is_in_the_upgrade(phlows, recorder):
    args = ("--origin", "https://a.test", "--header", "X-One:1", "--header", "user-agent: mine")
    url = recorder.url.replace("http://", "ws://ann:se%20cret@")
    result = phlows("connect", f"{url}/path?q=1", "--cookie", "a=b", *args, *HI)
    asked = recorder.last
    assert (asked.path, asked.query) == ("/path", {"q": "1"})
    wanted = {"origin": "https://a.test", "x-one": "1", "user-agent": "mine", "cookie": "a=b"}
    assert wanted.items() <= asked.headers.items()
    assert base64.b64decode(asked.headers["authorization"].split()[1]) == b"ann:se cret"
    assert "cret" not in result.stderr
    assert "q=1" not in result.stderr


def test_a_flood_is_read_in_full_by_a_pipe(environ):
    def act(server):
        for number in range(2000):
            server.send(json.dumps({"n": number, "pad": "x" * 500}))
        server.close()

    with standing_in(then(act)) as url:
        done = subprocess.run(
            [sys.executable, "-m", "phlows_cli", "connect", url, "--wait", "20"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == list(range(2000))


def test_many_lines_are_all_sent_and_all_answered(piped):
    def echo(connection):
        for message in connection:
            connection.send(message)

    lines = "".join(f'{{"n":{number}}}\n' for number in range(5000))
    with standing_in(echo) as url:
        done = piped(url, "--count", "5000", "--wait", "20", given=lines)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == lines
