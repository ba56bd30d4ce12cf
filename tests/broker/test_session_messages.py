"""Messages of an open socket: order, answers, complaints and back-pressure."""

from __future__ import annotations

import json

import pytest

from phlows_cli.broker.session import PENDING_BYTES
from phlows_cli.model import CloseCode, Outcome
from tests.builders import HOST, Stage
from tests.fakes import turns

OPENING = ("connect", "auth", "close")


async def open_socket(automatic=(), **stage):
    """An open socket of alice; receive is in the test's hand unless automatic."""
    stage = Stage(automatic=[*OPENING, *automatic], **stage)
    session, peer = await stage.live("alice")
    stage.runtime.calls.clear()
    return stage, session, peer


async def test_receive_hooks_run_one_at_a_time_and_in_order():
    stage, session, _ = await open_socket()
    for number in range(3):
        session.receive(f'{{"n":{number}}}')
    for number in range(3):
        call = await stage.runtime.started("receive")
        await turns()
        assert stage.runtime.not_started(), "two hooks of one socket side by side"
        assert call.hook.args() == [HOST, "alice", session.id, f'{{"n":{number}}}']
        call.accepts()
    await stage.settle()
    assert session.received == 3


async def test_hooks_of_different_sockets_run_side_by_side():
    stage, session, _ = await open_socket()
    other, _ = stage.connect("bob")
    await turns()
    session.receive("{}")
    other.receive("[]")
    first = await stage.runtime.started("receive")
    second = await stage.runtime.started("receive")
    assert {first.hook.socket, second.hook.socket} == {session.id, other.id}
    second.accepts()
    first.accepts()
    await stage.settle()


async def test_what_the_hook_prints_goes_to_this_client_as_it_is_printed():
    stage, session, peer = await open_socket()
    _, other = await stage.live("bob")
    session.receive("{}")
    call = await stage.runtime.started("receive")
    call.prints(b'{"inner": {"#a":"<b>1</b>"}}')
    assert peer.messages == [b'{"inner": {"#a":"<b>1</b>"}}'], "it waited for the hook's end"
    call.prints(b'{"a":1}true')
    call.prints(b"[1,2] [3]")
    call.accepts()
    await stage.settle()
    assert peer.messages[1:] == [b'{"a":1}', b"[1,2]", b"[3]"]
    assert other.messages == []
    assert session.sent == 4


async def test_text_that_is_not_json_is_logged_and_never_sent(caplog):
    stage, session, peer = await open_socket()
    session.receive("{}")
    call = await stage.runtime.started("receive")
    for line in (b"PHP Warning: secret in /srv/app.php", b"", b"true", b"42", b"\xff{}"):
        call.prints(line)
    call.accepts()
    await stage.settle()
    assert peer.messages == []
    logged = [record.text for record in caplog.records if record.msg == "output not sent"]
    assert logged == ["PHP Warning: secret in /srv/app.php", "\ufffd{}"]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.TIMEOUT, Outcome.OVERLOADED])
async def test_a_failing_receive_tells_the_client_without_details_and_lives_on(outcome):
    stage, session, peer = await open_socket()
    session.receive("{}")
    session.receive("{}")
    (await stage.runtime.started("receive")).ends(outcome, reason="secret")
    (await stage.runtime.started("receive")).accepts()
    await stage.settle()
    assert peer.messages == [b'{"error":"this message could not be handled"}']
    assert peer.closed is None
    assert stage.broker.drops.totals[f"receive {outcome}"] == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello", "message is not a JSON object or array"),
        ("", "message is not a JSON object or array"),
        ("7", "message is not a JSON object or array"),
        ("null", "message is not a JSON object or array"),
        ('"text"', "message is not a JSON object or array"),
        ('{"a":1}x', "message is not a JSON object or array"),
        ('{"wsHost":1}', "message has the reserved key wsHost"),
        ('{"a":1,"wsToken":null}', "message has the reserved key wsToken"),
        ('{"\\u0077sSocket":1}', "message has the reserved key wsSocket"),
        ("[" * 513 + "]" * 513, "message is nested deeper than 512"),
    ],
)
async def test_a_bad_message_is_answered_and_starts_nothing(text, problem):
    stage, session, peer = await open_socket(automatic=["receive"])
    session.receive(text)
    session.receive("{}")
    await stage.settle()
    assert [json.loads(message) for message in peer.messages] == [{"error": problem}]
    assert stage.runtime.names == ["receive"], "the connection lives on"
    assert stage.broker.drops.totals["bad message"] == 1


async def test_bad_messages_are_answered_once_in_ten_seconds():
    stage, session, peer = await open_socket()
    for wait, answers in ((0, 1), (0, 1), (9.9, 1), (0.1, 2), (9.9, 2), (20, 3)):
        stage.clock.advance(wait)
        session.receive("bad")
        await stage.settle()
        assert len(peer.messages) == answers
    assert stage.broker.drops.totals["bad message"] == 6


