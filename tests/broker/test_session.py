"""From accept to open: connect, auth, and every way to be turned away."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import CloseCode, Outcome, Target
from tests.builders import HOST, Stage
from tests.fakes import turns

NOBODY = frozenset()
COOKIE = "cookie-token"


def auth_message(token, **more):
    return json.dumps({"type": "auth", "token": token} | more)


def is_live(stage, session):
    """Whether casts to everyone reach the session."""
    return session in stage.broker.hub.select(HOST, Target.parse("all"), NOBODY)


def hooks(stage):
    """Every hook so far with the token it was given."""
    return [(call.hook.name, call.hook.token) for call in stage.runtime.calls]


# Asked by message, without a cookie


async def test_connect_runs_first_then_the_first_message_is_asked_about():
    stage = Stage()
    session, peer = stage.connect()
    connect = await stage.runtime.started("connect")
    session.receive(auth_message("alice"))
    await turns()
    assert stage.runtime.not_started(), "auth did not wait for connect"
    connect.accepts()
    auth = await stage.runtime.started("auth")
    assert not is_live(stage, session)
    auth.accepts()
    await stage.settle()
    assert is_live(stage, session)
    assert hooks(stage) == [("connect", ""), ("auth", "alice")]
    assert (session.token, session.claim, peer.closed) == ("alice", "alice", None)


async def test_the_auth_message_needs_no_type_and_may_have_other_keys():
    stage = Stage(automatic=["connect", "auth"])
    session, _ = stage.connect()
    session.receive('{"token":"","client":{"type":[1]}}')
    await stage.settle()
    assert is_live(stage, session)
    assert hooks(stage) == [("connect", ""), ("auth", "")]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        "{}",
        '"token"',
        '{"type":"auth"}',
        '{"token":7}',
        '{"token":null}',
        '{"type":"hello","token":"alice"}',
        '{"type":null,"token":"alice"}',
        json.dumps({"token": "a\0b"}),
        json.dumps({"token": "x" * 4097}),
    ],
)
async def test_anything_but_an_auth_message_first_closes_4502(text):
    stage = Stage(automatic=["connect", "auth", "close"])
    session, peer = stage.connect()
    session.receive(text)
    session.receive('{"waiting":1}')
    await stage.settle()
    assert peer.closed == (CloseCode.AUTH_EXPECTED, "auth message expected")
    assert stage.runtime.names == ["connect", "close"]
    assert stage.broker.drops.totals["message of a socket that was closed"] == 1


async def test_a_token_of_4096_bytes_is_still_asked_about():
    stage = Stage(automatic=["connect", "auth"])
    session, _ = stage.connect()
    session.receive(json.dumps({"token": "x" * 4096}))
    await stage.settle()
    assert is_live(stage, session)


async def test_no_auth_message_in_time_closes_4001_and_connect_is_answered_by_close():
    stage = Stage(automatic=["connect", "close"])
    _, peer = stage.connect()
    await stage.settle()
    stage.clock.advance(9.999)
    stage.broker.sweep()
    assert peer.closed is None
    stage.clock.advance(0.001)
    stage.broker.sweep()
    await stage.settle()
    assert peer.code == CloseCode.AUTH_TIMEOUT
    assert "10 s (limits.auth_timeout)" in peer.closed[1]
    assert stage.runtime.names == ["connect", "close"]


async def test_the_deadline_runs_from_accept_though_connect_takes_long():
    stage = Stage(automatic=["close"])
    _, peer = stage.connect()
    connect = await stage.runtime.started("connect")
    stage.clock.advance(10)
    stage.broker.sweep()
    assert peer.code == CloseCode.AUTH_TIMEOUT
    connect.accepts()
    await stage.settle()
    assert stage.runtime.names == ["connect", "close"]


async def test_a_message_that_came_in_time_may_be_asked_about_for_longer():
    stage = Stage(automatic=["connect"])
    session, peer = stage.connect()
    session.receive(auth_message("alice"))
    auth = await stage.runtime.started("auth")
    stage.clock.advance(60)
    stage.broker.sweep()
    assert peer.closed is None
    auth.accepts()
    await stage.settle()
    assert is_live(stage, session)


async def test_a_socket_that_left_is_waited_for_no_more():
    stage = Stage(automatic=["connect", "close"])
    session, _ = stage.connect()
    session.left(1000, "")
    await stage.settle()
    assert len(stage.broker._auth_deadlines) == 0


async def test_later_sockets_have_their_own_deadline():
    stage = Stage(automatic=["connect", "close"])
    _, first = stage.connect()
    stage.clock.advance(6)
    _, second = stage.connect()
    stage.clock.advance(4)
    stage.broker.sweep()
    assert (first.code, second.code) == (CloseCode.AUTH_TIMEOUT, None)
    stage.clock.advance(6)
    stage.broker.sweep()
    assert second.code == CloseCode.AUTH_TIMEOUT


# Asked by message, with a cookie


async def test_a_cookie_is_the_auth_message():
    stage = Stage(automatic=["connect", "auth"])
    session, peer = stage.connect(COOKIE)
    await stage.settle()
    assert is_live(stage, session)
    assert hooks(stage) == [("connect", COOKIE), ("auth", COOKIE)]
    stage.clock.advance(60)
    stage.broker.sweep()
    assert peer.closed is None, "no auth message is expected any more"


@pytest.mark.parametrize("moment", ["connect", "auth", "open"])
async def test_an_auth_message_with_the_cookies_token_is_swallowed(moment):
    stage = Stage(automatic=["receive"])
    session, peer = stage.connect(COOKIE)
    for hook in ("connect", "auth"):
        call = await stage.runtime.started(hook)
        if hook == moment:
            session.receive(auth_message(COOKIE))
        call.accepts()
    if moment == "open":
        await stage.settle()
        session.receive(auth_message(COOKIE))
    session.receive('{"n":1}')
    await stage.settle()
    assert stage.runtime.names == ["connect", "auth", "receive"]
    assert stage.runtime.calls[-1].hook.data == '{"n":1}'
    assert peer.closed is None


@pytest.mark.parametrize("late", [auth_message("mallory"), '{"type":"auth"}'])
@pytest.mark.parametrize("with_receive", [True, False])
async def test_an_auth_message_with_another_token_than_the_cookies_closes_4502(late, with_receive):
    names = ["connect", "auth", "close"] + ["receive"] * with_receive
    stage = Stage(automatic=names, hooks=frozenset(names))
    session, peer = stage.connect(COOKIE)
    session.receive(late)
    await stage.settle()
    assert peer.code == CloseCode.AUTH_EXPECTED
    assert stage.runtime.names == ["connect", "auth", "close"]


async def test_only_the_first_message_is_taken_for_an_auth_message():
    stage = Stage(automatic=["connect", "auth", "receive"])
    session, peer = stage.connect(COOKIE)
    session.receive('{"n":1}')
    session.receive(auth_message("mallory"))
    await stage.settle()
    assert stage.runtime.names == ["connect", "auth", "receive", "receive"]
    assert peer.closed is None


async def test_a_first_message_without_the_type_auth_is_a_message_though_it_has_a_token():
    stage = Stage(automatic=["connect", "auth", "receive"])
    session, peer = stage.connect(COOKIE)
    session.receive('{"token":"mallory"}')
    await stage.settle()
    assert stage.runtime.calls[-1].hook.data == '{"token":"mallory"}'
    assert peer.closed is None


# Refusals and failures

CONNECT_ENDS = [
    ({"outcome": Outcome.REFUSED}, CloseCode.CONNECT_REFUSED, False),
    ({"outcome": Outcome.FAILED}, CloseCode.HOOK_FAILED, True),
    ({"outcome": Outcome.TIMEOUT}, CloseCode.HOOK_FAILED, True),
    ({"outcome": Outcome.FAILED, "started": False}, CloseCode.HOOK_FAILED, False),
    ({"outcome": Outcome.OVERLOADED, "started": False}, CloseCode.OVERLOAD, False),
]
AUTH_ENDS = [
    (Outcome.REFUSED, CloseCode.AUTH_REFUSED),
    (Outcome.FAILED, CloseCode.HOOK_FAILED),
    (Outcome.TIMEOUT, CloseCode.HOOK_FAILED),
    (Outcome.OVERLOADED, CloseCode.OVERLOAD),
]


@pytest.mark.parametrize("auth", ["message", "none"])
@pytest.mark.parametrize(("result", "code", "owes_close"), CONNECT_ENDS)
async def test_what_connect_answers_decides_the_code_and_whether_close_runs(
    auth, result, code, owes_close
):
    stage = Stage(auth=auth, automatic=["close"])
    session, peer = stage.connect(COOKIE)
    call = await stage.runtime.started("connect")
    session.receive('{"n":1}')
    call.ends(**result)
    await stage.settle()
    assert peer.code == code
    assert stage.runtime.names == ["connect", "close"][: 1 + owes_close]
    assert not is_live(stage, session)
    assert stage.broker.connected == 0
    assert stage.broker.drops.totals["message of a socket that was closed"] == 1


@pytest.mark.parametrize("claim", ["", COOKIE])
@pytest.mark.parametrize(("outcome", "code"), AUTH_ENDS)
async def test_what_auth_answers_decides_the_code_and_close_always_runs(claim, outcome, code):
    stage = Stage(automatic=["connect", "close"])
    session, peer = stage.connect(claim)
    if not claim:
        session.receive(auth_message("alice"))
    call = await stage.runtime.started("auth")
    call.ends(outcome, started=outcome is not Outcome.OVERLOADED)
    await stage.settle()
    assert peer.code == code
    assert hooks(stage)[-1] == ("close", claim), "close has connect's token: auth accepted none"
    assert not is_live(stage, session)


async def test_a_yes_from_an_auth_hook_that_never_ran_lets_nobody_in():
    stage = Stage(automatic=["connect", "close"])
    session, peer = stage.connect(COOKIE)
    call = await stage.runtime.started("auth")
    call.ends(Outcome.ACCEPTED, started=False)
    await stage.settle()
    assert peer.code == CloseCode.HOOK_FAILED
    assert not is_live(stage, session)


async def test_a_refusal_says_which_hook_refused_and_nothing_of_what_the_app_said():
    stage = Stage(automatic=["close"])
    _, peer = stage.connect()
    call = await stage.runtime.started("connect")
    call.ends(Outcome.FAILED, reason="/srv/secret/path")
    await stage.settle()
    assert peer.closed == (CloseCode.HOOK_FAILED, "connect failed")


# Asked before the upgrade


async def test_in_upgrade_mode_the_socket_is_live_before_connect_runs():
    stage = Stage(auth="upgrade", automatic=["receive"])
    session, _ = stage.connect("alice")
    connect = await stage.runtime.started("connect")
    assert is_live(stage, session)
    assert stage.broker.hub.waiting(HOST) == {}
    session.receive('{"n":1}')
    await turns()
    assert stage.runtime.not_started(), "receive did not wait for connect"
    connect.accepts()
    await stage.settle()
    assert hooks(stage) == [("connect", "alice"), ("receive", "alice")]


async def test_in_upgrade_mode_a_refusing_connect_closes_4500_without_a_close_hook():
    stage = Stage(auth="upgrade", automatic=["close"])
    session, peer = stage.connect("alice")
    (await stage.runtime.started("connect")).refuses()
    await stage.settle()
    assert peer.code == CloseCode.CONNECT_REFUSED
    assert stage.runtime.names == ["connect"]
    assert not is_live(stage, session)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMEOUT])
@pytest.mark.parametrize("started", [True, False])
async def test_in_upgrade_mode_a_failing_connect_stays(outcome, started):
    stage = Stage(auth="upgrade", automatic=["receive", "close"])
    session, peer = stage.connect("alice")
    (await stage.runtime.started("connect")).ends(outcome, started=started)
    session.receive('{"n":1}')
    await stage.settle()
    assert peer.closed is None
    assert is_live(stage, session)
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.names == ["connect", "receive"] + ["close"] * started


async def test_in_upgrade_mode_an_overloaded_connect_closes_1013():
    stage = Stage(auth="upgrade")
    _, peer = stage.connect("alice")
    call = await stage.runtime.started("connect")
    call.ends(Outcome.OVERLOADED, started=False)
    await stage.settle()
    assert peer.code == CloseCode.OVERLOAD


async def test_in_upgrade_mode_no_message_is_taken_for_an_auth_message():
    stage = Stage(auth="upgrade", automatic=["connect", "receive"])
    session, peer = stage.connect("alice")
    session.receive(auth_message("mallory"))
    await stage.settle()
    assert stage.runtime.names == ["connect", "receive"]
    assert peer.closed is None


async def test_asking_before_the_upgrade_gives_the_hook_its_arguments():
    stage = Stage(auth="upgrade", automatic=["auth"])
    result = await stage.broker.authenticate(stage.app, "alice", "0" * 16)
    assert result.is_accepted
    assert stage.runtime.calls[0].hook.args() == [HOST, "alice", "0" * 16]


# Asked never


async def test_in_none_mode_casts_find_the_socket_once_connect_accepted():
    stage = Stage(auth="none", hooks=frozenset({"connect", "receive", "close"}))
    session, _ = stage.connect(COOKIE)
    connect = await stage.runtime.started("connect")
    assert not is_live(stage, session)
    connect.accepts()
    await stage.settle()
    assert is_live(stage, session)


async def test_in_none_mode_hooks_get_the_cookie_while_casts_find_the_token_empty():
    stage = Stage(auth="none", automatic=["connect", "receive", "close"])
    session, _ = await stage.live(COOKIE)
    select = stage.broker.hub.select
    assert select(HOST, Target.parse("token:"), NOBODY) == [session]
    assert select(HOST, Target.parse(f"token:{COOKIE}"), NOBODY) == []
    session.receive("{}")
    session.left(1000, "")
    await stage.settle()
    assert hooks(stage) == [("connect", COOKIE), ("receive", COOKIE), ("close", COOKIE)]


async def test_in_none_mode_no_auth_message_is_waited_for():
    stage = Stage(auth="none", automatic=["connect"])
    _, peer = await stage.live("")
    stage.clock.advance(60)
    stage.broker.sweep()
    assert peer.closed is None


# Hooks that an app does not have


async def test_a_push_only_host_lets_everybody_in_and_starts_nothing():
    stage = Stage(auth="none", hooks=frozenset())
    session, peer = await stage.live("")
    session.receive("not even JSON")
    await stage.settle()
    assert is_live(stage, session)
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.calls == []
    assert peer.frames == []


async def test_without_a_connect_hook_close_still_runs():
    stage = Stage(hooks=frozenset({"auth", "close"}), automatic=["auth", "close"])
    session, _ = await stage.live(COOKIE)
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.names == ["auth", "close"]


async def test_without_a_close_hook_a_departure_starts_nothing():
    stage = Stage(hooks=frozenset({"connect", "auth"}), automatic=["connect", "auth"])
    session, _ = await stage.live(COOKIE)
    session.left(1000, "")
    await stage.settle()
    assert stage.runtime.names == ["connect", "auth"]


async def test_without_a_receive_hook_a_message_starts_nothing_and_is_no_error():
    stage = Stage(hooks=frozenset({"connect", "auth"}), automatic=["connect", "auth"])
    session, peer = await stage.live(COOKIE)
    session.receive("not even JSON")
    await stage.settle()
    assert stage.runtime.names == ["connect", "auth"]
    assert peer.frames == []
    assert session.received == 1
