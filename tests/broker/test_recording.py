from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from phlows_cli import __version__
from phlows_cli.broker import recording as module
from phlows_cli.broker.drops import Drops
from phlows_cli.broker.events import Events
from phlows_cli.broker.hooks import Application
from phlows_cli.broker.masking import masked_token
from phlows_cli.broker.recording import Tape
from phlows_cli.model import Hook, Outcome, Task
from tests.builders import HOST, make_host
from tests.fakes import ScriptedRuntime

SOCKET = "5" * 16
TOKEN = "secret of ann"


def receive(message="{}", token=TOKEN):
    return Hook("receive", HOST, token, SOCKET, message)


class Scene:
    """An application, and tapes that record it."""

    def __init__(self):
        self.runtime = ScriptedRuntime()
        self.events = Events()
        self.app = Application(make_host(), self.runtime, Drops(), self.events)
        self.sent = []
        self.wakes = []

    def tape(self, **how):
        tape = Tape(lambda: self.wakes.append(1), **how)
        self.events.recorder.add(tape)
        return tape

    async def call(self, hook=None, lines=(), outcome=Outcome.ACCEPTED, **result):
        hook = hook or receive()
        send = self.sent.append if hook.name == "receive" else None
        task = asyncio.ensure_future(self.app.call(hook, send))
        call = await self.runtime.started(hook.name)
        for line in lines:
            call.prints(line)
        call.ends(outcome, **result)
        return await task


def lines_of(tape):
    """Everything that waits, as it would be sent."""
    lines = []
    while tape.waiting or tape.lost:
        lines += [json.loads(msgspec.json.encode(line)) for line in tape.take()]
    return lines


def calls_of(tape):
    return [line for line in lines_of(tape) if line["type"] == "hook"]


async def test_the_first_line_says_what_follows():
    scene = Scene()
    (head,) = lines_of(scene.tape(host=HOST, kept=frozenset({"room", "a"})))
    assert head.pop("time") > 0
    assert head == {
        "type": "recording",
        "format": 1,
        "phlows": __version__,
        "host": HOST,
        "payloads": "masked",
        "kept": ["a", "room"],
    }


async def test_a_call_is_told_with_what_was_said_in_it():
    scene = Scene()
    tape = scene.tape(payloads="all")
    lines = [b'{"a":1}true', b"Warning", b"[2]"]
    await scene.call(receive('{"x": 1.0}'), lines, Outcome.FAILED, reason="exit code 1", seconds=2)
    (call,) = calls_of(tape)
    assert call.pop("time") > 0
    assert call == {
        "type": "hook",
        "host": HOST,
        "socket": SOCKET,
        "hook": "receive",
        "token": masked_token(TOKEN),
        "outcome": "failed",
        "reason": "exit code 1",
        "ms": 2000.0,
        "message": {"x": 1.0},
        "answers": [{"a": 1}, [2]],
    }
    assert scene.sent == [b'{"a":1}', b"[2]"]


async def test_hooks_without_a_client_to_answer_have_no_answers():
    scene = Scene()
    tape = scene.tape()
    env = (("PHLOWS_CLOSE_REASON", "client"),)
    await scene.call(Hook("connect", HOST, "", SOCKET))
    await scene.call(Hook("close", HOST, TOKEN, SOCKET, env=env))
    connect, close = calls_of(tape)
    assert (connect["token"], connect.keys() & {"answers", "message", "env"}) == ("", set())
    assert close["env"] == {"PHLOWS_CLOSE_REASON": "client"}


async def test_masked_is_what_a_tape_is_unless_it_says_otherwise():
    scene = Scene()
    masked, clear = scene.tape(), scene.tape(payloads="all")
    await scene.call(receive('{"type":"say","text":"hello"}'), [b'{"echo":"hello","n":3}'])
    (one,), (other,) = calls_of(masked), calls_of(clear)
    assert other["message"] == {"type": "say", "text": "hello"}
    assert one["message"]["type"] == "say"
    assert one["message"]["text"] == one["answers"][0]["echo"] != "hello"
    assert one["answers"][0]["n"] != 3


@pytest.mark.parametrize("payloads", ["masked", "all"])
async def test_no_token_leaves_whoevers_it_is(payloads):
    scene = Scene()
    tape = scene.tape(payloads=payloads, known=lambda: ["secret of bob"])
    await scene.call(receive(token="secret of cid"))
    message = json.dumps({"secret of bob": "x secret of cid", "type": TOKEN, "me": f"<{TOKEN}>"})
    await scene.call(receive(message), [b'{"quoted":"(secret of ann) (secret of bob)"}'])
    lines = json.dumps(lines_of(tape))
    assert "secret" not in lines
    assert masked_token("secret of bob") in lines


async def test_only_the_host_that_is_asked_for_is_recorded():
    scene = Scene()
    ours, theirs = scene.tape(host=HOST), scene.tape(host="other.test")
    await scene.call()
    assert (len(calls_of(ours)), len(calls_of(theirs))) == (1, 0)


async def test_a_task_is_no_hook_call():
    scene = Scene()
    tape = scene.tape()
    task = asyncio.ensure_future(scene.app.run(Task(HOST, "jobs::run"), lambda _: None))
    (await scene.runtime.started("call")).ends(Outcome.ACCEPTED)
    await task
    assert calls_of(tape) == []


# What costs nothing, and what is bounded


async def test_nobody_who_records_costs_one_look_at_an_attribute(monkeypatch):
    monkeypatch.delattr(module.Recorder, "keep")
    monkeypatch.setattr("phlows_cli.broker.hooks.Take", None)
    scene = Scene()
    assert (await scene.call()).is_accepted
    tape = scene.tape()
    scene.events.recorder.discard(tape)
    assert (await scene.call()).is_accepted