async def test_each_socket_is_answered_about_its_own_bad_messages():
    stage, session, peer = await open_socket()
    other, other_peer = await stage.live("bob")
    session.receive("bad")
    other.receive("bad")
    await stage.settle()
    assert (len(peer.messages), len(other_peer.messages)) == (1, 1)


async def test_a_message_the_runtime_cannot_carry_closes_1009_at_once():
    stage, session, peer = await open_socket()
    session.receive("{}")
    await stage.runtime.started("receive")
    session.receive('"' + "ü" * 65_535 + '"')
    assert peer.code == CloseCode.TOO_BIG
    assert "message of 131072 bytes exceeds 131071" in peer.closed[1]
    await stage.runtime.stop()
    await stage.settle()
    assert stage.runtime.names == ["receive", "close"]


async def test_a_message_as_large_as_the_runtime_can_carry_is_handed_on():
    stage, session, peer = await open_socket(automatic=["receive"])
    text = '["' + "x" * (131_071 - 4) + '"]'
    session.receive(text)
    await stage.settle()
    assert stage.runtime.calls[0].hook.data == text
    assert peer.closed is None


# Back-pressure


async def fill(session, number, text="{}"):
    for _ in range(number):
        session.receive(text)


async def test_reading_stops_at_pending_events_and_goes_on_when_half_are_done():
    stage, session, peer = await open_socket(limits={"pending_events": 8})
    await fill(session, 7)
    assert peer.holds == 0
    await fill(session, 1)
    assert peer.holds == 1
    for left in (7, 6, 5):  # what waits once the call has been started
        call = await stage.runtime.started("receive")
        assert peer.holds == 1, f"read again with {left} waiting"
        call.accepts()
    await stage.runtime.started("receive")
    assert peer.holds == 0


async def test_reading_goes_on_though_more_came_after_it_was_stopped():
    stage, session, peer = await open_socket(automatic=["receive"], limits={"pending_events": 4})
    await fill(session, 9)
    assert peer.holds == 1, "every hold needs its release"
    await stage.settle()
    assert peer.holds == 0
    assert stage.runtime.names == ["receive"] * 9
    await fill(session, 4)
    assert peer.holds == 1, "it stops as often as it is full"
    await stage.settle()
    assert peer.holds == 0


async def test_reading_stops_at_256_kib_and_goes_on_when_half_are_done():
    stage, session, peer = await open_socket()
    quarter = '["' + "x" * (PENDING_BYTES // 4 - 4) + '"]'
    await fill(session, 3, quarter)
    assert peer.holds == 0
    await fill(session, 1, quarter)
    assert peer.holds == 1
    call = await stage.runtime.started("receive")
    assert peer.holds == 1, "three quarters still wait"
    call.accepts()
    call = await stage.runtime.started("receive")
    assert peer.holds == 0
    call.accepts()
    (await stage.runtime.started("receive")).accepts()
    (await stage.runtime.started("receive")).accepts()
    await stage.settle()


async def test_waiting_bytes_are_counted_as_utf8():
    stage, session, peer = await open_socket(automatic=["receive"])
    text = '["' + "€" * (PENDING_BYTES // 12) + '"]'
    await fill(session, 3, text)
    assert peer.holds == 0
    await fill(session, 1, text)
    assert peer.holds == 1
    await stage.settle()
    assert peer.holds == 0


async def test_one_pending_event_is_the_least_that_works():
    stage, session, peer = await open_socket(automatic=["receive"], limits={"pending_events": 1})
    await fill(session, 3)
    assert peer.holds == 1
    await stage.settle()
    assert peer.holds == 0
    assert stage.runtime.names == ["receive"] * 3


async def test_messages_before_auth_hold_back_as_well():
    stage = Stage(automatic=["auth", "receive"], limits={"pending_events": 3})
    session, peer = stage.connect("alice")
    connect = await stage.runtime.started("connect")
    await fill(session, 3)
    assert peer.holds == 1
    connect.accepts()
    await stage.settle()
    assert peer.holds == 0
    assert stage.runtime.names == ["connect", "auth", "receive", "receive", "receive"]


async def test_messages_that_arrive_within_the_resume_keep_their_order():
    stage, session, peer = await open_socket(automatic=["receive"], limits={"pending_events": 2})
    resume = peer.resume_reading
    more = [f"[{number}]" for number in range(2, 9)]

    def resume_with_more():
        resume()
        while more and not peer.holds:
            session.receive(more.pop(0))

    peer.resume_reading = resume_with_more
    session.receive("[0]")
    session.receive("[1]")
    await stage.settle()
    assert [call.hook.data for call in stage.runtime.calls] == [f"[{n}]" for n in range(9)]
    assert peer.holds == 0
