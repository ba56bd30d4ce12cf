"""phlows connect against a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.certs import ONE, TWO
from tests.cli.connect.conftest import events

HI = ("-x", "--count", "1", "type=hi", "n:=3")


def test_a_token_is_sent_first_and_then_the_message(connect):
    result = connect("message.test", "--token", "good one", *HI)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == {"got": {"type": "hi", "n": 3}, "token": "good one"}


def test_messages_are_printed_as_they_came(connect):
    result = connect("message.test", "--token", "good", "-x", "--count", "1", '{"a":  1e400}')
    assert result.stdout == '{"got":{"a":  1e400},"token":"good"}\n'


def test_a_token_is_read_from_a_file(connect, tmp_path):
    (tmp_path / "token").write_text("good from a file\n")
    result = connect("message.test", "--token", "@token", *HI)
    assert json.loads(result.stdout)["token"] == "good from a file"


def test_a_token_is_read_from_the_first_line_of_stdin(piped, broker):
    done = piped(
        *("message.test", "-c", broker.path, "--url", broker.url),
        *("--token", "-", "--count", "1"),
        given="good\ntype=next\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == {"got": {"type": "next"}, "token": "good"}


def test_a_cookie_alone_is_the_one_that_the_host_takes(connect):
    result = connect("upgrade.test", "--cookie", "good a;b%==", *HI)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["token"] == "good a;b%=="


def test_a_cookie_is_sent_under_its_name(connect):
    result = connect("upgrade.test", "--cookie", "sid=good", "--cookie", "lang=en", *HI)
    assert json.loads(result.stdout)["token"] == "good"
    assert connect("upgrade.test", "--cookie", "other=good", *HI).exit_code == 4


def test_a_host_without_auth_needs_neither(connect):
    result = connect("none.test", *HI)
    assert json.loads(result.stdout) == {"got": {"type": "hi", "n": 3}, "token": ""}


def test_the_payload_is_read_from_a_file(connect, tmp_path):
    (tmp_path / "payload.json").write_text('\n{"from": "file"}\n')
    result = connect("none.test", "-x", "--count", "1", "@payload.json")
    assert json.loads(result.stdout)["got"] == {"from": "file"}
    assert result.stdout.count("\n") == 1


def test_answers_are_awaited_until_nothing_comes_any_more(connect):
    result = connect("none.test", "-x", "--wait", "0.5", "type=twice")
    assert (result.exit_code, result.stdout) == (0, '{"n":1}\n{"n":2}\n')


def test_what_comes_after_the_count_is_not_printed(connect):
    assert connect("none.test", "-x", "--count", "1", "type=twice").stdout == '{"n":1}\n'


def test_a_count_that_is_not_reached_is_exit_code_6(connect):
    result = connect("none.test", "-x", "--count", "3", "--wait", "0.5", "type=twice")
    assert (result.exit_code, result.stdout) == (6, '{"n":1}\n{"n":2}\n')
    said = "error: 2 of 3 messages came (--count) until {} ended it: give that longer\n"
    assert result.stderr == said.format("--wait 0.5")
    result = connect("none.test", "-x", "--count", "3", "--for", "0.5", "--wait", "9", "type=twice")
    assert (result.exit_code, result.stderr) == (6, said.format("--for 0.5"))


def test_json_tells_of_everything_and_never_of_the_token(connect):
    result = connect("message.test", "--json", "--token", "good secret", *HI)
    message = {"got": {"type": "hi", "n": 3}, "token": "good secret"}
    opened, *rest = events(result.stdout)
    assert opened["event"] == "open"
    assert opened["url"] == "ws://message.test/websocket"
    assert rest == [
        {"event": "sent", "auth": True},
        {"event": "sent", "data": {"type": "hi", "n": 3}},
        {"event": "message", "data": message},
        {
            "event": "close",
            "code": 1000,
            "reason": "",
            "by": "client",
            "meaning": "an ordinary end",
            "comes_back": None,
        },
    ]


def test_lines_of_a_pipe_are_sent_one_by_one(piped, broker):
    done = piped(
        *("none.test", "-c", broker.path, "--url", broker.url, "--count", "3"),
        given="type=a text='two words'\n\n[1,2]\r\n{\"last\":true}",
    )
    assert done.returncode == 0, done.stderr
    got = [json.loads(line)["got"] for line in done.stdout.splitlines()]
    assert got == [{"type": "a", "text": "two words"}, [1, 2], {"last": True}]


def test_a_line_that_is_no_message_ends_it_and_is_named(piped, broker):
    done = piped("none.test", "-c", broker.path, "--url", broker.url, given="a=1\nwhat\n")
    assert done.returncode == 2
    assert done.stderr == b"error: line 2 of stdin: 'what' is neither key=text nor key:=json\n"


@pytest.mark.parametrize(
    ("wrong", "why"), [(b"{bad json", b"is not JSON"), (b"\xff", b"is not UTF-8")]
)
def test_answers_to_the_lines_before_one_that_is_wrong_are_waited_for(piped, broker, wrong, why):
    own = ("none.test", "-c", broker.path, "--url", broker.url, "--wait", "1")
    done = piped(*own, given=b"x=1\nx=2\n" + wrong + b"\nx=4\n")
    assert [json.loads(line)["got"] for line in done.stdout.splitlines()] == [
        {"x": "1"},
        {"x": "2"},
    ]
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: line 3 of stdin")
    assert why in done.stderr


def test_a_variable_names_the_host_where_none_is_typed(connect, monkeypatch):
    monkeypatch.setenv("PHLOWS_HOST", "none.test")
    assert json.loads(connect(*HI).stdout)["got"] == {"type": "hi", "n": 3}
    monkeypatch.setenv("PHLOWS_HOST", "nope")
    assert connect(*HI).exit_code == 4
    assert connect("none.test", *HI).exit_code == 0


def test_a_reader_that_leaves_early_is_no_traceback(environ, broker):
    command = [sys.executable, "-m", "phlows_cli", "connect", "none.test"]
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*command, "-c", str(broker.path), "--url", broker.url],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writing)
        process.stdin.write(b"n=1\n")
        process.stdin.flush()
        assert os.read(reading, 100).startswith(b'{"got":')
        os.close(reading)
        process.stdin.write(b"n=2\n")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == b""


# Refused


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("no.test",), 4, "4500 (connect refused); clients do not come back"),
        (("message.test", "--token", "bad"), 4, "4501 (auth refused"),
        (("message.test",), 4, "4502 (an auth message was expected: give --token)"),
        (("message.test", "--token", "crash"), 1, "1011 (connect or auth failed)"),
        (("upgrade.test",), 4, "401: no cookie 'sid': log in first; give the token with --cookie"),
        (("upgrade.test", "--cookie", "bad"), 4, "401: the app did not accept this token"),
        (("nowhere.test",), 4, "421: host 'nowhere.test' is not served here; `phlows host list`"),
        (("none.test", "--path", "/nope"), 4, "404: no sockets at this path"),
        (("none.test", "--origin", "https://evil.test"), 4, "403: Origin 'https://evil.test'"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(connect, args, code, said):
    result = connect(*args, "-x", "a=b")
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("upgrade.test", "--cookie", "good"), 'from a cookie (auth = "upgrade", --cookie)'),
        (("none.test",), 'asks for no token (auth = "none")'),
    ],
)
def test_a_token_that_the_host_does_not_take_so_is_warned_of(connect, args, said):
    result = connect(*args, "--token", "good", *HI)
    assert said in result.stderr
    assert result.stderr.startswith("warning: the host ")


def test_a_message_over_the_brokers_limit_is_told(connect):
    result = connect("none.test", "-x", f"text={'x' * 70000}")
    assert result.exit_code == 1
    assert "closed by the server with 1009 (a message over the limit): message of" in result.stderr


# Ways there


def test_the_configuration_names_the_broker_and_the_host(program, broker, tmp_path):
    port = broker.url.rpartition(":")[2]
    (tmp_path / "phlows.toml").write_text(
        f'[server]\nport = {port}\npath = "/other"\n[hosts."none.test"]\nhooks = []\n'
    )
    done = program("connect", *HI)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["token"] == ""


def test_a_unix_socket_is_a_way_to_the_broker(phlows, broker):
    url = f"unix:{broker.folder}/broker.sock"
    result = phlows("connect", "none.test", "-c", str(broker.path), "--url", url, *HI)
    assert result.exit_code == 0, result.stderr


def test_a_url_goes_to_any_server(phlows, broker):
    port = broker.url.rpartition(":")[2]
    result = phlows("connect", f"ws://localhost:{port}/websocket", *HI)
    assert result.exit_code == 4
    assert "421: host 'localhost'" in result.stderr


def test_headers_are_sent(phlows, broker):
    port = broker.url.rpartition(":")[2]
    url = f"ws://127.0.0.1:{port}/websocket"
    result = phlows("connect", url, "--header", "X-Forwarded-Host: none.test", *HI)
    assert result.exit_code == 0, result.stderr


def test_tls_is_checked_against_the_hosts_name(own_broker, phlows, monkeypatch):
    with own_broker(has_tls=True) as broker:
        port = broker.url.rpartition(":")[2]
        own = ("-c", str(broker.path), "--url", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(ONE[0]))
        assert phlows("connect", "app.test", *own, *HI).exit_code == 0
        wrong_name = phlows("connect", "message.test", *own, *HI)
        monkeypatch.setenv("SSL_CERT_FILE", str(TWO[0]))
        not_trusted = phlows("connect", "app.test", *own, *HI)
        named = phlows("connect", "app.test", "--ca", str(ONE[0]), *own, *HI)
        empty = phlows("connect", "app.test", "--ca", str(broker.path), *own, *HI)
        missing = phlows("connect", "app.test", "--ca", "none.pem", *own, *HI)
        unchecked = phlows("connect", "app.test", "--insecure", *own, *HI)
    assert wrong_name.exit_code == not_trusted.exit_code == 3
    assert "(hostname mismatch" in wrong_name.stderr
    assert "SSL_CERT_FILE, or leave it unchecked with --insecure" in not_trusted.stderr
    assert named.exit_code == 0, named.stderr
    assert (empty.exit_code, missing.exit_code) == (2, 2)
    assert "phlows.toml holds no certificate in PEM" in empty.stderr
    assert missing.stderr == "error: --ca none.pem: No such file or directory\n"
    assert unchecked.exit_code == 0
    assert "warning: the server's certificate is not checked" in unchecked.stderr


def test_tls_where_there_is_none_is_told(phlows, broker):
    url = broker.url.replace("http", "wss")
    result = phlows("connect", url, *HI)
    assert result.exit_code == 3
    assert "does it speak ws:// there?" in result.stderr


def test_nobody_at_the_address_is_exit_code_3(phlows, config):
    config("app.test")
    result = phlows("connect", "--url", "http://127.0.0.1:1", *HI)
    assert result.exit_code == 3
    assert "nothing answers at 127.0.0.1:1 (connection refused): start the broker" in result.stderr
    elsewhere = phlows("connect", "ws://127.0.0.1:1/", *HI)
    assert elsewhere.stderr == "error: nothing answers at 127.0.0.1:1 (connection refused)\n"


def test_a_name_that_is_not_known_is_exit_code_3(phlows):
    result = phlows("connect", "ws://no-such-host.invalid/", *HI)
    assert result.exit_code == 3
    assert "nothing answers at no-such-host.invalid:80" in result.stderr
