"""Whatever goes wrong in auth, nobody gets in."""

from __future__ import annotations

import signal

import pytest

from tests.conformance.client import RefusedError

HOME_PAGE = "<!doctype html>\n<title>Welcome</title>\n<p>It is true that you are welcome.</p>"

ODD_ANSWERS = {
    "nothing": [],
    "blank lines": [["print", ""], ["print", "  "]],
    "the number 1": [["print", "1"]],
    "null": [["print", "null"]],
    "yes": [["print", "yes"]],
    "True": [["print", "True"]],
    "true as text": [["print", '"true"']],
    "true in an object": [["print", '{"ok":true}']],
    "true and then more": [["print", "true"], ["print", "Notice: undefined index"]],
    "a home page": [["print", HOME_PAGE]],
    "true and a failure": [["print", "true"], ["exit", 1]],
    "true and a crash": [["print", "true"], ["kill", int(signal.SIGSEGV)]],
    "too much and true": [["fill", 1_100_000], ["print", "true"]],
    "bad UTF-8": [["write", "\xff\xfe"]],
    "true, cut": [["write", "tru"]],
}

PHP_ENDS = {
    "die()": [["die", None]],
    "die with a text": [["die", "Access denied"]],
    "exit(0)": [["exit", 0]],
    "a home page": [["print", HOME_PAGE]],
    "an uncaught exception": [["throw", "no database"]],
    "a fatal error, shown": [["fatal", ""]],
    "true and a warning, shown": [["print", "true"], ["warn", ""]],
    "an empty answer": [],
    "a non-boolean": [["print", "1"]],
}


def shown_out(broker, connect, stage, token, auth):
    """How the broker turned a client away: its status or its close code."""
    if auth == "upgrade":
        with pytest.raises(RefusedError) as refused:
            connect(stage, cookie=token)
        verdict = refused.value.status
    else:
        client = connect(stage)
        client.authenticate(token)
        client.send({"text": "let me in"})
        verdict = client.closed()
    assert broker.health()["hosts"][stage.host]["sockets"] == 0
    assert not [e for e in broker.events.all() if e["type"] == "auth" and e["host"] == stage.host]
    assert not [call for call in stage.started() if call.hook == "receive"]
    return verdict


@pytest.mark.parametrize("auth", ["message", "upgrade"])
@pytest.mark.parametrize("steps", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_answer_that_is_not_true_lets_nobody_in(broker, take, connect, token, auth, steps):
    stage = take(auth)
    stage.plan(auth=steps)
    expected = {"message": 1011, "upgrade": 401}[auth]
    assert shown_out(broker, connect, stage, token, auth) == expected


@pytest.mark.php
@pytest.mark.parametrize("auth", ["message", "upgrade"])
@pytest.mark.parametrize("steps", PHP_ENDS.values(), ids=PHP_ENDS)
def test_a_php_app_that_ends_without_true_lets_nobody_in(broker, take, connect, token, auth, steps):
    stage = take(auth, "php")
    stage.plan(auth=steps)
    expected = {"message": 1011, "upgrade": 401}[auth]
    assert shown_out(broker, connect, stage, token, auth) == expected


@pytest.mark.parametrize("auth", ["message", "upgrade"])
@pytest.mark.parametrize(
    "printed", ["false", "hello\nfalse", "hellofalse", "true\nfalse", "false\n\n"]
)
def test_output_that_ends_with_false_refuses(broker, take, connect, token, auth, printed):
    stage = take(auth)
    stage.plan(auth=[["print", printed]])
    expected = {"message": 4501, "upgrade": 401}[auth]
    assert shown_out(broker, connect, stage, token, auth) == expected


@pytest.mark.parametrize(("auth", "expected"), [("message", 1011), ("upgrade", 503)])
def test_an_auth_that_takes_too_long_lets_nobody_in(broker, connect, token, gate, auth, expected):
    stage = broker.stages[f"hangs-{auth}.example.com"]
    stage.plan(auth=[["print", "true"], ["gate", gate.port]])
    assert shown_out(broker, connect, stage, token, auth) == expected


@pytest.mark.parametrize("auth", ["message", "upgrade"])
def test_an_app_that_is_missing_lets_nobody_in(broker, connect, token, auth):
    stage = broker.stages[f"missing-{auth}.example.com"]
    expected = {"message": 1011, "upgrade": 401}[auth]
    assert shown_out(broker, connect, stage, token, auth) == expected


@pytest.mark.parametrize("printed", ["hello\ntrue", "threetrue", "true\n\n", "  true"])
def test_output_that_ends_with_true_accepts(broker, take, connect, token, printed):
    stage = take()
    stage.plan(auth=[["print", printed]])
    broker.admitted(connect(stage, cookie=token))
