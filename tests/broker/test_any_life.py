"""Whatever happens to a socket, in whatever order, the promises hold."""

from __future__ import annotations

import asyncio
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.broker import closings
from phlows_cli.model import Cast, HookResult, Outcome, Target
from tests.builders import HOST, Stage
from tests.fakes import turns

ENDS = st.one_of(
    st.sampled_from([Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REFUSED]).map(
        lambda outcome: {"outcome": outcome}
    ),
    st.sampled_from([Outcome.FAILED, Outcome.TIMEOUT]).flatmap(
        lambda outcome: st.booleans().map(lambda s: {"outcome": outcome, "started": s})
    ),
    st.just({"outcome": Outcome.OVERLOADED, "started": False}),
)
STEPS = st.one_of(
    st.tuples(st.just("answer"), ENDS),
    st.tuples(st.just("answer"), ENDS),
    st.tuples(
        st.just("receive"), st.sampled_from(['{"type":"auth","token":"alice"}', "{}", "bad"])
    ),
    st.tuples(st.just("cast"), st.sampled_from(["all", "token:alice", "token:not:alice"])),
    st.tuples(st.just("slow"), st.none()),
    st.tuples(st.just("late"), st.none()),
    st.tuples(st.just("left"), st.none()),
    st.tuples(st.just("end"), st.none()),
)


class Life:
    """One socket's life as the steps make it, and a check after each of them."""

    def __init__(self, auth, claim):
        hooks = {"connect", "auth", "receive", "close"} - ({"auth"} if auth == "none" else set())
        self.stage = Stage(auth=auth, hooks=frozenset(hooks), limits={"pending_events": 2})
        self.session, self.peer = self.stage.connect(claim)

    async def run(self, steps):
        await turns()
        self.check()
        for step, argument in steps:
            getattr(self, step)(argument)
            await turns()
            self.check()
        self.left(None)
        await turns()
        while self.unanswered():
            self.answer({"outcome": Outcome.ACCEPTED})
            await turns()
            self.check()
        await self.stage.settle()

    def unanswered(self):
        return [call for call in self.stage.runtime.calls if not call.done.done()]

    def answer(self, result):
        for call in self.unanswered():
            call.done.set_result(HookResult(**result))

    def receive(self, text):
        self.session.receive(text)

    def cast(self, target):
        self.stage.broker.cast(Cast(HOST, b"{}", Target.parse(target)))

    def slow(self, _):
        self.peer.is_slow = True

    def late(self, _):
        self.stage.clock.advance(11)
        self.stage.broker.sweep()

    def left(self, _):
        if self.peer.closed is None:
            self.session.left(1006, "")

    def end(self, _):
        self.session.end(4321, "")

    def check(self):
        broker, names = self.stage.broker, self.stage.runtime.names
        assert len(self.unanswered()) <= 1, "two hooks of one socket at a time"
        assert names.count("connect") <= 1
        assert names.count("auth") <= 1
        assert names.count("close") <= 1
        assert "close" not in names[:-1], "a hook after close"
        assert not names or names[0] == "connect"
        assert broker.connected == (not self.session.is_gone)
        if not (self.unanswered() or self.session.is_gone):
            assert self.peer.holds == 0, "nothing runs and yet it is not read"
        assert self.peer.holds <= 1
        in_hub = [session for session, _ in broker.hub.sockets(HOST)]
        assert in_hub == ([] if self.session.is_gone else [self.session])


def result_of(stage, name):
    call = next((call for call in stage.runtime.calls if call.hook.name == name), None)
    return call and call.done.result()


@settings(max_examples=250, deadline=None)
@given(
    auth=st.sampled_from(["message", "upgrade", "none"]),
    claim=st.sampled_from(["", "alice"]),
    steps=st.lists(STEPS, max_size=12),
)
def test_a_socket_has_one_hook_at_a_time_and_one_close_hook_when_it_is_owed(auth, claim, steps):
    async def live():
        life = Life(auth, claim)
        await life.run(steps)
        return life

    # what a failing close hook does next is in test_closings.py
    with mock.patch.object(closings, "ATTEMPTS", 1):
        life = asyncio.run(live())
    connect = result_of(life.stage, "connect")
    auth_result = result_of(life.stage, "auth")
    owed = connect is not None and connect.started and connect.outcome is not Outcome.REFUSED
    assert ("close" in life.stage.runtime.names) == owed
    if "receive" in life.stage.runtime.names and auth == "message":
        assert auth_result is not None
        assert auth_result.is_accepted, "a message was handled without an accepted auth"