async def test_a_recording_that_ends_during_a_call_keeps_neither_it_nor_its_token():
    scene = Scene()
    tape = scene.tape()
    task = asyncio.ensure_future(scene.app.call(receive(), scene.sent.append))
    call = await scene.runtime.started("receive")
    scene.events.recorder.discard(tape)
    call.ends(Outcome.ACCEPTED)
    await task
    assert calls_of(tape) == []
    assert TOKEN not in scene.events.recorder._tokens


async def test_with_the_last_tape_the_tokens_are_forgotten():
    scene = Scene()
    one, other = scene.tape(known=lambda: [TOKEN]), scene.tape()
    recorder = scene.events.recorder
    recorder.discard(one)
    assert TOKEN in recorder._tokens
    recorder.discard(other)
    recorder.discard(other)
    assert TOKEN not in recorder._tokens
    assert not recorder.is_on


async def test_a_slow_reader_loses_calls_and_is_told_how_many(monkeypatch):
    monkeypatch.setattr(module, "BACKLOG", 3)
    scene = Scene()
    tape = scene.tape()
    for _ in range(5):
        await scene.call()
    kinds = [(line["type"], line.get("count")) for line in lines_of(tape)]
    assert kinds == [("recording", None), ("hook", None), ("hook", None), ("lost", 3)]
    await scene.call()
    assert len(calls_of(tape)) == 1


async def test_large_calls_are_lost_before_they_are_many(monkeypatch):
    monkeypatch.setattr(module, "BACKLOG_BYTES", 100)
    scene = Scene()
    tape = scene.tape()
    for _ in range(3):
        await scene.call(receive('"%s"' % ("x" * 40)))
    assert [line["type"] for line in lines_of(tape)] == ["recording", "hook", "hook", "lost"]
    assert tape._size == 0


async def test_a_reader_is_woken_once_for_all_that_waits():
    scene = Scene()
    tape = scene.tape()
    lines_of(tape)
    await scene.call()
    await scene.call()
    assert len(scene.wakes) == 1


async def test_much_is_handed_out_in_several_turns(monkeypatch):
    monkeypatch.setattr(module, "TURN_BYTES", 50 + module.CALL_BYTES)
    scene = Scene()
    tape = scene.tape()
    for _ in range(3):
        await scene.call(receive('"%s"' % ("x" * 40)))
    turns = []
    while tape.waiting:
        turns.append(len(tape.take()))
    assert turns == [3, 1]


@pytest.mark.parametrize(
    ("bound", "lines"),
    [("CONTENT_BYTES", [b'{"a":"%d"}' % n for n in range(12)]), ("ANSWERS", [b"[1]"] * 12)],
)
async def test_answers_over_the_bound_are_sent_and_not_kept(monkeypatch, bound, lines):
    monkeypatch.setattr(module, bound, 50 if bound == "CONTENT_BYTES" else 5)
    scene = Scene()
    tape = scene.tape(payloads="all")
    await scene.call(lines=lines)
    (call,) = calls_of(tape)
    assert len(scene.sent) == 12
    assert call["answers"] == [json.loads(line) for line in lines[:5]]
    assert call["cut"] == ["answers"]


async def test_a_long_message_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "CONTENT_BYTES", 50)
    scene = Scene()
    tape = scene.tape()
    await scene.call(receive('{"a":"%s"}' % ("x" * 50)))
    (call,) = calls_of(tape)
    assert (call["message"], call["cut"]) == (None, ["message"])


async def test_a_message_of_very_many_values_is_left_out(monkeypatch):
    monkeypatch.setattr(module, "COMMAS", 5)
    scene = Scene()
    tape = scene.tape(payloads="all")
    await scene.call(receive(json.dumps(list(range(7)))), [b"[1,2,3]"] * 3)
    (call,) = calls_of(tape)
    assert (call["message"], call["answers"]) == (None, [[1, 2, 3]] * 2)
    assert call["cut"] == ["message", "answers"]


async def test_masks_that_make_a_line_too_long_are_left_out(monkeypatch):
    monkeypatch.setattr(module, "LINE_BYTES", 1000)
    scene = Scene()
    tape = scene.tape()
    await scene.call(receive(json.dumps(["a"] * 100)))
    (call,) = calls_of(tape)
    assert (call["message"], call["answers"], call["cut"]) == (None, [], ["message", "answers"])


TOO_DEEP = "[" * 100_000 + "]" * 100_000
"""Over every recursion limit that a tool may have set, and no longer than what is kept."""


@pytest.mark.parametrize("text", ['["\\ud800"]', "[1e400]", pytest.param(TOO_DEEP, id="too deep")])
async def test_what_cannot_be_read_here_is_left_out_and_breaks_nothing(text):
    scene = Scene()
    for payloads in ("masked", "all"):
        tape = scene.tape(payloads=payloads)
        assert (await scene.call(receive(text), [text.encode()])).is_accepted
        (call,) = calls_of(tape)
        assert call["message"] is None
        assert call["answers"] == []
        assert "message" in call["cut"]


async def test_an_overlong_whole_number_is_masked_and_kept():
    scene = Scene()
    number = 123456789012345678901234567890
    masked, clear = scene.tape(), scene.tape(payloads="all")
    await scene.call(receive(f"[{number}]"))
    assert calls_of(clear)[0]["message"] == [number]
    assert len(str(calls_of(masked)[0]["message"][0])) == 9


async def test_the_log_says_that_someone_records_and_when_that_ends(caplog):
    caplog.set_level("INFO")
    scene = Scene()
    tape = scene.tape(payloads="all")
    scene.events.recorder.discard(tape)
    began, ended = caplog.records
    assert (began.message, began.host, began.payloads) == ("recording began", "all", "all")
    assert ended.message == "recording ended"
