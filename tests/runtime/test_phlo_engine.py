"""A Phlo engine's answers, read as the broker reads them; tests/apps/phlo stands in for it."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import Outcome
from phlows_cli.runtime.answer import values_in
from tests.runtime.apps import PHP, Printed, hook, script
from tests.runtime.phlo import APP, ENGINE, NO, SOCKET, YES, app_at, bridge, outcome, told

pytestmark = pytest.mark.php

RUNTIMES = ["oneshot", "resident"]


# What the broker makes of it


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["connect", "auth"])
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([YES], Outcome.ACCEPTED),
        ([["print", "hello"], YES], Outcome.ACCEPTED),
        ([["write", "three"], YES], Outcome.ACCEPTED),
        ([NO], Outcome.REFUSED),
        ([], Outcome.REFUSED),
        ([["print", "hello"], NO], Outcome.REFUSED),
        ([["write", "three"], NO], Outcome.REFUSED),
        ([["warn", 0], YES], Outcome.FAILED),
        ([["error", ["no database"]]], Outcome.FAILED),
        ([["throw", "no database"]], Outcome.FAILED),
        ([["exit", 3]], Outcome.FAILED),
        ([["memory", 0], YES], Outcome.FAILED),
    ],
)
async def test_connect_and_auth_mean_what_the_engine_says(runtime, name, steps, expected):
    result, _, _ = await outcome(told(*steps, name=name), runtime=runtime)
    assert result.outcome is expected


@pytest.mark.parametrize("steps", [[["die", ""]], [["die", "please log in"]], [["exit", 0]]])
async def test_an_auth_that_dies_lets_nobody_in_though_it_exits_with_0(steps):
    result, _, _ = await outcome(told(*steps, name="auth"))
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 0)


async def test_a_result_glued_to_an_echo_reaches_no_client_and_fails_nothing():
    result, lines, _ = await outcome(told(["write", "three"], YES))
    assert (result.outcome, lines) == (Outcome.ACCEPTED, [b"threetrue"])
    assert values_in(lines[0]).sendable == []


async def test_an_object_glued_to_the_result_is_sent_without_it():
    result, lines, _ = await outcome(told(["write", r'{"path":"a\/b"}']))
    assert (result.outcome, lines) == (Outcome.ACCEPTED, [rb'{"path":"a\/b"}false'])
    assert values_in(lines[0]).sendable == [rb'{"path":"a\/b"}']


@pytest.mark.parametrize("name", ["receive", "close"])
async def test_a_hook_without_a_return_value_prints_false_and_that_is_normal(name):
    result, lines, log = await outcome(told(name=name))
    assert (result.outcome, lines, log) == (Outcome.ACCEPTED, [b"false"], [])


@pytest.mark.parametrize(
    ("step", "code", "text"),
    [
        (["error", ["no database"]], 1, "no database"),
        (["error", ["no database", 99]], 1, "no database"),
        (["error", ["no database", 100]], 100, "no database"),
        (["error", ["no database", 255]], 255, "no database"),
        (["error", ["no database", 256]], 1, "no database"),
        (["throw", "what\nnow"], 1, "what\nnow"),
        (["warn", 0], 1, "Undefined variable $missing"),
    ],
)
async def test_a_failure_is_a_line_of_json_on_stderr_and_nothing_on_stdout(step, code, text):
    result, lines, log = await outcome(told(step))
    assert (result.outcome, result.exit_code, lines) == (Outcome.FAILED, code, [])
    (line,) = log
    assert json.loads(line)["error"] == text


async def test_a_silenced_warning_is_none():
    result, lines, log = await outcome(told(["silenced", 0], YES))
    assert (result.outcome, lines, log) == (Outcome.ACCEPTED, [b"true"], [])


async def test_what_a_hook_printed_before_it_died_was_printed():
    result, lines, log = await outcome(told(["print", "[1]"], ["die", "[2]"]))
    assert (result.outcome, lines, log) == (Outcome.ACCEPTED, [b"[1]", b"[2]"], [])


async def test_a_lack_of_memory_without_a_php_ini_is_text_that_no_client_sees(tmp_path):
    bare = script(tmp_path / "php", f'exec {PHP} -n "$@"')
    result, lines, _ = await outcome(told(["memory", 0]), php=bare)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 255)
    assert any(b"Allowed memory size" in line for line in lines)
    assert [value for line in lines for value in values_in(line).sendable] == []


@pytest.mark.parametrize(
    "message", ["3", '"text"', "null", "{", '{"wsHost":1}', '{"wsToken":1}', '{"wsSocket":1}']
)
async def test_a_message_that_cannot_be_spread_is_an_error_in_php(message):
    result, lines, log = await outcome(hook(token="[]", data=message))
    assert (result.outcome, result.exit_code, lines, len(log)) == (Outcome.FAILED, 1, [], 1)


@pytest.mark.parametrize("message", ["{}", "[]", '{"host":1,"token":2,"socket":3,"do":[]}'])
async def test_an_object_or_a_list_is_taken_and_unprefixed_keys_are_free(message):
    result, lines, _ = await outcome(hook(token="[]", data=message))
    assert (result.outcome, lines) == (Outcome.ACCEPTED, [b"false"])


async def test_a_boot_that_fails_fails_the_event():
    result, lines, log = await outcome(told(YES, name="auth"), env={"ENGINE_BOOT": "error"})
    assert (result.outcome, result.exit_code, lines) == (Outcome.FAILED, 1, [])
    assert json.loads(log[0])["error"] == "the database is not there"


async def test_a_warning_at_the_start_is_not_sent_and_hides_no_answer():
    result, lines, _ = await outcome(told(YES, name="auth"), env={"ENGINE_BOOT": "warning"})
    assert result.outcome is Outcome.ACCEPTED
    assert b"Warning" in b"".join(lines)
    assert [value for line in lines for value in values_in(line).sendable] == []


# Casts and dispatches


@pytest.mark.parametrize(
    ("step", "body"),
    [
        (["cast", {}], rb'{"host":"app.example.com","target":"all","except":"","data":[]}'),
        (
            ["cast", {"t": "\u00e9 a/b"}],
            rb'{"host":"app.example.com","target":"all","except":"","data":{"t":"\u00e9 a\/b"}}',
        ),
        (
            ["cast", {"wsTarget": ["token:a", SOCKET], "wsExcept": "s", "wsHost": "b.c", "n": 1}],
            rb'{"host":"b.c","target":["token:a","0123456789abcdef"],"except":"s","data":{"n":1}}',
        ),
    ],
)
async def test_a_cast_is_posted_as_the_engine_writes_it(step, body):
    async with bridge() as (taken, env):
        result, lines, _ = await outcome(told(step), env=env)
    assert (result.outcome, lines) == (Outcome.ACCEPTED, [b"false"])
    assert taken == [("/message", body)]


async def test_a_cast_that_nobody_takes_is_silent():
    result, lines, log = await outcome(told(["cast", {"n": 1}]), env={"ENGINE_PORT": "9"})
    assert (result.outcome, lines, log) == (Outcome.ACCEPTED, [b"false"], [])


async def test_a_dispatch_names_the_app_by_its_real_path(tmp_path):
    link = tmp_path / "app.php"
    link.symlink_to(APP)
    async with bridge() as (taken, env):
        event = told(["dispatch", ["tasks::sum", [3, 4]]])
        result, lines, _ = await outcome(event, app=link, env=env)
    assert (result.outcome, lines) == (Outcome.ACCEPTED, [b'{"dispatched":7}', b"false"])
    ((path, body),) = taken
    assert (path, list(json.loads(body))) == (
        "/dispatch",
        ["app", "target", "args", "stream", "async", "build"],
    )
    assert json.loads(body)["app"] == str(APP.resolve())
    assert (json.loads(body)["target"], json.loads(body)["args"]) == ("tasks::sum", [3, 4])


async def test_a_streamed_dispatch_prints_the_lines_and_returns_the_result():
    answer = b'{"t":"line","data":"[1]"}\n{"t":"line","data":""}\n{"t":"done","result":8}\n'
    async with bridge(answer) as (_, env):
        event = told(["dispatch", ["tasks::sum", [], True]])
        _, lines, _ = await outcome(event, env=env)
    assert lines == [b"[1]", b"", b'{"dispatched":8}', b"false"]


async def test_a_dispatch_that_is_refused_fails_the_hook():
    async with bridge(b'{"status":"error","message":"no such app"}') as (_, env):
        result, _, log = await outcome(told(["dispatch", ["tasks::sum"]]), env=env)
    assert (result.outcome, json.loads(log[0])["error"]) == (Outcome.FAILED, "no such app")


# The guide's chat (14.3) and presence (14.7)


def sent(taken):
    return [(cast["target"], cast["data"]) for cast in (json.loads(body) for _, body in taken)]


@pytest.mark.parametrize("runtime", RUNTIMES)
async def test_the_guides_chat_and_presence_live_through_their_hooks(runtime, tmp_path):
    outcomes, logs = [], []
    async with bridge() as (taken, env):
        env["ENGINE_STATE"] = str(tmp_path)
        async with app_at(ENGINE / "chat.php", env, runtime=runtime) as (chat, log):
            for name, data in [
                ("auth", None),
                ("connect", None),
                ("receive", '{"type":"chat.send","text":"h\u00e9"}'),
                ("receive", '{"type":"ping"}'),
                ("close", None),
            ]:
                event = hook(name, token="token of ann", data=data)
                outcomes.append((await chat.call(event, Printed())).outcome)
            logs += log
    assert (outcomes, logs) == ([Outcome.ACCEPTED] * 5, [])
    came, said, pong, left = sent(taken)
    assert came == ("all", {"inner": {"#online-count": 1}})
    assert said == ("all", {"chat": {"from": "Ann", "text": "h\u00e9"}})
    assert (pong[0], list(pong[1])) == (SOCKET, ["pong"])
    assert left == ("all", {"inner": {"#online-count": 0}})


async def test_the_guides_chat_refuses_a_token_that_nobody_has():
    result, lines, _ = await outcome(hook("auth", token="eve"), app=ENGINE / "chat.php")
    assert (result.outcome, lines) == (Outcome.REFUSED, [b"false"])
