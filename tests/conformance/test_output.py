"""What receive prints: what of it the client gets, and when."""

from __future__ import annotations

import pytest

SENTINEL = '{"the":"end"}'


def replies(client, steps):
    """What the client gets for a message whose hook acts so."""
    client.send({"do": [*steps, ["write", f"\n{SENTINEL}\n"]]})
    got = []
    while (text := client.receive()) != SENTINEL:
        got.append(text)
    return got


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        pytest.param('{"a":1}', ['{"a":1}'], id="an object"),
        pytest.param("[1,2]", ["[1,2]"], id="an array"),
        pytest.param('{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}'], id="two lines"),
        pytest.param('{"a":1}true', ['{"a":1}'], id="an object and a result"),
        pytest.param('{"a":1}{"b":2}[3]', ['{"a":1}', '{"b":2}', "[3]"], id="glued"),
        pytest.param('{"a":1} {"b":2}\ttrue', ['{"a":1}', '{"b":2}'], id="with blanks between"),
        pytest.param('1{"a":1}"x"[]null', ['{"a":1}', "[]"], id="scalars between"),
        pytest.param('{"a":"}{]["}true', ['{"a":"}{]["}'], id="brackets in a text"),
        pytest.param('{"a":"\\"}"}{"b":1}', ['{"a":"\\"}"}', '{"b":1}'], id="an escaped quote"),
        pytest.param('  {"a":1}\r', ['{"a":1}'], id="blanks around"),
        pytest.param('true\nfalse\nnull\n7\n-1.5e3\n"text"', [], id="scalars"),
        pytest.param("\n\n  \n", [], id="blank lines"),
        pytest.param('{ "a" : "\\u00e9\\/", "n":1.50 }', ['{ "a" : "\\u00e9\\/", "n":1.50 }'],
                     id="odd spelling"),
        pytest.param('{"a":"\u00c3\u00a9"}', ['{"a":"\u00e9"}'], id="UTF-8"),
        pytest.param('{"a":"\xff"}', [], id="not UTF-8"),
        pytest.param('{"a":1', [], id="half an object"),
        pytest.param("{'a':1}", [], id="not JSON"),
        pytest.param('Warning: {"a":1}', [], id="text before"),
        pytest.param('{"a":1} on line 7', [], id="text after"),
        pytest.param("[404] /srv/app/secret.php", [], id="a path"),
        pytest.param("#0 {main}", [], id="a stack trace"),
        pytest.param("<b>hi</b>", [], id="html"),
    ],
)  # fmt: skip
def test_only_json_objects_and_arrays_are_sent(take, connect, printed, expected):
    client = connect(take("none"))
    assert replies(client, [["write", printed]]) == expected


def test_the_last_line_needs_no_newline(take, connect, kind):
    client = connect(take("none", kind))
    client.send({"do": [["write", '{"a":1}\n{"b":2}']]})
    assert [client.receive(), client.receive()] == ['{"a":1}', '{"b":2}']


def test_lines_arrive_while_the_hook_still_runs(take, connect, gate, kind):
    client = connect(take("none", kind))
    client.send({"do": [["print", '{"n":1}'], ["gate", gate.port], ["print", '{"n":2}']]})
    visitor = gate.arrival()
    assert client.receive() == '{"n":1}'
    visitor.let_on()
    assert client.receive() == '{"n":2}'


def test_a_line_that_comes_in_pieces_is_sent_whole(take, connect, gate):
    client = connect(take("none"))
    client.send({"do": [["write", '{"a":'], ["gate", gate.port], ["write", '"\xc3'],
                        ["gate", gate.port], ["write", '\xa9"}\n']]})  # fmt: skip
    gate.arrival().let_on()
    gate.arrival().let_on()
    assert client.receive() == '{"a":"\u00e9"}'


def test_a_long_line_is_sent_whole(take, connect):
    client = connect(take("none"))
    stage_line = '["' + "x" * 60_000 + '"]'
    client.send({"do": [["print", stage_line], ["print", stage_line]]})
    assert [client.receive(), client.receive()] == [stage_line, stage_line]


@pytest.mark.php
def test_a_php_warning_on_stdout_is_logged_and_not_sent(broker, take, connect):
    client = connect(take("none", "php"))
    client.send({"do": [["warn", ""], ["print", '{"after":"the warning"}']]})
    assert client.receive() == '{"after":"the warning"}'
    socket_id = broker.socket_of(client)
    logged = broker.stderr.until(
        lambda lines: [s for s in lines if "output not sent" in s and socket_id in s]
    )
    assert "Warning: Undefined variable" in " ".join(logged)


def test_what_connect_auth_and_close_print_is_not_sent(take, join, token, kind):
    stage = take("message", kind)
    stage.plan(
        connect=[["print", '{"from":"connect"}'], ["print", "true"]],
        auth=[["print", '{"from":"auth"}'], ["print", "true"]],
    )
    client, _ = join(stage, token)
    assert replies(client, []) == []


def test_output_goes_to_its_own_client_only(broker, take, join):
    stage = take("none")
    (talker, _), (listener, _) = join(stage), join(stage)
    assert replies(talker, [["print", '{"for":"me"}']]) == ['{"for":"me"}']
    broker.cast(stage.host, {"n": 1})
    assert listener.receive_json() == {"n": 1}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([["exit", 1]], id="an exit code"),
        pytest.param([["complain", "topnote"], ["exit", 255]], id="an error on stderr"),
    ],
)
def test_a_receive_that_fails_tells_the_client_without_details(take, connect, kind, steps):
    client = connect(take("none", kind))
    client.send({"do": steps})
    assert set(client.receive_json()) == {"error"}
    assert replies(client, []) == []


@pytest.mark.php
def test_an_exception_in_php_tells_the_client_without_details(broker, take, connect):
    client = connect(take("none", "php"))
    client.send({"do": [["print", '{"n":1}'], ["throw", "the password is wrong"]]})
    assert client.receive_json() == {"n": 1}
    complaint = client.receive_json()
    assert set(complaint) == {"error"}
    assert "password" not in complaint["error"]
    assert broker.says("the password is wrong")
    assert replies(client, []) == []


def test_a_receive_that_takes_too_long_tells_the_client_and_the_next_one_runs(
    broker, connect, gate
):
    stage = broker.stages["hangs-receive.example.com"]
    client = connect(stage)
    client.send({"do": [["print", '{"n":1}'], ["gate", gate.port]]})
    assert client.receive_json() == {"n": 1}
    assert set(client.receive_json()) == {"error"}
    client.send({"do": [["print", '{"n":2}']]})
    assert client.receive_json() == {"n": 2}


def test_output_over_the_limit_is_dropped_and_counted(broker, take, connect):
    client = connect(take("none"))
    before = broker.health()["dropped"].get("bytes of output over limits.output", 0)
    client.send({"do": [["print", '{"n":1}'], ["fill", 1_200_000], ["print", '{"n":2}']]})
    assert client.receive_json() == {"n": 1}
    assert replies(client, []) == []
    assert broker.health()["dropped"]["bytes of output over limits.output"] > before


def test_stderr_goes_to_the_log_with_host_hook_and_socket(broker, take, connect, kind):
    stage = take("none", kind)
    stage.plan(connect=[["complain", f"note of {stage.host}"], ["print", "true"]])
    client = connect(stage)
    line = broker.says(f"note of {stage.host}")
    assert stage.host in line
    assert "connect" in line
    assert broker.socket_of(client) in line
